/* dataset.h: the five classes; data sets on the disk and in memory. */
#ifndef DATASET_H
#define DATASET_H
#include "base/base.h"
#include "base/image.h"

enum { CLASSES = 5 };
extern const char *const class_names[CLASSES + 1];                 /* neutrophil .. monocyte, NULL */
extern const char *const class_short[CLASSES + 1];                 /* Neu Eos Bas Lym Mon, NULL */

/* The class that a word means among class_names, by name or usual alias in any case (NEU, Neut,
   neutrophils, "SNE"); -1 when none. */
int class_of(const char *word);

/* The parts of a split that its makers published, as column split of labels.csv names them. */
enum { SPLIT_TRAIN, SPLIT_VAL, SPLIT_TEST };
extern const char *const split_names[4];                           /* train val test, NULL */
/* The part that a word means, in any case (training, valid, validation, testing, ...); -1 when none. */
int split_of(const char *word);

/* declare how a data set is written */
/* Writes a data set. dataset_create dies with EXIT_USAGE when folder exists and is not empty, unless
   replace is set and it holds a data set; class_name (classes, NULL-ended or not) must outlive the
   writer. dataset_add writes class_name[label]/NAME.tif; all cells have one size; group may be NULL or
   "". dataset_commit writes labels.csv (sorted by file) and dataset.json, syncs, writes out what was
   printed, renames: the report comes first. A writer that is not committed leaves nothing behind, also
   when the program dies; dataset_cancel does the same by hand. */
typedef struct dataset_writer dataset_writer;
/* A folder that is filled beside its place, at path. stage_open dies with EXIT_USAGE when the place is taken: by
   anything that lacks the file mark, or, without replace, by what (such as "a data set") with that file. What killed
   processes left there is swept. stage_commit syncs, writes out what was printed, and renames. */
typedef struct { char *folder, *path; const char *mark, *what; bool replace; int lock; } stage;
stage *stage_open(const char *folder, const char *mark, const char *what, bool replace);
void stage_commit(stage *);
void stage_cancel(stage *);

dataset_writer *dataset_create(const char *folder, bool replace, int classes,
                               const char *const *class_name);
void dataset_add(dataset_writer *d, int label, const char *name, const char *group, const image *cell);
/* Which part of the source's own split the cell that was added last belongs to: a name of split_names, or "". */
void dataset_add_split(dataset_writer *d, const char *split);
void dataset_commit(dataset_writer *d, const char *name, const char *kind, const char *source,
                    const char *command);
void dataset_cancel(dataset_writer *d);

/* "wbcsnet synth --seed 1 ..." from argv, for dataset.json's "command"; free() it. */
char *command_line(int argc, char **argv);
/* declare how a data set is read */

/* A data set in memory, rows in the order of labels.csv. */
typedef struct {
  int n, h, w, c, classes;                           /* cells, height, width, channels (3 or 1), classes */
  int disk_h, disk_w;                                /* height and width on the disk */
  uint8_t *pixels;                                   /* (N, H, W, C) */
  int *label;                                        /* (N), 0 .. classes-1 */
  int *group; /* (N), 0 .. groups-1 in the order of their names; -1 unknown */
  int *split;                                        /* (N), SPLIT_TRAIN ..., -1 unknown; NULL: the set has no split */
  char **file;                                       /* (N), relative to the folder */
  const char **class_name;                           /* (classes) */
  char **group_name;                                 /* (groups) */
  int groups;
  bool grouped;                                      /* at least one group is known */
  char *name, kind[16], sha256[65]; /* from dataset.json; SHA-256 of labels.csv as it is now */
} dataset;

/* Load a data set. Cells of another size than h x w are resized; h = w = 0 keeps the size on the disk.
   Dies with EXIT_DATA: not a data set, a file missing, damaged or changed since it was imported, an
   unknown class. */
dataset *dataset_load(const char *folder, int h, int w);
/* What a dataset.json that was read from path says of its cells; dies with EXIT_DATA when it does not say. */
bool is_synthetic(const json *j, const char *path);
/* Dies with EXIT_DATA when a dataset.json is not the text that was written; one without a hash of its own is believed. */
void refuse_altered(const json *j, const char *text, const char *path);
/* Dies with EXIT_DATA when the table of a data set has a column that no data set has. */
void dataset_columns(const csv *t);
/* Make the cells of a loaded set grey, in place (c = 1, see image_channels); nothing for c = 3. */
void dataset_channels(dataset *ds, int c);
/* Forget the groups, for a deal by someone who does not know them; what is returned goes to dataset_regroup. */
int *dataset_ungroup(dataset *ds);
void dataset_regroup(dataset *ds, int *known);
void dataset_free(dataset *ds);
#endif
