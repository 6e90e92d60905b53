/* safetensors.h: named tensors and notes in one file that other programs read as well. */
#ifndef SAFETENSORS_H
#define SAFETENSORS_H
#include "base/base.h"

/* Written are the first four; ST_OTHER and what follows is never looked into. */
typedef enum { ST_F32, ST_F64, ST_I32, ST_I64, ST_F16, ST_BF16, ST_OTHER, ST_TYPES = ST_OTHER + 10 } st_type;
enum { ST_RANK = 8 };

typedef struct {
  char *name;
  st_type type;
  int rank;
  long long dim[ST_RANK];
  size_t bytes;
  const void *data;                                  /* may be unaligned: memcpy from it */
} st_tensor;

/* A file being gathered for writing, or one that was read. note holds key, value, key, value ... of __metadata__.
   converted: it holds numbers of two bytes, which this program does not write. */
typedef struct { int tensors, notes; bool converted; st_tensor *tensor; char **note, *bytes, *path; } safetensors;

safetensors *st_new(void);
/* Names and notes are copied; data is kept by reference until st_write. dim has rank entries. */
void st_add(safetensors *, const char *name, st_type, int rank, const int *dim, const void *data);
void st_put(safetensors *, const char *key, const char *value);
/* Write atomically (see file_create); hex receives the SHA-256 of the file's bytes, NULL when not wanted. Dies with EXIT_FAIL. */
void st_write(const safetensors *, const char *path, char hex[65]);

/* Read and check a whole file. Dies with EXIT_DATA when it is truncated, damaged or of another format. */
safetensors *st_read(const char *path);
const st_tensor *st_find(const safetensors *, const char *name);            /* NULL when absent */
/* Copy a tensor of that type and count to out; where F32 is asked for, F16 and BF16 are too, and become it exactly.
   Dies with EXIT_DATA when it is absent or of another type or count. */
void st_copy(const safetensors *, const char *name, st_type, size_t count, void *out);
bool st_is_real(const st_tensor *);                  /* F32, F16 or BF16: what st_copy makes F32 of */
const char *st_type_name(st_type);
const char *st_note(const safetensors *, const char *key);                  /* NULL when absent */
const char *st_need(const safetensors *, const char *key);                  /* dies with EXIT_DATA when absent */
void st_free(safetensors *);
#endif
