#include "results/scores.h"
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* count right answers and confusions */
confusion count_answers(int classes, const answer *a, int n)
{
  confusion m = { .classes = classes };
  for (int i = 0; i < n; i++) m.cell[a[i].truth][a[i].said]++;
  return m;
}

/* number the groups of answers */
static int by_group(const void *a, const void *b)
{
  return strcmp((*(const answer *const *)a)->group, (*(const answer *const *)b)->group);
}

int *group_numbers(const answer *a, int n, int *groups)
{
  const answer **sorted = NEW(const answer *, n);
  int *group = NEW(int, n);
  for (int i = 0; i < n; i++) sorted[i] = &a[i];
  qsort(sorted, (size_t)n, sizeof *sorted, by_group);
  *groups = 0;
  for (int i = 0; i < n; i++) {
    const bool same = i && *sorted[i]->group && !strcmp(sorted[i]->group, sorted[i-1]->group);
    if (!same) ++*groups;
    group[sorted[i] - a] = *groups - 1;
  }
  free(sorted);
  if (*groups == n) free(group), group = NULL;
  return group;
}

/* shorten a class's name */
const char *short_name(const char *const *class_name, int classes, int k)
{
  const char *n = class_name[k];
  size_t letters = 3;
  for (int other = 0; other < classes; other++)
    if (other != k)
      while (strlen(n) >= letters && !strncasecmp(n, class_name[other], letters)) letters++;
  return say("%c%.*s", toupper((unsigned char)n[0]), (int)letters - 1, n + 1);
}

/* bound shares, where cells come in groups too */
interval share_among(const pooled *p, const bool *marked)
{
  bool *right = NEW(bool, p->n);
  int *group = NEW(int, p->n), n = 0, known = 0;
  for (int i = 0; i < p->n; i++) {
    if (!marked[i]) continue;
    right[n] = p->a[i].truth == p->a[i].said, known += right[n];
    group[n++] = p->group ? p->group[i] : i;
  }
  const double effect = p->group ? design_effect(right, group, n, p->groups) : 1;
  free(right), free(group);
  return wilson_of(known / effect, n / effect);
}

interval share_right(const pooled *p, int truth, int said)
{
  bool *marked = NEW(bool, p->n);
  for (int i = 0; i < p->n; i++)
    marked[i] = (truth < 0 || p->a[i].truth == truth) && (said < 0 || p->a[i].said == said);
  const interval bounds = share_among(p, marked);
  free(marked);
  return bounds;
}

void macro_intervals(const pooled *p, const confusion *m, uint64_t seed, interval out[SCORE_COUNT])
{
  if (!p->group) { bootstrap(m, seed, out); return; }
  int *truth = NEW(int, p->n), *said = NEW(int, p->n);
  for (int i = 0; i < p->n; i++) truth[i] = p->a[i].truth, said[i] = p->a[i].said;
  group_bootstrap(m->classes, p->n, truth, said, NULL, p->group, p->groups, seed, out, NULL);
  free(truth), free(said);
}

