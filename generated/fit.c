#include "fit.h"
#include "folds.h"
#include "runfolder.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* fit: rows and loss */
int fold_rows(const dataset *ds, const int *fold_of, int fold, bool held_out, int *row)
{
  int n = 0;
  for (int i = 0; i < ds->n; i++)
    if (fold_of[i] >= 0 && (fold_of[i] == fold) == held_out) row[n++] = i;
  return n;
}

void fit_loss(const dataset *ds, const int *row, int n, const double *prob, double *loss, double *accuracy)
{
  int right = 0;
  *loss = 0;
  for (int i = 0; i < n; i++) {
    const double *p = prob + (size_t)i * (size_t)ds->classes;
    int best = 0, label = ds->label[row[i]];
    for (int k = 1; k < ds->classes; k++) if (p[k] > p[best]) best = k;
    right += best == label, *loss -= log(fmax(p[label], 1e-300)) / n;
  }
  *accuracy = (double)right / n;
}

/* fit: the configuration */
static char *configuration(const fit *t)
{
  builder b = {0};
  build(&b, "{\"data\": {\"name\": "), build_json(&b, t->ds->name);
  build(&b, ", \"kind\": "), build_json(&b, t->ds->kind);
  build(&b, ", \"sha256\": \"%s\", \"cells\": %d}, \"net\": {\"name\": ", t->ds->sha256, t->ds->n);
  build_json(&b, t->name);
  build(&b, ", \"title\": "), build_json(&b, t->title);
  build(&b, ", \"set\": "), build_json(&b, t->set);
  build(&b, ", \"sha256\": \"%s\"}, \"recipe\": {\"name\": ", t->sha256), build_json(&b, t->recipe);
  build(&b, ", \"with\": "), build_json(&b, t->with);
  build(&b, "}, \"folds\": %d, \"fold\": %d", t->folds, t->fold);
  if (t->learn) build(&b, ", \"learn\": %d", t->learn);
  build(&b, ", \"cells\": %d, \"seed\": %llu, \"init\": ", t->subset, (unsigned long long)t->seed);
  if (t->init) build_json(&b, t->init); else build(&b, "null");
  build(&b, ", \"device\": "), build_json(&b, t->device), build(&b, "}");
  return built(&b, NULL);
}

static void refuse_other_run(const char *folder, const char *sha)
{
  char *path = join("%s/run.json", folder), *config = join("%s/config.json", folder);
  if (file_exists(config))
    die(EXIT_DATA, folder, "the run of a net that was trained", "a new or empty folder",
        "choose another --out");
  if (file_exists(path)) {
    char *text = file_read(path, NULL, NULL);
    json *j = json_parse(text, path);
    if (strcmp(json_text(j, "config_sha256", ""), sha))
      die(EXIT_DATA, path, "a run of another configuration", "a new or empty folder",
          "choose another --out, or remove that folder");
    json_free(j), free(text);
  }
  free(path), free(config);
}

/* fit: write the folder */
static void write_fit_log(const char *folder, const fit *t)
{
  char *path = join("%s/log.csv", folder);
  atomic_file *a = file_create(path);
  fputs("iteration,epoch,loss,accuracy\n", a->f);
  for (int i = 0; i < t->rows; i++)
    fprintf(a->f, "%d,%d,%.9g,%.9g\n", i + 1, i + 1, t->loss[i], t->accuracy[i]);
  file_commit(a), free(path);
}

static void write_fit_record(const char *folder, const fit *t, const char *config, const char *sha, int trains,
                             int tests, int correct)
{
  char *path = join("%s/run.json", folder), *machine = machine_name();
  atomic_file *a = file_create(path);
  fprintf(a->f, "{\"finished\": true, \"config_sha256\": \"%s\",\n \"config\": %s,\n", sha, config);
  fprintf(a->f, " \"train_cells\": %d, \"test_cells\": %d, \"iterations\": %d, \"epochs\": %d", trains, tests,
          t->rows, t->rows);
  put_member(a->f, "params", t->params), put_member(a->f, "flop_per_image", t->flop);
  put_member(a->f, "seconds", t->seconds), put_member(a->f, "images_per_second", NAN);
  put_member(a->f, "infer_images_per_second", t->rate);
  fprintf(a->f, ", \"threads\": %d,\n \"correct\": %d", t->threads, correct);
  put_member(a->f, "final_loss", t->loss[t->rows - 1]);
  put_member(a->f, "final_accuracy", t->accuracy[t->rows - 1]);
  fputs(", \"diverged\": false, \"weights_sha256\": null,\n \"machine\": ", a->f);
  json_put_text(a->f, machine);
  fputs(", \"version\": ", a->f), json_put_text(a->f, WBCSNET_VERSION), fputs("}\n", a->f);
  file_commit(a), free(path), free(machine);
}

int fit_write(const char *folder, const fit *t, const double *prob)
{
  int *row = NEW(int, t->ds->n), trains = fold_rows(t->ds, t->fold_of, t->fold, false, row);
  folds_thin(t->ds, row, &trains, t->learn, t->seed);
  int tests = fold_rows(t->ds, t->fold_of, t->fold, true, row);
  size_t n = (size_t)tests * (size_t)t->ds->classes;
  float *p = NEW(float, n + 1);
  char *config = configuration(t), *folds = join("%s/folds.csv", folder), sha[65];
  for (size_t i = 0; i < n; i++) p[i] = (float)prob[i];
  sha256_of(config, strlen(config), sha);
  refuse_other_run(folder, sha);
  make_folders(folder);
  int correct = predictions_write(folder, t->ds, row, tests, p);
  folds_write(folds, t->ds, t->fold_of);
  write_fit_log(folder, t);
  write_fit_record(folder, t, config, sha, trains, tests, correct);
  free(row), free(p), free(config), free(folds);
  return correct;
}

/* fit: which folds */
void fit_folds(const char *text, int folds, int *first, int *last)
{
  char *end;
  long f = strtol(text, &end, 10);
  if (folds < 2) die(EXIT_USAGE, "--folds", say("%d", folds), "2 or more", NULL);
  *first = 0, *last = folds - 1;
  if (!strcmp(text, "each")) return;
  if (end == text || *end || f < 0 || f >= folds)
    die(EXIT_USAGE, "--fold", say("'%s'", text), say("0 to %d, or each", folds - 1), NULL);
  *first = *last = (int)f;
}

char *fit_folder(const char *out, int f, bool each)
{
  return each ? join("%s/fold%d", out, f) : copy_text(out);
}

