/* layouts.h: a user's folder -> a list of cells: a file, a class, a group, perhaps a place within the file. */
#ifndef LAYOUTS_H
#define LAYOUTS_H
#include "base/image.h"
#include "cells/npz.h"

/* Where to look and for what; layout to map are flags of import, NULL where not given. any_class: what is no class is taken
   all the same, with the label class_count. */
typedef struct { char *word; int label; bool used; } mapped_word;
typedef struct {
  const char *folder, *layout, *csv, *skip, *classes, *map;
  bool any_class;
  int class_count, maps;
  const char **class_name;
  mapped_word *mapped;                               /* (maps) by read_map */
} cell_source;

/* One cell: where its pixels are and what is known of it. */
typedef struct {
  char *path, *name, *group; /* file; name in the new set, unique in its class; "" when unknown */
  char source_sha[65]; /* "" when the source's CSV has none */
  const char *split; /* of split_names, or "" */
  int part, index; /* in an archive of arrays: picture `index` of split_names[part]; else part is -1 */
  int label, y, x; /* y, x: centre of the window, -1: centre of the image */
  int side; /* of the window, where --crop says nothing: that of a box; 0: the image's shorter side */
  /* Filled in by decoding: */
  char pixels_sha[65]; /* of the cut pixels */
  image cell; /* as it is written */
  int window; /* its side before it was resized */
  char *note; /* what was odd on reading, or NULL */
  const char *hint; /* what helps against a refusal, or NULL */
  bool left_out;
} found_cell;

/* what a search has found */
/* A word that should be a class and is none: how often, and where first. */
typedef struct { char *word, *where; int times; } unknown_word;

typedef struct {
  found_cell *cell;
  unknown_word *unknown;
  int unknowns;
  int n, room, small_boxes, not_images, hidden, other_classes, no_mask, unreadable, not_taken;
} finding;
/* declare what a layout is */
typedef struct {
  const char *name;
  int size, crop;
  double same;
  const char *skip, *what, *help;
  bool (*looks_so)(const char *source, const char *labels);
  void (*find)(const cell_source *, finding *, const char *labels);   /* labels: a table that is there, or NULL */
} layout;

extern const layout layouts[];                       /* in the order in which they are guessed; the last has no name */

char *layout_names(void);                            /* "npz, chula, pbc, csv, lisc or folders"; free() it */

/* The layout that is asked for, or the first that the source looks like; dies with EXIT_USAGE on an unknown name. */
const layout *choose_layout(const cell_source *);

/* Names the classes: those of --classes, else the n usual ones. */
void name_classes(cell_source *from, const char *const *usual, int n);

/* Reads --map into from->mapped, once the classes are named; dies with EXIT_USAGE on what is no pair, or no class. */
void read_map(cell_source *from);

/* Adds the classes that the layout leaves out to --skip-classes, unless there is --classes. */
void skip_as_layout(cell_source *, const layout *);

/* Adds all cells of the source; dies with EXIT_DATA where there is none, or with what is wrong. */
void find_cells(const cell_source *, const layout *, finding *);

/* Adds an image, or all images in a folder and below it, of no class that is known; returns how many. */
int find_images(const cell_source *, finding *);

/* What find_cells and decoding passed by, a line each; dropped: duplicates. Nothing, when nothing was. */
void say_left_out(FILE *, const finding *, int dropped);

/* The pictures (N, H, W) or (N, H, W, 1 or 3) of split_names[part] in an archive; NULL with the reason, or "" when there are none. */
npz_array *open_images(const char *path, int part, char why[256]);
bool is_folder(const char *path);
char *cell_name(const char *below);                  /* the new set's name of a cell whose path in its class is `below`; free() it */
#endif
