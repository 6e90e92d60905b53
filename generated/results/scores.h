/* scores.h: what nets said of cells, scored, with 95 % intervals; by groups where they are known. */
#ifndef SCORES_H
#define SCORES_H
#include "learning/runfolder.h"
#include "results/stats.h"

/* Answers and the group of each; group NULL where each cell stands alone. */
typedef struct { const answer *a; int n, groups, *group; } pooled;

confusion count_answers(int classes, const answer *a, int n);
/* The group (n) of each answer, numbered from 0, and how many there are; NULL and n where every cell stands alone. free() it. */
int *group_numbers(const answer *a, int n, int *groups);
/* The interval of the share that is right of the cells of a true class, or recognised as a class (-1: any); of those marked. */
interval share_right(const pooled *p, int truth, int said);
interval share_among(const pooled *p, const bool *marked);
/* The intervals of the macro scores of matrix m, which counts these answers. */
void macro_intervals(const pooled *p, const confusion *m, uint64_t seed, interval out[SCORE_COUNT]);
/* Class k's name in keys: a capital, and as many letters as no other class begins with, three or more. In say()'s buffers. */
const char *short_name(const char *const *class_name, int classes, int k);
#endif
