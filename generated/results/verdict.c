#include "base/options.h"
#include "results/values.h"
#include <glob.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Below the scale full the first two are called the next two, which say what they are worth. What waits, more runs can judge; what is
 * not comparable, none can. */
typedef enum { REPRODUCED, NOT_REPRODUCED, SEEN, NOT_SEEN, UNDECIDED, WAITING, NOT_COMPARABLE, NOT_CLAIMED, VERDICTS } verdict;
static const struct { const char *key, *macro, *word, *colour; } known[VERDICTS] = {
  { "reproduced", "\\reproduced", "reproduced", "good" },
  { "not-reproduced", "\\notreproduced", "not reproduced", "bad" },
  { "seen", "\\seen", "seen here", "good" },
  { "not-seen", "\\notseen", "not seen here", "bad" },
  { "undecided", "\\undecided", "undecided", "open" },
  { "waiting", "\\waiting", "waiting for runs", "open" },
  { "not-comparable", "\\notcomparable", "not comparable", "open" },
  { "not-claimed", "\\notclaimed", "not claimed", "open" },
};

typedef struct {
  const char *claim, *about, *published, *rule, *ours, *limit, *reason;        /* a row of claims.csv */
  const value *theirs, *mine;                        /* published and ours; NULL when there is none */
  const char *kind;                                  /* of the cells that ours was measured on */
  const char *limit_begun;                           /* where the weights of the arm that limit names began, or NULL */
  const char *unfinished;                            /* "3 of 10 folds so far", or NULL */
  verdict verdict;
  char *why;                                         /* in TeX */
} judged;

/* Is it counted from the nets, without a run? Is ours a difference, which is printed with its sign? */
static bool is_counted(const judged *c) { return !strcmp(c->rule, "count"); }
static bool is_difference(const judged *c) { return !strcmp(c->rule, "better") || !strcmp(c->rule, "ask"); }

/* read the published numbers */
static void read_published(values *t, const char *path)
{
  csv *c = csv_read(path, "experiments/published.csv");
  int id = csv_need(c, "id"), place = csv_need(c, "place"), number = csv_need(c, "value");
  for (int i = 0; i < c->rows; i++) {
    const char *s = csv_cell(c, i, number), *point = strchr(s, '.');
    if (*s) put_number(t, atof(s), point ? (int)strlen(point + 1) : 0, "paper/%s", csv_cell(c, i, id));
    else put_text(t, "not printed", "paper/%s", csv_cell(c, i, id));
    put_text(t, csv_cell(c, i, place), "paper/%s/place", csv_cell(c, i, id));
  }
  csv_free(c);
}

/* derive what follows from the paper's table */
static double paper(const values *t, const char *id)
{
  const value *v = find_value(t, say("paper/%s", id));
  if (!v || v->text)
    die(EXIT_DATA, "published.csv", say("no number '%s'", id), NULL,
        "the chapter on experiments names the rows it needs");
  return v->value;
}

static void derive_table(values *t)
{
  const char *c[5] = { "Neu", "Eos", "Bas", "Lym", "Mon" };
  confusion m = { .classes = 5 };
  double score[SCORE_COUNT], alike = 0;
  for (int i = 0; i < 5; i++)
    for (int j = 0; j < 5; j++) m.cell[i][j] = (long)paper(t, say("table1/%s/%s", c[i], c[j]));
  long cells = confusion_total(&m), right = confusion_right(&m);
  put_number(t, (double)cells, 0, "published/cells"), put_number(t, (double)right, 0, "published/right");
  put_number(t, (double)(cells - right), 0, "published/errors");
  put_number(t, paper(t, "data/dataset1") - (double)cells, 0, "published/missing");
  macro_scores(&m, score);
  for (int i = 0; i < SCORE_COUNT; i++) put_number(t, 100 * score[i], 2, "published/%s", score_name[i]);
  for (int k = 0; k < 5; k++) {
    long row = 0;
    for (int j = 0; j < 5; j++) row += m.cell[k][j];
    interval w = wilson(m.cell[k][k], row);
    put_bounds(put_number(t, 100.0 * (double)m.cell[k][k] / (double)row, 1, "published/recall/%s", c[k]),
               100 * w.low, 100 * w.high);
    put_number(t, (double)row, 0, "published/cells/%s", c[k]);
  }
  alike = (double)(m.cell[0][1] + m.cell[1][0] + m.cell[3][4] + m.cell[4][3]);
  put_number(t, 100 * alike / (double)(cells - right), 1, "published/alike");
  /* derive what the two accuracies allow */
  long n = (long)paper(t, "data/dataset1"), right2 = lround(paper(t, "fig6/wbcsnet2") * (double)n / 100);
  long right1 = lround(paper(t, "fig6/wbcsnet") * (double)n / 100), most = 0;
  interval two = wilson(right2, n), one = wilson(right1, n);
  put_bounds(put_number(t, paper(t, "fig6/wbcsnet2"), 2, "published/wbcsnet2"), 100 * two.low, 100 * two.high);
  put_bounds(put_number(t, paper(t, "fig6/wbcsnet"), 2, "published/wbcsnet"), 100 * one.low, 100 * one.high);
  put_p(put_number(t, two_proportion_z(right2, n, right1, n), 2, "published/z"),
        normal_p(two_proportion_z(right2, n, right1, n)));
  for (int more = 0; more < 2; more++) {
    long gain = right2 - right1 + more;
    for (long both = gain; both < n; both += 2)
      if (mcnemar((both + gain) / 2, (both - gain) / 2) < LEVEL) most = both;
    put_number(t, (double)most, 0, more ? "published/most-rounded" : "published/most");
  }
  double gain = paper(t, "sec4/neutrophils2") - paper(t, "sec4/neutrophils");
  put_number(t, 100 * gain / find_value(t, "published/cells/Neu")->value, 1, "published/neutrophil-gain");
  put_number(t, paper(t, "fig8/wbcsnet2") - paper(t, "fig8/gain"), 2, "published/transfer-wbcsnet");
}

/* judge a claim */
static void settle(judged *c, verdict v, const char *why) { c->verdict = v, c->why = copy_text(why); }

static void judge_number(judged *c, const char *scale)
{
  const value *v = c->mine;
  if (strcmp(scale, "full")) { settle(c, WAITING, say("only scale %s here", scale)); return; }
  bool inside = v->bounded && v->low <= c->theirs->value && c->theirs->value <= v->high;
  settle(c, inside ? REPRODUCED : NOT_REPRODUCED,
         say("published value %s our interval", inside ? "inside" : "outside"));
}

/* judge a claim of the other kinds */
/* At full, the paper's gain, where it prints one, may be excluded by our interval though no difference is found. */
static void judge_better(judged *c, bool full)
{
  const value *v = c->mine;
  const char *p = say("$p %s$", p_text(v->p));
  const bool found = v->tested && v->p < LEVEL, printed = c->theirs && !c->theirs->text;
  const bool excluded = full && printed && v->bounded && (v->high < c->theirs->value || v->low > c->theirs->value);
  if (found) settle(c, v->value > 0 ? REPRODUCED : NOT_REPRODUCED, v->value > 0 ? p : say("%s: the opposite", p));
  else if (excluded) settle(c, NOT_REPRODUCED, say("%s, published gain excluded", p));
  else settle(c, UNDECIDED, say("%s: neither found nor excluded", p));
}

static void judge_limit(judged *c, bool least, const char *scale)
{
  const value *v = c->mine;
  double limit = atof(c->limit), reached = !v->bounded ? v->value : least ? v->low : v->high;
  bool good = least ? reached >= limit : reached <= limit;
  const char *asked = say(scale ? "limit: at %s %s" : "counted without a run (at %s %s)", least ? "least" : "most", c->limit);
  if (scale && strcmp(scale, "full")) settle(c, WAITING, say("only scale %s here; %s", scale, asked));
  else settle(c, good ? REPRODUCED : NOT_REPRODUCED, asked);
}

static void judge_start(judged *c)
{
  const value *v = c->mine;
  bool inside = v->bounded && v->low <= c->theirs->value && c->theirs->value <= v->high;
  bool wide = v->high - v->low > c->theirs->value / 2;
  const char *why = say("%s one more run's interval", inside ? "inside" : "outside");
  if (!v->bounded) settle(c, UNDECIDED, "one run gives no interval");
  else if (inside && wide) settle(c, UNDECIDED, say("%s, which is wide", why));
  else settle(c, inside ? REPRODUCED : NOT_REPRODUCED, why);
}

static void answer_question(judged *c)
{
  const value *v = c->mine;
  const char *cells = strcmp(c->kind, "real") ? "drawn cells; " : "";
  if (!v) settle(c, NOT_CLAIMED, "not run at this scale");
  else if (v->text) settle(c, NOT_CLAIMED, "the run diverged");
  else if (!v->tested) settle(c, NOT_CLAIMED, *cells ? "drawn cells" : "");
  else settle(c, NOT_CLAIMED, say("%s$p %s$%s", cells, p_text(v->p), v->p >= LEVEL ? ": no difference found"
                                  : v->value < 0 ? ": the opposite" : ""));
}

/* judge a claim by its rule */
/* Why no run can ever judge it, or NULL. */
static const char *find_obstacle(const judged *c)
{
  const bool tuned = !strcmp(c->rule, "better") && *c->limit, absolute = !strcmp(c->rule, "number") || !strcmp(c->rule, "start");
  if (!strcmp(c->rule, "none")) return c->reason;
  if (!strcmp(c->limit, "fitted")) return "our initialiser came from it";
  if (absolute && (!c->theirs || c->theirs->text)) return "no number is printed";
  if (tuned && !c->limit_begun) return "needs ImageNet's weights";
  if (tuned && strcmp(c->limit_begun, "given"))
    return c->mine && c->mine->tested ? say("fine-tuned from drawn cells; $p %s$", p_text(c->mine->p)) : "fine-tuned from drawn cells";
  return NULL;
}

/* What it waits for, or NULL. */
static const char *find_wait(const judged *c, const char *scale)
{
  if (!strcmp(scale, "smoke")) return "smoke judges nothing";
  if (!c->mine) return "no such run yet";
  if (c->unfinished) return c->unfinished;
  if (!strcmp(c->kind, "real") || !strcmp(c->about, "training")) return NULL;
  return c->mine->tested ? say("only drawn cells here; $p %s$", p_text(c->mine->p)) : "only drawn cells here";
}

static void judge_by_rule(judged *c, const char *scale)
{
  const char *obstacle = find_obstacle(c), *wait = find_wait(c, scale);
  if (!strcmp(c->rule, "ask")) answer_question(c);
  else if (is_counted(c) && c->mine) judge_limit(c, true, NULL);
  else if (obstacle) settle(c, NOT_COMPARABLE, obstacle);
  else if (wait) settle(c, WAITING, wait);
  else if (c->mine->text) settle(c, NOT_REPRODUCED, "the run diverged");
  else if (!strcmp(c->rule, "better")) judge_better(c, !strcmp(scale, "full"));
  else if (!strcmp(c->rule, "least") || !strcmp(c->rule, "most")) judge_limit(c, c->rule[0] == 'l', scale);
  else if (!strcmp(c->rule, "number")) judge_number(c, scale);
  else if (!strcmp(c->rule, "start")) judge_start(c);
  else die(EXIT_DATA, "claims.csv", say("the rule '%s'", c->rule),
           "number, better, least, most, start, count, ask or none", NULL);
}

static void judge(judged *c, const char *scale)
{
  judge_by_rule(c, scale);
  if (is_counted(c) || !strcmp(scale, "full")) return;
  if (c->verdict == REPRODUCED) c->verdict = SEEN;
  else if (c->verdict == NOT_REPRODUCED) c->verdict = NOT_SEEN;
}

/* write the claims table */
static const char *signed_text(const value *v, bool sign)
{
  const char *mark = v->value < 0 ? "$-$" : sign ? "+" : "";
  const char *s = v->text ? tex_text(v->text) : say("%s%.*f", mark, v->digits, fabs(v->value));
  return v->bounded ? say("%s {\\small(%s)}", s, bounds_text(v)) : s;
}

static void write_claim(FILE *f, const judged *c, const values *t)
{
  bool sign = is_difference(c);
  const value *place = find_value(t, say("paper/%s/place", c->published));
  value theirs = c->theirs ? *c->theirs : (value){0}, gap = { .digits = 2 };
  theirs.bounded = false;
  if (c->theirs && c->mine && !c->theirs->text && !c->mine->text) {
    gap.digits = c->mine->digits < 2 ? c->mine->digits : 2;
    gap.value = c->mine->value - c->theirs->value;
    if (fabs(gap.value) < 0.5 * pow(10, -gap.digits)) gap.value = 0;
  } else gap.text = "--";
  char *printed = copy_text(c->theirs ? signed_text(&theirs, sign) : "--");
  char *ours = copy_text(c->mine ? signed_text(c->mine, sign) : "--");
  fprintf(f, "\\claim{%s}{%s}{%s}{%s}{%s}{%s}{%s}\n", tex_text(c->claim), place ? tex_text(place->text) : "",
          printed, ours,
          signed_text(&gap, true), known[c->verdict].macro, c->why);
  free(printed), free(ours);
}

/* count the verdicts */
/* read a claim */
/* key: EXPERIMENT/ARM/... or EXPERIMENT/ARM-vs-ARM/... What an arm's folds give is judged when all of them are there;
 * an arm without held-out cells has none. */
static const char *find_unfinished(const values *t, const char *key)
{
  char *text = copy_text(key), *arm = strchr(text, '/'), *end = arm ? strchr(arm + 1, '/') : NULL;
  const char *found = NULL;
  for (char *next; arm && end && arm < end && !found; arm = next) {
    char *versus = strstr(arm + 1, "-vs-");
    next = versus && versus < end ? versus + 3 : end;
    const int length = (int)((next < end ? versus : end) - (arm + 1)), experiment = (int)(strchr(text, '/') - text);
    const value *folds = find_value(t, say("%.*s/%.*s/folds", experiment, text, length, arm + 1));
    const value *runs = find_value(t, say("%.*s/%.*s/runs", experiment, text, length, arm + 1));
    const value *held = find_value(t, say("%.*s/%.*s/accuracy", experiment, text, length, arm + 1));
    if (held && folds && runs && folds->value > 1 && fmod(runs->value, folds->value) > 0)
      found = copy_text(say("%.0f of %.0f folds so far", fmod(runs->value, folds->value), folds->value));
  }
  free(text);
  return found;
}

static judged read_claim(const csv *c, int row, const values *t)
{
  const char *cell[7], *columns[7] = { "claim", "about", "published", "rule", "ours", "limit", "reason" };
  for (int i = 0; i < 7; i++) cell[i] = csv_cell(c, row, csv_need(c, columns[i]));
  judged j = { cell[0], cell[1], cell[2], cell[3], cell[4], cell[5], cell[6],
               NULL, NULL, "?", NULL, NULL, NOT_COMPARABLE, NULL };
  bool derived = !strncmp(j.published, "published/", 10);
  j.theirs = find_value(t, derived ? j.published : say("paper/%s", j.published));
  if (*j.published && !j.theirs)
    die(EXIT_DATA, c->path, say("the id '%s'", j.published),
        "an id of published.csv, or a value derived from Table 1", NULL);
  j.mine = *j.ours ? find_value(t, j.ours) : NULL;
  const value *kind = find_value(t, say("%.*s/kind", (int)strcspn(j.ours, "/"), j.ours));
  if (kind) j.kind = kind->text;
  const value *begun = find_value(t, say("%s/begun", j.limit));
  if (begun) j.limit_begun = begun->text;
  j.unfinished = find_unfinished(t, j.ours);
  return j;
}

typedef struct {
  int n, count[VERDICTS], counted[VERDICTS];         /* counted: those of them that needed no run */
  judged *record, *here;                             /* of each row of claims.csv */
  const judged **last;                               /* that of the two whose verdict is the claim's */
} judgement;

static const judged *choose(const judged *record, const judged *here)
{
  if (!record->mine) return here;
  return record->verdict == WAITING && here->verdict != WAITING ? here : record;
}

static judgement judge_claims(const csv *c, const values *record, const values *here, const char *scale)
{
  judgement j = { .n = c->rows, .record = NEW(judged, c->rows), .here = NEW(judged, c->rows), .last = NEW(const judged *, c->rows) };
  for (int i = 0; i < j.n; i++) {
    j.record[i] = read_claim(c, i, record), judge(&j.record[i], "full");
    j.here[i] = read_claim(c, i, here), judge(&j.here[i], scale);
    const judged *last = j.last[i] = choose(&j.record[i], &j.here[i]);
    j.count[last->verdict]++;
    if (is_counted(last)) j.counted[last->verdict]++;
  }
  return j;
}

static char *write_tally(const judgement *j)
{
  builder b = {0};
  const bool small = j->count[SEEN] || j->count[NOT_SEEN];
  build(&b, "Of the paper's %d claims", j->n - j->count[NOT_CLAIMED]);
  for (int v = 0; v < NOT_CLAIMED; v++) {
    if ((v == SEEN || v == NOT_SEEN) && !small) continue;
    build(&b, "%s %s %d", v ? "," : ":", known[v].word, j->count[v]);
    if (v > NOT_SEEN || !j->counted[v]) continue;
    if (j->counted[v] == j->count[v]) build(&b, " (counted without a run)");
    else build(&b, " (%d counted without a run)", j->counted[v]);
  }
  return built(&b, NULL);
}

static void put_counts(values *t, const judgement *j)
{
  char *tally = write_tally(j);
  int tests = 0;
  for (int i = 0; i < j->n; i++) tests += j->last[i]->verdict <= UNDECIDED && !strcmp(j->last[i]->rule, "better");
  for (int v = 0; v < VERDICTS; v++) put_number(t, j->count[v], 0, "verdict/%s", known[v].key);
  put_number(t, j->n - j->count[NOT_CLAIMED], 0, "verdict/all");
  put_number(t, tests, 0, "verdict/tests"), put_text(t, tally, "verdict/tally");
  free(tally);
}

/* write the findings */
static void write_value_text(FILE *f, const value *v, bool sign)
{
  if (v->text) fputs(v->text, f);
  else fprintf(f, "%s%.*f", sign && v->value > 0 ? "+" : "", v->digits, v->value);
  if (v->bounded) fprintf(f, " (%.*f to %.*f)", v->digits, v->low, v->digits, v->high);
}

static void write_claim_text(FILE *f, const judged *record, const judged *here, const judged *last)
{
  const bool sign = is_difference(here);
  const value *t = here->theirs;
  fprintf(f, "%-16s %s:", known[last->verdict].word, here->claim);
  if (t && !t->text) fprintf(f, " published %s%.*f,", sign && t->value > 0 ? "+" : "", t->digits, t->value);
  if (record->mine) fputs(" record ", f), write_value_text(f, record->mine, sign), fputc(',', f);
  fputs(" ours ", f);
  if (here->mine) write_value_text(f, here->mine, sign);
  else fputc('-', f);
  fputs("; ", f);
  for (const char *s = last->why; *s; s++) if (*s != '$') fputc(*s, f);
  fputc('\n', f);
}

static void find_accuracy(FILE *f, const values *t, const char *what, const char *key)
{
  const value *v = find_value(t, key);
  if (!v || v->text)
    fprintf(f, "%s: %s\n", what, v || find_value(t, say("%.*s/runs", (int)(strlen(key) - strlen("/accuracy")), key))
            ? "no value (the runs diverged)" : "not run");
  else fprintf(f, "%s: %.2f %% right (95 %% interval %.2f to %.2f)\n", what, v->value, v->low, v->high);
}

static void find_difference(FILE *f, const values *t, const char *what, const char *key)
{
  const value *v = find_value(t, say("%s/accuracy", key));
  const value *a = find_value(t, say("%s/first", key)), *b = find_value(t, say("%s/second", key));
  if (!v || !a || !b) { fprintf(f, "%s: no value\n", what); return; }
  const value *cells = find_value(t, say("%s/cells", key)), *groups = find_value(t, say("%s/groups", key));
  const bool grouped = cells && groups && groups->value < cells->value;
  fprintf(f, "%s: %+.2f points, %.0f cells against %.0f, exact %s p %s\n", what, v->value, a->value, b->value,
          grouped ? "paired (by groups)" : "McNemar", p_text(v->p));
}

static void write_findings(FILE *f, const values *t)
{
  find_accuracy(f, t, "Dataset1, WBCsNet-2", "cv/wbcsnet2/accuracy");
  find_accuracy(f, t, "Dataset1, WBCsNet  ", "cv/wbcsnet/accuracy");
  find_difference(f, t, "Dataset1, WBCsNet-2 against WBCsNet", "cv/wbcsnet2-vs-wbcsnet");
  find_difference(f, t, "Dataset2, WBCsNet-2 pre-trained against from scratch",
                  "transfer/wbcsnet2-tuned-vs-wbcsnet2-scratch");
  const value *kind = find_value(t, "cv/kind");
  bool drawn = kind && strcmp(kind->text, "real");
  fprintf(f, "%s%s\n", find_value(t, "verdict/tally")->text, drawn ? " (on drawn cells recognition is not judged)" : "");
}

/* the verdict subcommand */
/* judge all claims */
/* add up over the experiments */
static double over_experiments(const values *t, const char *name)
{
  double sum = 0;
  for (int i = 0; i < t->n; i++) {
    const char *slash = strchr(t->v[i].key, '/');
    if (slash && !strcmp(slash + 1, name)) sum += t->v[i].value;
  }
  return sum;
}

static void put_cells_needed(values *t)
{
  const value *b = find_value(t, "cv/wbcsnet2-vs-wbcsnet/first"), *c = find_value(t, "cv/wbcsnet2-vs-wbcsnet/second");
  const value *all = find_value(t, "cv/wbcsnet2-vs-wbcsnet/cells");
  const double gain = paper(t, "fig6/gain") / 100, disagree = b && c && all ? (b->value + c->value) / all->value : NAN;
  put_number(t, cells_needed(gain, gain), 0, "needed/least");
  if (isnan(disagree)) return;
  put_number(t, cells_needed(gain, disagree), 0, "needed/ours");
  put_number(t, 100 * fmax(disagree, gain), 1, "needed/disagree");
}

static void read_results(values *t, const char *path)
{
  char *text = file_read(path, NULL, "a results.json of wbcsnet summarise");
  read_values_json(t, json_get(json_parse(text, path), "values"));
  free(text);
}

/* For the figures: what follows from the published numbers, a key and its value a line. */
static void write_published(const values *t, const char *out)
{
  atomic_file *a = file_create(say("%s/published.dat", out));
  fputs("# key value\n", a->f);
  for (int i = 0; i < t->n; i++)
    if (!strncmp(t->v[i].key, "published/", 10) && !t->v[i].text)
      fprintf(a->f, "%s %.*f\n", t->v[i].key + 10, t->v[i].digits, t->v[i].value);
  file_commit(a);
}

/* write the record beside this machine */
/* The results of every experiment of the record; none when folder is NULL. */
static void read_record(values *t, const char *folder)
{
  glob_t found;
  if (!folder || glob(say("%s/*/results.json", folder), 0, NULL, &found)) return;
  for (size_t i = 0; i < found.gl_pathc; i++) read_results(t, found.gl_pathv[i]);
  globfree(&found);
}

/* A row of the first table, recorded.tex. */
static void write_recorded(FILE *f, const judged *record, const judged *here, const judged *last)
{
  const bool sign = is_difference(here);
  value theirs = here->theirs ? *here->theirs : (value){0};
  theirs.bounded = false;
  char *printed = copy_text(here->theirs ? signed_text(&theirs, sign) : "--");
  char *kept = copy_text(record->mine ? signed_text(record->mine, sign) : "--");
  char *ours = copy_text(here->mine ? signed_text(here->mine, sign) : "--");
  fprintf(f, "\\recorded{%s}{%s}{%s}{%s}{%s}{%s}{%s}\n", tex_text(here->claim), printed, kept, ours, known[last->verdict].colour,
          known[last->verdict].word, last->why);
  free(printed), free(kept), free(ours);
}

/* record.tex; the first own of the values are the paper's. */
static void write_record_values(const values *record, int own, const char *out)
{
  values kept = {0};
  for (int i = own; i < record->n; i++) {
    const value v = record->v[i];
    value *copy = put_number(&kept, v.value, v.digits, "record/%s", v.key);
    char *key = copy->key;
    *copy = v, copy->key = key;
  }
  atomic_file *a = file_create(say("%s/record.tex", out));
  write_values_tex(a->f, &kept), file_commit(a);
}

static void judge_all(values *t, const values *record, int own, const char *claims, const char *scale, const char *out)
{
  csv *c = csv_read(claims, "experiments/claims.csv");
  judgement j = judge_claims(c, record, t, scale);
  unlink(say("%s/verdict.tex", out));                /* it comes last again */
  atomic_file *a = file_create(say("%s/claims.tex", out));
  for (int i = 0, asked = 0; i < j.n; i++) {
    if (j.here[i].verdict == NOT_CLAIMED && !asked++) fputs("\\questions\n", a->f);
    write_claim(a->f, &j.here[i], t);
  }
  file_commit(a);
  a = file_create(say("%s/claims.txt", out));
  for (int i = 0; i < j.n; i++) write_claim_text(a->f, &j.record[i], &j.here[i], j.last[i]);
  file_commit(a);
  a = file_create(say("%s/recorded.tex", out));
  for (int i = 0; i < j.n; i++)
    if (j.last[i]->verdict != NOT_CLAIMED) write_recorded(a->f, &j.record[i], &j.here[i], j.last[i]);
  file_commit(a);
  int first = t->n;
  put_counts(t, &j), put_cells_needed(t);
  const char *sums[3] = { "runs", "diverged", "minutes" };
  for (int i = 0; i < 3; i++) put_number(t, over_experiments(t, sums[i]), i == 2, "all/%s", sums[i]);
  a = file_create(say("%s/findings.txt", out));
  write_findings(a->f, t), file_commit(a);
  /* write the values that verdict made */
  values mine = { .v = t->v, .n = own }, counts = { .v = t->v + first, .n = t->n - first };
  write_published(&mine, out);
  a = file_create(say("%s/verdict.tex", out));
  write_values_tex(a->f, &mine), write_values_tex(a->f, &counts), file_commit(a);
  free(j.here), free(j.record), free(j.last), csv_free(c);
}

/* wbcsnet verdict: hold the results against the published numbers by the rule written before the runs. */
int cmd_verdict(int argc, char **argv)
{
  static const char *path[64];
  const char *published = NULL, *claims = NULL, *scale = NULL, *out = NULL, *record = NULL;
  int n;
  const option flags[] = {
    { "published", OPTION_TEXT, &published, "CSV",
      "the paper's numbers: id, place, quantity, value, unit, note" },
    { "record", OPTION_TEXT, &record, "FOLDER", "results of the record: FOLDER/EXPERIMENT/results.json, scale full" },
    { "claims", OPTION_TEXT, &claims, "CSV", "the claims: claim, about, published, rule, ours, limit, reason" },
    { "scale", OPTION_TEXT, &scale, "NAME", "the scale the runs were made at; only full is the paper's" },
    { "out", OPTION_TEXT, &out, "FOLDER", "where verdict.tex goes, and what it needs: claims, findings, the record" }, {0} };
  options_read(argc, argv, flags,
               "verdict --published CSV --claims CSV --scale NAME --out FOLDER RESULTS.json...",
               "Judge the paper's claims by the results of summarise.", NULL, path, &n, 64);
  if (!published || !claims || !scale || !out)
    die(EXIT_USAGE, "verdict", "a flag that is missing",
        "--published, --claims, --scale and --out", NULL);
  values t = {0};
  read_published(&t, published), derive_table(&t);
  int own = t.n;
  for (int i = 0; i < n; i++) read_results(&t, path[i]);
  make_folders(out);
  values kept = {0};
  read_published(&kept, published), derive_table(&kept);
  read_record(&kept, record);
  write_record_values(&kept, own, out);
  judge_all(&t, &kept, own, claims, scale, out);
  return 0;
}
