/* candidates.h: other ways to compute what the GPU engine computes, each off until it is asked for by name. */
#ifndef CANDIDATES_H
#define CANDIDATES_H

/* the candidates' numbers */
typedef enum { CANDIDATE_TF32_WGRAD, CANDIDATE_TILES, CANDIDATE_GROUPS, CANDIDATE_GROUPS_FLIGHT, CANDIDATE_SWIZZLE, CANDIDATE_FC1_SPLIT,
               CANDIDATE_WINOGRAD, CANDIDATES } candidate;
enum { IN_FP32 = 1, IN_TF32 = 2, IN_BF16 = 4 };

/* precisions: those whose results it may touch; capability: of the one kind of device that has it, 10 major + minor, or 0: any;
   before, after: predicted milliseconds of a training step of WBCsNet-2 with 32 images on an H100, without and with it, in fp32,
   tf32 and bf16; 0 where it touches nothing. */
typedef struct {
  const char *name, *what;
  int precisions, capability;
  double before[3], after[3];
} candidate_row;

#ifdef __cplusplus
extern "C" {
#endif
extern const candidate_row candidate_table[CANDIDATES];
/* Bits 1 << candidate of what WBCSNET_CANDIDATES names, read once; dies with EXIT_USAGE at an unknown name. */
unsigned candidates_asked(void);
/* In the variable's place: for bench. */
void candidates_ask(unsigned bits);
#ifdef __cplusplus
}
#endif
#endif
