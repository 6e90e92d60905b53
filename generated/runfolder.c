#include "runfolder.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* run folder: predictions */
int predictions_write(const char *folder, const dataset *ds, const int *row, int n, const float *prob)
{
  int k = ds->classes, correct = 0;
  char *path = join("%s/predictions.csv", folder);
  atomic_file *a = file_create(path);
  fputs("file,class,predicted", a->f);
  for (int c = 0; c < k; c++) fputc(',', a->f), csv_put(a->f, ds->class_name[c]);
  fputc('\n', a->f);
  for (int i = 0; i < n; i++) {
    const float *p = prob + (size_t)i * (size_t)k;
    int label = ds->label[row[i]], best = 0;
    for (int c = 1; c < k; c++) if (p[c] > p[best]) best = c;
    correct += best == label;
    csv_put(a->f, ds->file[row[i]]), fputc(',', a->f), csv_put(a->f, ds->class_name[label]);
    fputc(',', a->f), csv_put(a->f, ds->class_name[best]);
    for (int c = 0; c < k; c++) fprintf(a->f, ",%.9g", p[c]);
    fputc('\n', a->f);
  }
  file_commit(a);
  free(path);
  return correct;
}

/* run folder: parts of a record */
char *machine_name(void)
{
  char line[512], *name = NULL;
  FILE *f = fopen("/proc/cpuinfo", "r");
  while (f && !name && fgets(line, sizeof line, f)) {
    char *colon = strchr(line, ':');
    if (strncmp(line, "model name", 10) || !colon) continue;
    colon[1 + strcspn(colon + 1, "\n")] = 0;
    name = copy_text(colon + 1 + strspn(colon + 1, " "));
  }
  if (f) fclose(f);
  return name ? name : copy_text("unknown");
}

void put_member(FILE *f, const char *name, double x)
{
  if (isfinite(x)) fprintf(f, ", \"%s\": %.9g", name, x);
  else fprintf(f, ", \"%s\": null", name);
}

