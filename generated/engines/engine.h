/* engine.h: what an engine must do. ref and cpu share host.c; the GPU engine is a plugin. */
#ifndef ENGINE_H
#define ENGINE_H
#include "engines/candidates.h"
#include "nets/plan.h"
#include "engines/rules.h"

/* Which cells make a batch. row: (n) indexes into the cells given to set_cells; turn: (n) 0..7, one of the
   square's eight symmetries, or NULL; other pictures than squares take NULL. The dropout mask of a cell is keyed by (seed, epoch, row),
   so it does not depend on the cell's place in the batch. */
typedef struct { int n; const int *row; const uint8_t *turn; uint64_t seed; uint32_t epoch; } batch;

/* velocity = momentum * velocity - rate * factor * (gradient + l2 * decay * w);  w += velocity.
   class_weight: (classes) or NULL; factor: (net.params), one a tensor,
   or NULL for all 1 (fine-tuning slows or freezes layers). */
typedef struct { float rate, momentum, l2; const float *class_weight, *factor; } sgd;

/* A net's state on the host, laid out by net.param and net.stat_floats. The caller owns the memory. */
typedef struct { float *param, *velocity, *stat; } net_state;

/* TRAIN: batch statistics, dropout on. INFER: stored statistics, dropout off. */
typedef enum { PASS_TRAIN, PASS_INFER } pass;

/* list what an engine can do */
typedef struct engine engine;
enum { RESULTS_KEPT = 8 };
typedef struct {
  /* open an engine, fill it, train and use it */
  const char *name;                                  /* "ref", "cpu", "cuda-tf32" */
  int arithmetic;                                    /* raised by hand when results move, see run_identity */
  /* An operator's output may differ from ref's by this much: root of the summed squared differences over the root of
     the summed squares */
  double tolerance;
  int candidates_in;                                 /* GPU: its precision's bit in candidates.h; 0: has no candidates */
  int (*capability)(void);                           /* GPU: 10 major + minor of device engine_gpu */
  /* GPU: device engine_gpu by name, driver and CUDA version, for records; a processor's engine has NULL here */
  const char *(*gpu)(void);
  /* NULL when this machine can run it, else the reason in one line */
  const char *(*why_off)(void);
  /* allocates every buffer; threads 0: all. The plan must outlive the engine. */
  engine *(*open)(const plan *, int threads);
  void (*close)(engine *);
  void (*write_state)(engine *, const net_state *);  /* host -> engine; velocity may be NULL (zeros) */
  void (*read_state)(engine *, net_state *);         /* engine -> host; members may be NULL */
  /* The cells: pixels (N, H, W, C) uint8 of the net's input shape, label (N) or NULL, mean (H, W, C) float or
     NULL. Kept by reference. */
  void (*set_cells)(engine *, const uint8_t *pixels, const int *label, int n, const float *mean);
  void (*train_step)(engine *, const batch *, const sgd *);          /* gather, forward, backward, update */
  /* of the train_step `back` steps ago, 0 .. RESULTS_KEPT - 1 (0: also of the last infer or forward): mean loss,
     correct answers; 0 without labels. Waits for that step alone, where steps run beside the caller. */
  void (*result)(engine *, int back, double *loss, int *correct);
  void (*infer)(engine *, const batch *, float *prob);               /* prob (n, classes) or NULL */
  /* take statistics, run pieces, and measure */
  /* Batch-norm statistics over a whole set: begin; one batch after another in PASS_TRAIN (dropout off); end
     stores mean and variance. */
  void (*stats_begin)(engine *);
  void (*stats_batch)(engine *, const batch *);
  void (*stats_end)(engine *);
  /* moving statistics (recipe modern): stat = decay * stat + (1 - decay) * batch statistic after every
     train_step; 0 turns it off */
  void (*moving)(engine *, float decay);
  /* Pieces, for tests, features and bench. n <= plan.batch images. Tensors are (n, H, W, C). */
  void (*put)(engine *, int tensor, const float *x, int n);          /* activation */
  void (*get)(engine *, int tensor, float *x, int n);
  void (*put_grad)(engine *, int tensor, const float *dx, int n);
  /* see plan_make for how long it is valid */
  void (*get_grad)(engine *, int tensor, float *dx, int n);
  /* steps first..last over what put() or infer() left */
  void (*forward)(engine *, const batch *, pass, int first_step, int last_step);
  /* down from last to first, after a forward PASS_TRAIN */
  void (*backward)(engine *, const batch *, int last_step, int first_step);
  /* (net.param_floats) of the last backward() */
  void (*get_dparam)(engine *, float *dparam);
  /* For bench. Median seconds of every step forward and backward, each (steps), over `repeat` training passes, 0 of
     one that the step before it computes too; and the device's measured rates: FLOP/s of a large matrix product,
     bytes/s read plus written (may be NULL). */
  void (*seconds_of)(engine *, const batch *, const sgd *, int repeat, double *forward, double *backward);
  void (*ceilings)(engine *, double *flop_rate, double *byte_rate);
  /* Operations (a multiply-add is two) that a step is left with, forward or backward, by the way in which this engine computes it; NULL: as
     many as the layer's equation has. */
  double (*work_of)(const engine *, int step, bool backward);
  /* For bench, both NULL where there is no choice. Which vectors it computes with: "AVX2"; before open: compute with those
     vectors (NULL: as it would), every convolution directly or not; false when this processor has none of that name. */
  const char *(*vectors)(void);
  bool (*tune)(const char *vectors, bool direct);
} engine_kind;
struct engine { const engine_kind *kind; const plan *plan; };        /* the first members of every engine */

extern const engine_kind engine_ref, engine_cpu;
extern const engine_kind *const engine_kinds[];      /* all of this build, slowest first, NULL behind */
extern engine_kind engine_cuda_bf16, engine_cuda_tf32, engine_cuda;  /* filled by why_off() from the plugin */
bool engine_cuda_likely(void);                       /* false: there is no driver, so that why_off() need not be asked */
const char *engine_cuda_device(int n);               /* a line on GPU n, NULL beyond the last or when the plugin is off */
extern int engine_gpu;                               /* N of --device cuda:N, set by engine_find */
bool gpu_waits(void);                                /* WBCSNET_GPU_SYNC=1: a GPU engine waits after each launch, to name what fails */
bool gpu_apart(void);                                /* that, or WBCSNET_GPU_APART=1: it takes each buffer by itself, so that overruns are seen */
/* by name; "auto" is the faster of cpu and cuda that is usable. Dies with EXIT_NODEVICE when it is off, EXIT_USAGE
   when unknown. */
const engine_kind *engine_find(const char *name);
/* That engine computes with those vectors (NULL: the widest) and, with direct, every convolution without Winograd's transforms. Before it is
   opened. Dies with EXIT_USAGE when it has no such choice, or this processor no such vectors. */
void engine_tune(const engine_kind *, const char *vectors, bool direct);
/* What every engine asks of a batch before it touches memory; dies with EXIT_FAIL. */
void batch_check(const plan *, const batch *);
/* NULL when a candidate can be computed by this engine on this device, else why not */
const char *candidate_off(const engine_kind *, candidate);
/* The names of the candidates that are on and touch this engine, as part of a run's identity; NULL: none */
const char *candidates_of(const engine_kind *);
#endif
