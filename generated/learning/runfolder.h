/* runfolder.h: what every run folder holds, whoever writes or reads it. */
#ifndef RUNFOLDER_H
#define RUNFOLDER_H
#include "cells/dataset.h"

/* What a run is. The texts are the caller's and outlive the folder. */
typedef struct {
  const dataset *ds;                                 /* name, kind, sha256, n */
  const char *net, *title, *set, *net_sha256;        /* of the net, or of what stands in its place */
  const char *recipe;                                /* a JSON object */
  int folds, fold, subset, learn;                    /* fold -1: every cell; 0 cells: all */
  bool ungrouped;
  uint64_t seed;
  const char *init;                                  /* SHA-256 of the weights that it begins from, or NULL */
  const char *device;
  int engine, method;                                /* the numbers of their arithmetic, see run_identity */
  const char *candidates;                            /* of a GPU engine, section "Candidates"; NULL: none */
} run_config;

/* declare how a run folder is written */
enum { RUN_FORMAT = 2 };                             /* of run.json; 1 named no hashes */
typedef struct { const char *out, *pool; char *config, identity[65]; int lock; } run_folder;
typedef enum { RUN_OPEN, RUN_FINISHED, RUN_DIVERGED } run_state;

/* The hash of what a configuration (a JSON text, or what it is made of) says and not of how it is spelt. */
void run_identity(const char *config, char hex[65]);
void run_config_identity(const run_config *, char hex[65]);

/* Open OUT for a run and lock it. Dies with EXIT_DATA where it holds something else. With a pool (a folder; NULL: none) the run
   is one job of many: it waits while another process has the folder, puts a run of another configuration aside as OUT.old, and
   does not miss weights. */
void run_open(run_folder *, const char *out, const run_config *, const char *pool);
/* Is it finished already, or does the pool have it? Says so unless quiet. A finished run with damaged files is open. */
run_state run_look(run_folder *, bool quiet);
/* From here on the folder is this run's. */
void run_claim(const run_folder *);
void run_close(run_folder *);                        /* unlocks */

/* Write predictions.csv: the cells row[0..n-1] of the data set with prob (n, classes). Returns how many are right. */
int run_write_predictions(const run_folder *, const dataset *ds, const int *row, int n, const float *prob);
/* Write log.csv: loss and accuracy (n), so many rows an epoch. */
void run_write_log(const run_folder *, int n, int per_epoch, const double *loss, const double *accuracy);

/* What came of a run; NAN where there is no such number. Sizes in bytes and FLOP, rates in cells a second. */
typedef struct {
  double params, flop, seconds, rate, infer_rate, memory, train_flop, loss, accuracy;
  int train_cells, test_cells, iterations, epochs, threads, correct;
  int diverged_at;                                   /* the iteration, -1: it did not */
  const char *weights_sha256;                        /* of weights.safetensors, or NULL */
  const char *gpu, *vectors;                         /* that computed it, see engine.h; NULL: none, and for older records too */
} run_result;
void run_write_record(const run_folder *, const run_result *);
char *machine_name(void);                            /* the processor's, as the system has it; free() it */

/* declare how a run folder is read */
/* One held-out cell, its group ("" where none is known) and what the net made of it; truth and said index class_name. */
typedef struct { const char *file, *group; int truth, said; } answer;

typedef struct {
  char *path;
  json *record;                                      /* run.json */
  const json *config;                                /* of it */
  uint64_t seed;
  int fold, folds, classes, answers;                 /* fold -1: every cell was learned from, and there are no answers */
  bool diverged;
  char **class_name;                                 /* (classes), in the order of the columns */
  answer *answer;                                    /* (answers), in the data set's order */
  csv *log, *predictions, *cells;                    /* keep the texts that answer points into */
} run;

/* The record of a finished run, json_free() it; NULL when there is none. Dies with EXIT_DATA when it is damaged. */
json *run_record(const char *folder);
/* The file of weights to begin from. Where it is missing because its run diverged, the last good checkpoint of that run, and *init
   NULL; where there is none either, NULL, and *init says so in place of a hash. free() both. Dies with EXIT_DATA where the run did not diverge. */
char *run_weights(const char *path, char **init);

/* Read FOLDER, or FOLDER/run.json. Dies with EXIT_DATA when it is not a finished run, whole. It is kept until the program ends. */
void run_read(run *, const char *path);
/* Are they runs of one arm: the same in all but fold, seed and first weights? */
bool run_same_arm(const run *a, const run *b);

#endif
