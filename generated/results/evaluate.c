#include "learning/folds.h"
#include "learning/model.h"
#include "base/options.h"
#include "classical/pipeline.h"
#include "results/scores.h"
#include "cells/stain.h"
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* say what witnesses are, and what is asked of them */
/* What is asked: a trained net; or (m NULL) the pipeline before nets, fitted; or a table of answers that were given already. */
typedef struct {
  model *m;
  pipeline p;
  csv *answers;                                      /* NULL: a net or the pipeline */
  int file_column, said_column, first_column;        /* of the table; first_column: of the probabilities, -1: none */
  safetensors *file;                                 /* its notes */
  char **class_name, sha256[65];                     /* (classes), NULL-ended; of the file */
  int classes;
  const char *name, *title, *set, *sort;             /* sort: SHA-256 of the net's text, or of what the pipeline measures */
} witness;

typedef struct {
  const char *data, *out, *device, *like;            /* like: of --stain-like */
  char like_sha[65];
  word_list weights, tables;
  witness **w;                                       /* (nets), by their files' SHA-256 */
  int nets, threads, n, ignored, *row;               /* row (n): the cells that are asked about; ignored: the others */
  dataset *ds, seen;                                 /* the set; the same cells with the classes that the nets know */
  const engine_kind *kind;
  uint64_t seed;
  bool ignore_unknown, as_json, adapt;
  float *prob;                                       /* (n, seen.classes) */
} evaluation;

/* A number between 0 and 1 with its interval; NAN where there is none, as the recall of a class without cells. */
typedef struct { double value; interval bounds; } estimate;

/* load a witness: a net or a pipeline */
static witness *witness_load(const char *path)
{
  witness *w = NEW(witness, 1);
  w->file = st_read(path);
  if (pipeline_stored(w->file)) {
    w->class_name = pipeline_fetch(w->file, &w->p), w->classes = w->p.classes;
    w->name = st_need(w->file, "net_name"), w->title = st_need(w->file, "net_title"), w->sort = st_need(w->file, "net_sha256");
  } else {
    w->m = model_of(w->file);
    w->class_name = w->m->class_name, w->classes = w->m->net->classes;
    w->name = w->m->net->name, w->title = w->m->net->title, w->sort = w->m->net->sha256;
  }
  w->set = st_note(w->file, "set");
  sha256_of_file(path, w->sha256);
  return w;
}

static void witness_free(witness *w)
{
  if (w->m) model_free(w->m);
  else {
    for (int k = 0; k < w->classes; k++) free(w->class_name[k]);
    free(w->class_name), st_free(w->file);
    if (w->answers) csv_free(w->answers); else pipeline_clear(&w->p);
  }
  free(w);
}

/* take a table of answers for a witness */
/* The words of a column as classes, in the order of their letters. */
static void classes_of_words(witness *w)
{
  for (int i = 0; i < w->answers->rows; i++) {
    const char *word = csv_cell(w->answers, i, w->said_column);
    int at = 0;
    while (at < w->classes && strcasecmp(w->class_name[at], word) < 0) at++;
    if (at < w->classes && !strcasecmp(w->class_name[at], word)) continue;
    w->class_name = grow(w->class_name, sizeof(char *) * (size_t)(w->classes + 2));
    memmove(w->class_name + at + 1, w->class_name + at, sizeof(char *) * (size_t)(w->classes - at));
    w->class_name[at] = copy_text(word), w->class_name[++w->classes] = NULL;
    if (w->classes > CLASSES_MOST)
      die(EXIT_DATA, w->answers->path, "too many classes", say("at most %d", CLASSES_MOST), "is it a table of answers?");
  }
}

static witness *witness_of_table(const char *path)
{
  witness *w = NEW(witness, 1);
  csv *t = w->answers = csv_read(path, "columns file and class");
  w->file = st_new(), w->file->path = copy_text(path), w->set = "";
  w->name = "answers", w->title = w->file->path, w->sort = "";
  sha256_of_file(path, w->sha256);
  w->file_column = csv_need(t, "file"), w->said_column = csv_column(t, "predicted");
  if (w->said_column < 0) w->said_column = csv_need(t, "class");
  const int truth = csv_column(t, "true");
  w->first_column = (w->file_column > w->said_column ? w->file_column : w->said_column) + 1;
  if (truth >= w->first_column) w->first_column = truth + 1;
  for (int i = w->first_column; i < t->columns; i++) {
    w->class_name = grow(w->class_name, sizeof(char *) * (size_t)(w->classes + 2));
    w->class_name[w->classes++] = copy_text(t->header[i]), w->class_name[w->classes] = NULL;
  }
  if (!w->classes) w->first_column = -1, classes_of_words(w);
  return w;
}

/* read all witnesses */
static int by_hash(const void *a, const void *b)
{
  return strcmp((*(witness *const *)a)->sha256, (*(witness *const *)b)->sha256);
}

static void read_nets(evaluation *e)
{
  const int weights = e->weights.n;
  e->nets = weights + e->tables.n, e->w = NEW(witness *, e->nets);
  for (int i = 0; i < e->nets; i++) {
    e->w[i] = i < weights ? witness_load(e->weights.word[i]) : witness_of_table(e->tables.word[i - weights]);
    const char *path = e->w[i]->file->path;
    for (int k = 0; k < i; k++) {
      if (!strcmp(e->w[i]->sha256, e->w[k]->sha256))
        die(EXIT_USAGE, path, say("what %s holds, again", e->w[k]->file->path), "each net of an ensemble once", NULL);
      if (strcmp(e->w[i]->sort, e->w[k]->sort) || e->w[i]->p.size != e->w[k]->p.size)
        die(EXIT_DATA, path, say("another net than in %s", e->w[k]->file->path), "the folds of one net", "evaluate each net alone");
    }
  }
  qsort(e->w, (size_t)e->nets, sizeof *e->w, by_hash);
}

/* warn of a net that learned from these cells */
static const char *learned_from(const witness *w)
{
  const char *data = st_note(w->file, "data_sha256");
  return data ? data : "unknown";
}

/* The sets that the nets learned from: the beginning of each one's SHA-256, with + between them; free() it. */
static char *teachers(const evaluation *e)
{
  char *all = copy_text("");
  for (int i = 0; i < e->nets; i++) {
    const char *one = say("%.12s", learned_from(e->w[i]));
    if (strstr(all, one)) continue;
    char *more = join("%s%s%s", all, *all ? "+" : "", one);
    free(all), all = more;
  }
  return all;
}

static void warn_of_memory(const evaluation *e)
{
  int same = 0;
  for (int i = 0; i < e->nets; i++) same += !strcmp(learned_from(e->w[i]), e->ds->sha256);
  if (same)
    warn(e->data, same == 1 && e->nets == 1 ? "the net learned from this very set" : say("%d of the nets learned from this very set", same),
         "what is right there may be remembered, not recognised");
}

/* The seed of a run: its nets' own, where they share one. */
static uint64_t seed_of_training(const evaluation *e)
{
  uint64_t seed = 0;
  for (int i = 0; i < e->nets; i++) {
    const char *text = st_note(e->w[i]->file, "config");
    json *config = text ? json_parse(text, "config") : NULL;
    const uint64_t own = json_seed(config, "seed");
    json_free(config);
    if (!own || (seed && seed != own)) return 1;
    seed = own;
  }
  return seed;
}

/* find a class by its name */
static int class_named(const char *name, const char *const *list, int n)
{
  for (int k = 0; k < n; k++) if (!strcasecmp(name, list[k])) return k;
  return -1;
}

static int known_to(const witness *w, const char *name)
{
  return class_named(name, (const char *const *)w->class_name, w->classes);
}

/* The nets must agree on the classes; one may have them in another order. */
static void same_classes(const evaluation *e)
{
  const int n = e->w[0]->classes;
  if (n > CLASSES_MOST) die(EXIT_DATA, e->w[0]->file->path, say("%d classes", n), say("at most %d", CLASSES_MOST), NULL);
  for (int i = 1; i < e->nets; i++)
    for (int k = 0; k < n; k++)
      if (e->w[i]->classes != n || known_to(e->w[i], e->w[0]->class_name[k]) < 0)
        die(EXIT_DATA, e->w[i]->file->path, say("%d classes, not the same", e->w[i]->classes),
            say("the %d of %s", n, e->w[0]->file->path),
            "evaluate each net alone");
}

/* "blast (3), plasma cell (1)": the classes that the nets do not know, and how many cells; free() it. */
static char *unknown_classes(const evaluation *e, int *cells)
{
  const dataset *ds = e->ds;
  int *count = NEW(int, ds->classes);
  char *all = copy_text("");
  for (int i = 0; i < ds->n; i++) count[ds->label[i]]++;
  *cells = 0;
  for (int k = 0; k < ds->classes; k++) {
    if (!count[k] || known_to(e->w[0], ds->class_name[k]) >= 0) continue;
    char *more = join("%s%s%s (%d)", all, *all ? ", " : "", ds->class_name[k], count[k]);
    free(all), all = more, *cells += count[k];
  }
  free(count);
  return all;
}

/* match the classes of witnesses and cells */
/* Cells of unknown classes are an error, or left out. */
static void refuse_unknown(evaluation *e)
{
  char *all = unknown_classes(e, &e->ignored), *known = copy_text("");
  for (int k = 0; k < e->w[0]->classes; k++) {
    char *more = join("%s%s%s", known, k ? ", " : "", e->w[0]->class_name[k]);
    free(known), known = more;
  }
  if (e->ignored == e->ds->n)
    die(EXIT_DATA, e->data, say("no cell of a class that the weights know: %s", all), known, "is it a set of the same kind?");
  if (e->ignored && !e->ignore_unknown)
    die(EXIT_DATA, e->data, say("%d cells of classes that the weights do not know: %s", e->ignored, all), known, "--ignore-unknown leaves them out");
  if (e->ignored) warn(e->data, say("left out %d cells of classes that the weights do not know: %s", e->ignored, all), NULL);
  free(all), free(known);
}

static void match_classes(evaluation *e)
{
  const dataset *ds = e->ds;
  const witness *m = e->w[0];
  e->seen = *ds;
  e->seen.classes = 0, e->seen.class_name = NEW(const char *, m->classes), e->seen.label = NEW(int, ds->n), e->row = NEW(int, ds->n);
  for (int k = 0; k < ds->classes; k++)
    if (known_to(m, ds->class_name[k]) >= 0) e->seen.class_name[e->seen.classes++] = ds->class_name[k];
  for (int k = 0; k < m->classes; k++)
    if (class_named(m->class_name[k], e->seen.class_name, e->seen.classes) < 0) e->seen.class_name[e->seen.classes++] = m->class_name[k];
  for (int i = 0; i < ds->n; i++) {
    e->seen.label[i] = class_named(ds->class_name[ds->label[i]], e->seen.class_name, e->seen.classes);
    if (e->seen.label[i] >= 0) e->row[e->n++] = i;
  }
}

/* ask a net */
static size_t cells_bytes(const dataset *ds) { return (size_t)ds->n * (size_t)ds->h * (size_t)ds->w * (size_t)ds->c; }

/* take the statistics anew */
static void take_statistics(const evaluation *e, engine *g, const net *n)
{
  enum { AT_ONCE = 32 };
  if (!n->stat_floats)
    die(EXIT_USAGE, "--adapt", say("%s, a net without batch norm", n->name), "a net whose statistics can be taken anew", NULL);
  e->kind->stats_begin(g);
  for (int i = 0; i < e->n; i += AT_ONCE) {
    const batch b = { .n = e->n - i < AT_ONCE ? e->n - i : AT_ONCE, .row = e->row + i };
    e->kind->stats_batch(g, &b);
  }
  e->kind->stats_end(g);
}

static void ask_net(const evaluation *e, const witness *w, double *sum)
{
  const model *m = w->m;
  enum { AT_ONCE = 32 };
  const int k = e->seen.classes;
  plan *p = plan_make(m->net, AT_ONCE);
  engine *g = e->kind->open(p, e->threads);
  int *label = NEW(int, e->ds->n);                   /* what the loss is told, which nobody reads */
  float *prob = NEW(float, AT_ONCE * k);
  uint8_t *own = m->colours ? memcpy(new_bytes(cells_bytes(e->ds)), e->ds->pixels, cells_bytes(e->ds)) : NULL;
  e->kind->write_state(g, &m->state);
  if (own) model_prepare(m, own, e->ds->n);
  e->kind->set_cells(g, own ? own : e->ds->pixels, label, e->ds->n, m->mean);
  if (e->adapt) take_statistics(e, g, m->net);
  for (int i = 0; i < e->n; i += AT_ONCE) {
    const batch b = { .n = e->n - i < AT_ONCE ? e->n - i : AT_ONCE, .row = e->row + i };
    e->kind->infer(g, &b, prob);
    for (int c = 0; c < k; c++) {
      const int at = known_to(w, e->seen.class_name[c]);
      for (int j = 0; j < b.n; j++) sum[(size_t)(i + j) * (size_t)k + (size_t)c] += prob[j * k + at];
    }
  }
  e->kind->close(g), plan_free(p), free(label), free(prob), free(own);
}

/* ask the pipeline */
static void ask_pipeline(const evaluation *e, const witness *w, double *sum)
{
  const int k = e->seen.classes;
  int at[CLASSES_MOST];
  for (int c = 0; c < k; c++) at[c] = known_to(w, e->seen.class_name[c]);
  const dataset *ds = e->ds;
  #pragma omp parallel for schedule(dynamic, 8)
  for (int i = 0; i < e->n; i++) {
    const measures m = pipeline_measure(ds->pixels + (size_t)e->row[i] * (size_t)ds->h * (size_t)ds->w * 3, ds->h, ds->w);
    double p[CLASSES_MOST];
    pipeline_posterior(&w->p, m.value, p);
    for (int c = 0; c < k; c++) sum[(size_t)i * (size_t)k + (size_t)c] += p[at[c]];
  }
}

/* ask a table */
typedef struct { const char *end; int row; } answer_row;

/* The last two parts of a path. */
static const char *end_of(const char *path)
{
  const char *end = path + strlen(path);
  for (int parts = 2; end > path; end--) if (end[-1] == '/' && !--parts) break;
  return end;
}

static int by_end(const void *a, const void *b)
{
  return strcmp(((const answer_row *)a)->end, ((const answer_row *)b)->end);
}

static int by_end_and_row(const void *a, const void *b)
{
  const int d = by_end(a, b);
  return d ? d : ((const answer_row *)a)->row - ((const answer_row *)b)->row;
}

/* The table's rows in the order of their ends; free() them. */
static answer_row *sort_rows(const witness *w)
{
  const csv *t = w->answers;
  answer_row *r = NEW(answer_row, t->rows + 1);
  for (int i = 0; i < t->rows; i++) r[i] = (answer_row){ end_of(csv_cell(t, i, w->file_column)), i };
  qsort(r, (size_t)t->rows, sizeof *r, by_end_and_row);
  for (int i = 1; i < t->rows; i++)
    if (!strcmp(r[i].end, r[i - 1].end))
      die(EXIT_DATA, t->path, say("%s a second time, in line %d", r[i].end, r[i].row + 2), "one answer for each cell", NULL);
  return r;
}

static double probability_in(const witness *w, int row, int k)
{
  const csv *t = w->answers;
  if (w->first_column < 0) return !strcasecmp(csv_cell(t, row, w->said_column), w->class_name[k]);
  const char *text = csv_cell(t, row, w->first_column + k);
  char *end;
  const double p = strtod(text, &end);
  if (end == text || *end || !(p >= 0 && p <= 1.0001))
    die(EXIT_DATA, say("%s:%d", t->path, row + 2), say("'%s' for %s", text, w->class_name[k]), "a probability",
        "behind file and class stand probabilities, a column a class");
  return p;
}

static void ask_table(const evaluation *e, const witness *w, double *sum)
{
  const int k = e->seen.classes, rows = w->answers->rows;
  answer_row *r = sort_rows(w);
  int missing = 0;
  const char *first = "";
  for (int i = 0; i < e->n; i++) {
    const answer_row key = { .end = end_of(e->ds->file[e->row[i]]) }, *at = bsearch(&key, r, (size_t)rows, sizeof *r, by_end);
    double *to = sum + (size_t)i * (size_t)k;
    if (!at && !missing++) first = key.end;
    for (int c = 0; at && c < k; c++) to[c] += probability_in(w, at->row, known_to(w, e->seen.class_name[c]));
  }
  if (missing)
    die(EXIT_DATA, w->answers->path, say("no answer for %d cells, the first of them %s", missing, first), say("one for each of %d", e->n), NULL);
  free(r);
}

/* ask a witness of any kind */
static void ask(const evaluation *e, const witness *w, double *sum)
{
  if (w->m) ask_net(e, w, sum);
  else if (w->answers) ask_table(e, w, sum);
  else ask_pipeline(e, w, sum);
}

static void ask_all(evaluation *e)
{
  const size_t n = (size_t)e->n * (size_t)e->seen.classes;
  double *sum = NEW(double, n);
  for (int i = 0; i < e->nets; i++) ask(e, e->w[i], sum);
  for (size_t i = 0; i < n; i++) e->prob[i] = (float)(sum[i] / e->nets);
  free(sum);
}

/* match the colours of each net's cells */
static void match_colours(evaluation *e)
{
  dataset *ds = e->ds, *like;
  if (!e->like) return;
  if (ds->c != 3) die(EXIT_USAGE, "--stain-like", "a net that sees grey", "a net that sees colours", NULL);
  like = dataset_load(e->like, ds->h, ds->w);
  const size_t each = (size_t)ds->h * (size_t)ds->w;
  const stain to = stain_of_cells(like->pixels, NULL, like->n, each);
  stain_match_cells(ds->pixels, ds->n, each, true, &to);
  memcpy(e->like_sha, like->sha256, sizeof e->like_sha);
  dataset_free(like);
}

/* gather the answers */
typedef struct {
  confusion m;
  pooled p;
  answer *answer;
  estimate accuracy, balanced, precision, f1, error; /* precision: the macro mean; error: of calibration */
  estimate recall_of[CLASSES_MOST], precision_of[CLASSES_MOST], bin_right[RELIABILITY_BINS];
  reliability bin[RELIABILITY_BINS];
  double confidence;                                 /* the mean */
  uint64_t seed;
} report;

/* The answers, and how sure the nets were of each; free() them. */
static answer *gather_answers(const evaluation *e, double *confidence)
{
  answer *a = NEW(answer, e->n);
  const dataset *ds = &e->seen;
  for (int i = 0; i < e->n; i++) {
    const float *p = e->prob + (size_t)i * (size_t)ds->classes;
    const int r = e->row[i], g = ds->group[r];
    a[i] = (answer){ ds->file[r], g < 0 ? "" : ds->group_name[g], ds->label[r], 0 };
    for (int k = 1; k < ds->classes; k++) if (p[k] > p[a[i].said]) a[i].said = k;
    confidence[i] = p[a[i].said];
  }
  return a;
}

static estimate estimate_of(double value, interval bounds) { return (estimate){ value, bounds }; }
static const estimate none = { NAN, { NAN, NAN } };

/* score the answers */
static void score_classes(report *r)
{
  double one[SCORE_COUNT], score[SCORE_COUNT];
  interval bounds[SCORE_COUNT];
  for (int k = 0; k < r->m.classes; k++) {
    long row = 0, column = 0;
    for (int j = 0; j < r->m.classes; j++) row += r->m.cell[k][j], column += r->m.cell[j][k];
    class_scores(&r->m, k, one);
    r->recall_of[k] = row ? estimate_of(one[SCORE_RECALL], share_right(&r->p, k, -1)) : none;
    r->precision_of[k] = column ? estimate_of(one[SCORE_PRECISION], share_right(&r->p, -1, k)) : none;
  }
  macro_scores(&r->m, score), macro_intervals(&r->p, &r->m, r->seed, bounds);
  r->accuracy = estimate_of(score[SCORE_ACCURACY], share_right(&r->p, -1, -1));
  r->balanced = estimate_of(score[SCORE_RECALL], bounds[SCORE_RECALL]);
  r->precision = estimate_of(score[SCORE_PRECISION], bounds[SCORE_PRECISION]);
  r->f1 = estimate_of(score[SCORE_F1], bounds[SCORE_F1]);
}

static void score_confidence(report *r, const double *confidence)
{
  const int n = r->p.n;
  bool *right = NEW(bool, n), *inside = NEW(bool, n);
  for (int i = 0; i < n; i++) right[i] = r->answer[i].truth == r->answer[i].said, r->confidence += confidence[i] / n;
  const double found = calibration(confidence, right, n, r->bin);
  r->error = estimate_of(found, calibration_bounds(confidence, right, n, r->p.group, r->p.groups, r->seed));
  for (int m = 0; m < RELIABILITY_BINS; m++) {
    for (int i = 0; i < n; i++) inside[i] = reliability_bin(confidence[i]) == m;
    r->bin_right[m] = r->bin[m].cells > 0 ? estimate_of(r->bin[m].right / r->bin[m].cells, share_among(&r->p, inside)) : none;
  }
  free(right), free(inside);
}

static report *score(const evaluation *e)
{
  report *r = NEW(report, 1);
  double *confidence = NEW(double, e->n);
  r->seed = e->seed, r->answer = gather_answers(e, confidence);
  r->p = (pooled){ .a = r->answer, .n = e->n };
  r->p.group = group_numbers(r->answer, e->n, &r->p.groups);
  r->m = count_answers(e->seen.classes, r->answer, e->n);
  score_classes(r), score_confidence(r, confidence);
  free(confidence);
  return r;
}

/* print matrix and reliability */
/* "84.3 (80.1 to 87.7)", a dash where there is no such number; in say()'s buffers. */
static const char *percent(const estimate *x)
{
  if (isnan(x->value)) return "-";
  return say("%.1f (%.1f to %.1f)", 100 * x->value, 100 * x->bounds.low, 100 * x->bounds.high);
}

static void print_matrix(const evaluation *e, const report *r)
{
  const int k = r->m.classes;
  const char *const *name = e->seen.class_name;
  printf("\n%-16s", "true \\ said");
  for (int j = 0; j < k; j++) printf(" %6s", short_name(name, k, j));
  printf("   %-22s %s\n", "recall", "precision");
  for (int i = 0; i < k; i++) {
    printf("%-16s", name[i]);
    for (int j = 0; j < k; j++) printf(" %6ld", r->m.cell[i][j]);
    printf("   %-22s %s\n", percent(&r->recall_of[i]), percent(&r->precision_of[i]));
  }
}

static void print_reliability(const report *r)
{
  printf("\n%-12s %8s %12s   %s\n", "confidence", "cells", "mean", "right");
  for (int m = 0; m < RELIABILITY_BINS; m++)
    if (r->bin[m].cells > 0)
      printf("%3d to %3d    %8.0f %12.1f   %s\n", 100 * m / RELIABILITY_BINS, 100 * (m + 1) / RELIABILITY_BINS, r->bin[m].cells,
             100 * r->bin[m].confidence / r->bin[m].cells, percent(&r->bin_right[m]));
}

static void print_head(const evaluation *e, const report *r)
{
  printf("%s (%s): %d cells%s, asked of %s%s\n", e->ds->name, e->ds->kind, e->n, r->p.group ? say(" in %d groups", r->p.groups) : "",
         e->w[0]->title, e->nets > 1 ? say(", the mean of %d nets", e->nets) : "");
  if (e->ignored) printf("%d cells of unknown classes are left out\n", e->ignored);
  for (int k = 0; k < r->m.classes; k++)
    if (isnan(r->recall_of[k].value)) printf("no cell of class %s is in this set; means are over the other classes\n", e->seen.class_name[k]);
  printf("numbers in percent, with 95 %% intervals%s\n", r->p.group ? ", by whole groups" : "");
}

/* print the report */
static void print_report(const evaluation *e, const report *r)
{
  const struct { const char *name; const estimate *x; } line[] = {
    { "accuracy", &r->accuracy }, { "balanced accuracy", &r->balanced }, { "macro precision", &r->precision }, { "macro F1", &r->f1 },
    { "expected calibration error", &r->error } };
  print_head(e, r);
  print_matrix(e, r);
  putchar('\n');
  for (int i = 0; i < 5; i++) printf("%-28s %s\n", line[i].name, percent(line[i].x));
  printf("%-28s %.1f\n", "mean confidence", 100 * r->confidence);
  print_reliability(r);
}

/* write the report as JSON */
static void put_share(FILE *f, const char *name, double x)
{
  fprintf(f, isfinite(x) ? "\"%s\": %.9g" : "\"%s\": null", name, x);
}

static void put_estimate(FILE *f, const char *name, const estimate *x)
{
  json_put_text(f, name), fputs(": {", f);
  put_share(f, "value", x->value), fputs(", ", f), put_share(f, "low", x->bounds.low), fputs(", ", f), put_share(f, "high", x->bounds.high);
  fputc('}', f);
}

static void put_classes(FILE *f, const char *name, const evaluation *e, const estimate *x)
{
  fprintf(f, ",\n \"%s\": {", name);
  for (int k = 0; k < e->seen.classes; k++) fputs(k ? ", " : "", f), put_estimate(f, e->seen.class_name[k], &x[k]);
  fputc('}', f);
}

static void put_matrix(FILE *f, const evaluation *e, const confusion *m)
{
  fputs(",\n \"classes\": [", f);
  for (int k = 0; k < m->classes; k++) fputs(k ? ", " : "", f), json_put_text(f, e->seen.class_name[k]);
  fputs("],\n \"confusion\": [", f);
  for (int i = 0; i < m->classes; i++)
    for (int j = 0; j < m->classes; j++)
      fprintf(f, "%s%ld%s", j ? ", " : i ? ", [" : "[", m->cell[i][j], j + 1 < m->classes ? "" : "]");
  fputc(']', f);
}

static void put_bins(FILE *f, const report *r)
{
  fputs(",\n \"reliability\": [", f);
  for (int m = 0; m < RELIABILITY_BINS; m++) {
    const reliability *b = &r->bin[m];
    fprintf(f, "%s\n  {\"from\": %g, \"to\": %g, \"cells\": %.0f, ", m ? "," : "", (double)m / RELIABILITY_BINS,
            (m + 1.0) / RELIABILITY_BINS, b->cells);
    put_share(f, "confidence", b->cells > 0 ? b->confidence / b->cells : NAN);
    fputs(", ", f), put_estimate(f, "right", &r->bin_right[m]), fputc('}', f);
  }
  fputc(']', f);
}

static void put_report(FILE *f, const evaluation *e, const report *r)
{
  char *taught = teachers(e);
  const struct { const char *name; const estimate *x; } line[] = {
    { "accuracy", &r->accuracy }, { "balanced_accuracy", &r->balanced }, { "macro_precision", &r->precision }, { "macro_f1", &r->f1 },
    { "calibration_error", &r->error } };
  fputs("{\"data\": {\"name\": ", f), json_put_text(f, e->ds->name);
  fprintf(f, ", \"kind\": \"%s\", \"sha256\": \"%s\"},\n \"net\": ", e->ds->kind, e->ds->sha256), json_put_text(f, e->w[0]->name);
  fprintf(f, ", \"learned_from\": \"%s\", \"weights\": [", taught);
  for (int i = 0; i < e->nets; i++) fprintf(f, "%s\"%s\"", i ? ", " : "", e->w[i]->sha256);
  fprintf(f, "],\n \"cells\": %d, \"groups\": %d, \"ignored\": %d, \"right\": %ld", e->n, r->p.groups, e->ignored, confusion_right(&r->m));
  put_matrix(f, e, &r->m);
  for (int i = 0; i < 5; i++) fputs(",\n ", f), put_estimate(f, line[i].name, line[i].x);
  fputs(",\n ", f), put_share(f, "mean_confidence", r->confidence);
  put_classes(f, "recall", e, r->recall_of), put_classes(f, "precision", e, r->precision_of);
  put_bins(f, r);
  fputs("}\n", f), free(taught);
}

/* write tables for gnuplot */
static atomic_file *open_table(const evaluation *e, const char *name)
{
  char *path = join("%s/%s", e->out, name);
  atomic_file *a = file_create(path);
  free(path);
  return a;
}

static void write_reliability(const evaluation *e, const report *r)
{
  atomic_file *a = open_table(e, "reliability.dat");
  fputs("# from to cells confidence right low high\n", a->f);
  for (int m = 0; m < RELIABILITY_BINS; m++) {
    const reliability *b = &r->bin[m];
    const estimate *x = &r->bin_right[m];
    if (b->cells > 0)
      fprintf(a->f, "%g %g %.0f %.6g %.6g %.6g %.6g\n", (double)m / RELIABILITY_BINS, (m + 1.0) / RELIABILITY_BINS, b->cells,
              b->confidence / b->cells, x->value, x->bounds.low, x->bounds.high);
  }
  file_commit(a);
}

static void write_matrix(const evaluation *e, const report *r)
{
  atomic_file *a = open_table(e, "confusion.dat");
  fputs("# true said cells share true said\n", a->f);
  for (int i = 0; i < r->m.classes; i++) {
    long row = 0;
    for (int j = 0; j < r->m.classes; j++) row += r->m.cell[i][j];
    for (int j = 0; j < r->m.classes; j++)
      fprintf(a->f, "%d %d %ld %.6g \"%s\" \"%s\"\n", i, j, r->m.cell[i][j], row ? (double)r->m.cell[i][j] / (double)row : 0,
              e->seen.class_name[i], e->seen.class_name[j]);
    fputc('\n', a->f);
  }
  file_commit(a);
}

static void write_tables(const evaluation *e, const report *r)
{
  atomic_file *a = open_table(e, "evaluation.json");
  put_report(a->f, e, r), file_commit(a);
  write_reliability(e, r), write_matrix(e, r);
}

/* open a run folder for answers */
enum { EVALUATION = 1 };

static char *recipe_of(const evaluation *e)
{
  char *taught = teachers(e), *ignored = e->ignored ? join(",ignored=%d", e->ignored) : copy_text("");
  const char *like = e->like ? say(",stain-like=%.12s", e->like_sha) : "";
  char *recipe = join("{\"name\": \"evaluate\", \"with\": \"nets=%d,learned=%s%s%s%s\"}", e->nets, taught, ignored, e->adapt ? ",adapt=1" : "", like);
  free(taught), free(ignored);
  return recipe;
}

static char *hashes_of(const evaluation *e)
{
  char *all = copy_text("");
  for (int i = 0; i < e->nets; i++) {
    char *more = join("%s%s%s", all, i ? " " : "", e->w[i]->sha256);
    free(all), all = more;
  }
  return all;
}

static void open_folder(const evaluation *e, run_folder *r)
{
  const witness *w = e->w[0];
  char *recipe = recipe_of(e), *init = hashes_of(e);
  const run_config c = { .ds = e->ds, .net = w->name, .title = w->title, .set = w->set ? w->set : "", .net_sha256 = w->sort,
                         .recipe = recipe, .folds = 1, .fold = 0, .seed = e->seed, .init = init, .device = w->m ? e->kind->name : "cpu",
                         .engine = w->m ? e->kind->arithmetic : 0, .method = EVALUATION, .candidates = w->m ? candidates_of(e->kind) : NULL };
  run_open(r, e->out, &c, NULL);
  free(recipe), free(init);
}

/* write the answers as a run */
static void read_back(evaluation *e)
{
  const int k = e->seen.classes;
  run r;
  run_read(&r, e->out);
  if (r.answers != e->n || r.classes != k)
    die(EXIT_DATA, e->out, say("%d cells, %d classes", r.answers, r.classes), say("%d cells, %d classes", e->n, k),
        "remove its run.json to run it again");
  for (int i = 0; i < e->n; i++)
    for (int c = 0; c < k; c++)
      e->prob[(size_t)i * (size_t)k + (size_t)c] = strtof(csv_cell(r.predictions, i, r.predictions->columns - k + c), NULL);
  fprintf(e->as_json ? stderr : stdout, "%s: finished already\n", e->out);
}

static void write_run(const evaluation *e, const run_folder *r, double seconds)
{
  int *fold = NEW(int, e->ds->n);
  char *folds = join("%s/folds.csv", e->out);
  const net *n = e->w[0]->m ? e->w[0]->m->net : NULL;
  double params = n ? 0 : NAN;
  for (int i = 0; n && i < n->params; i++) params += (double)n->param[i].count;
  for (int i = 0; i < e->ds->n; i++) fold[i] = e->seen.label[i] < 0 ? -1 : 0;
  const int correct = run_write_predictions(r, &e->seen, e->row, e->n, e->prob);
  folds_write(folds, &e->seen, fold);
  run_write_log(r, 0, 1, NULL, NULL);
  run_write_record(r, &(run_result){ .params = e->nets * params, .flop = n ? e->nets * n->flop : NAN, .seconds = seconds, .rate = NAN,
    .infer_rate = e->n / fmax(seconds, 1e-9), .memory = NAN, .train_flop = NAN, .loss = NAN, .accuracy = NAN, .test_cells = e->n,
    .threads = e->threads, .correct = correct, .diverged_at = -1, .gpu = n && e->kind->gpu ? e->kind->gpu() : NULL,
    .vectors = n && e->kind->vectors ? e->kind->vectors() : NULL });
  free(fold), free(folds);
}

/* evaluate in a run folder */
static report *evaluate_in_folder(evaluation *e)
{
  run_folder r;
  open_folder(e, &r);
  const bool open = run_look(&r, true) == RUN_OPEN;
  const double start = seconds();
  if (open) ask_all(e); else read_back(e);
  const double spent = seconds() - start;
  report *what = score(e);
  if (open) run_claim(&r);
  write_tables(e, what);
  if (open) write_run(e, &r, spent);
  run_close(&r);
  return what;
}

/* read the flags of evaluate */
static void read_evaluate_flags(evaluation *e, int argc, char **argv)
{
  const char *rest[4096];
  int more = 0;
  const option table[] = {
    { "weights", OPTION_WORDS, &e->weights, "FILE", "weights of train or classical --save; more of them, also as words: an ensemble" },
    { "answers", OPTION_WORDS, &e->tables, "FILE", "in place of weights: a table file,class of answers, such as predict --table writes" },
    { "data", OPTION_TEXT, &e->data, "FOLDER", "the data set to test on, as import or synth wrote it" },
    { "out", OPTION_TEXT, &e->out, "FOLDER", "leave a run folder that summarise reads, evaluation.json and tables for gnuplot" },
    { "json", OPTION_FLAG, &e->as_json, NULL, "print one JSON object" },
    { "adapt", OPTION_FLAG, &e->adapt, NULL, "take the statistics of batch norm anew, of these cells, without their labels" },
    { "stain-like", OPTION_TEXT, &e->like, "SET", "bring the cells as a whole to the colours of this data set first" },
    { "ignore-unknown", OPTION_FLAG, &e->ignore_unknown, NULL, "leave out cells of classes that the weights do not know" },
    { "seed", OPTION_SEED, &e->seed, "S", "seed of the run and of its intervals (0: that of the nets' training, else 1)" },
    { "device", OPTION_TEXT, &e->device, "NAME", "engine: auto, cpu, ref, cuda[:N], cuda-tf32, cuda-bf16 (auto)" },
    { "threads", OPTION_INT, &e->threads, "T", "threads (0: one a core); no result depends on it" },
    {0}
  };
  options_read(argc, argv, table, "evaluate --data FOLDER --weights FILE [flags] [MORE-WEIGHTS...]",
               "Test trained nets on a data set, such as another laboratory's: confusion matrix, recall, precision, calibration.",
               "  wbcsnet evaluate --data build/data/chula --weights runs/pbc/fold0/weights.safetensors\n"
               "  wbcsnet evaluate --data build/data/chula --out runs/elsewhere/pbc/seed1/fold0 --weights runs/pbc/fold*/weights.safetensors\n",
               rest, &more, 4096);
  for (int i = 0; i < more; i++) word_add(&e->weights, rest[i]);
  if (!e->data) die(EXIT_USAGE, "--data", "no value", "a data set to test on", "wbcsnet import makes one");
  if (!e->weights.n && !e->tables.n) die(EXIT_USAGE, "--weights", "no value", "a weights file", "wbcsnet train makes one");
  if (e->threads < 0 || e->threads > 4096) die(EXIT_USAGE, "--threads", say("%d", e->threads), "0 to 4096", NULL);
}

static void free_evaluation(evaluation *e, report *r)
{
  for (int i = 0; i < e->nets; i++) witness_free(e->w[i]);
  dataset_free(e->ds);
  free(e->w), free(e->weights.word), free(e->tables.word), free(e->seen.class_name), free(e->seen.label), free(e->row), free(e->prob);
  free(r->answer), free(r->p.group), free(r);
}

/* run the evaluate subcommand */
/* wbcsnet evaluate: trained nets on another data set. */
int cmd_evaluate(int argc, char **argv)
{
  evaluation e = { .device = "auto" };
  read_evaluate_flags(&e, argc, argv);
  e.kind = engine_find(e.device);
  if (e.threads) omp_set_num_threads(e.threads);
  else e.threads = omp_get_max_threads();
  read_nets(&e), same_classes(&e);
  const int side = e.w[0]->p.size;
  const shape in = e.w[0]->m ? e.w[0]->m->net->layer[0].out : (shape){ .h = side, .w = side, .c = 3 };
  e.ds = dataset_load(e.data, in.h, in.w);
  dataset_channels(e.ds, in.c);
  refuse_unknown(&e), match_classes(&e), warn_of_memory(&e), match_colours(&e);
  if (!e.seed) e.seed = seed_of_training(&e);
  e.prob = NEW(float, (size_t)e.n * (size_t)e.seen.classes);
  if (!e.out) ask_all(&e);
  report *r = e.out ? evaluate_in_folder(&e) : score(&e);
  if (e.as_json) put_report(stdout, &e, r); else print_report(&e, r);
  free_evaluation(&e, r);
  return 0;
}
