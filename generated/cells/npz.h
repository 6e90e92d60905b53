/* npz.h: arrays in a .npz file, as numpy writes them. */
#ifndef NPZ_H
#define NPZ_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* One array, in C order: its shape, and of what: 'u' or 'i', bytes each. The rest is the reader's. */
typedef struct {
  int dims;
  size_t shape[4], count;                            /* count: the product of the shape */
  char kind;
  int bytes;
  bool big;                                          /* big-endian */
  FILE *f;
  uint64_t packed, left;                             /* bytes of the member that are still to come, in the file and unpacked */
  uint32_t crc, sum;                                 /* what the directory says, and what was read, so far */
  void *inflater;                                    /* NULL: stored */
  uint8_t *in;
} npz_array;

/* The array NAME, or NULL with the reason; why is "" when the archive is good and holds none of that name. */
npz_array *npz_open(const char *path, const char *name, char why[256]);
npz_array *npz_open_file(FILE *f, const char *name, char why[256]);   /* f becomes the array's, also on failure */
/* The next n bytes of its elements. false with the reason: cut short, or, with the last byte, damaged. */
bool npz_read(npz_array *a, void *to, size_t n, char why[256]);
/* All elements, as numbers; of an array that nothing was read of. */
bool npz_numbers(npz_array *a, int64_t *to, char why[256]);
void npz_close(npz_array *a);
bool is_zip(const char *path);                       /* a plain file that begins like an archive */
#endif
