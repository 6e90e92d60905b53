/* One reader under libFuzzer, named by -DREADER: any bytes give a picture, an array, a table, or a reason; never a crash.
   Readers of text end the program with a message; here exit comes back instead. */
#include "base/base.h"
#include "base/image.h"
#include "cells/npz.h"
#include "learning/safetensors.h"
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char wbcsnet_version[] = "fuzz";
static jmp_buf back;
static bool inside;
_Noreturn void __real_exit(int code);
_Noreturn void __wrap_exit(int code);
void __wrap_exit(int code)
{
  if (inside) longjmp(back, 1);
  __real_exit(code);
}

enum { TIFF_, PNG_, JPEG_, BMP_, NPZ_, CSV_, JSON_, SAFETENSORS_ };

static void read_picture(const uint8_t *p, size_t n)
{
  image m;
  char why[256];
  image_how how = { .white = p[n - 1] & 1 ? 4095 : 0, .page = p[n - 1] >> 1 & 3 };
  const bool good = image_read_as(p, n, &how, &m, why);
  if (!good && (!why[0] || m.rgb)) abort();
  for (size_t i = 0; good && i < (size_t)m.h * (size_t)m.w * 3; i += 97) if (m.rgb[i] == 256 + (int)i) abort();     /* the sanitizer reads along */
  image_free(&m);
}

static void read_arrays(const uint8_t *p, size_t n)
{
  static const char *const name[] = { "train_images", "test_images", "test_labels" };
  for (int i = 0; i < 3; i++) {
    char why[256];
    FILE *f = fmemopen((void *)(uintptr_t)p, n, "rb");
    npz_array *a = f ? npz_open_file(f, name[i], why) : NULL;
    if (a && a->count < 100000) {
      int64_t *number = NEW(int64_t, a->count + 1);
      if (!npz_numbers(a, number, why) && !why[0]) abort();
      free(number);
    }
    if (a) npz_close(a);
  }
}

/* The readers that take a path: a file in memory, where there is one. */
static const char *as_file(const uint8_t *p, size_t n)
{
  static char path[64];
  snprintf(path, sizeof path, "%s/wbcsnet-fuzz-%d", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm", (int)getpid());
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(p, 1, n, f) != n || fclose(f)) abort();
  return path;
}

static void read_text(const uint8_t *p, size_t n)
{
  const char *path = as_file(p, n);
  inside = true;
  if (!setjmp(back)) {
    if (READER == CSV_) {
      csv *t = csv_read(path, NULL);
      for (int i = 0; i < t->rows * t->columns; i++) if (strlen(t->cell[i]) > n * 3) abort();
      csv_column(t, "class"), csv_free(t);
    } else if (READER == JSON_) {
      char *text = file_read(path, NULL, NULL);
      json_free(json_parse(text, path)), free(text);
    } else st_free(st_read(path));
  }
  inside = false;
  unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);
int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
  static bool quiet;
  if (!quiet && !getenv("FUZZ_LOUD")) stderr = fopen("/dev/null", "w"), quiet = true;
  if (!n) return 0;
  if (READER == NPZ_) read_arrays(p, n); else if (READER <= BMP_) read_picture(p, n); else read_text(p, n);
  return 0;
}
