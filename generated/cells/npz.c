#include "cells/npz.h"
#include "base/base.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#ifndef HAVE_ZLIB
#define HAVE_ZLIB 1
#endif
#if HAVE_ZLIB
#include <zlib.h>
#endif

/* read numbers at a place in the archive */
enum { IN = 1 << 16 };

typedef struct { uint64_t at, packed, size; uint32_t crc; int method; } zip_member;

static uint64_t get(const uint8_t *p, int bytes)
{
  uint64_t v = 0;
  while (bytes--) v = v << 8 | p[bytes];
  return v;
}

/* n bytes of f from `at` on; false when they are not all there. */
static bool get_bytes(FILE *f, uint64_t at, void *to, size_t n)
{
  return at <= INT64_MAX && !fseeko(f, (off_t)at, SEEK_SET) && fread(to, 1, n, f) == n;
}

bool is_zip(const char *path)
{
  struct stat st;
  uint8_t start[4];
  FILE *f = !stat(path, &st) && S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
  const bool is = f && fread(start, 1, 4, f) == 4 && !memcmp(start, "PK\3\4", 4);
  if (f) fclose(f);
  return is;
}

/* find the archive's directory */
/* Where the directory is and how many bytes it has. Its record ends the file, but for a comment of at most 65535 bytes. */
static bool find_directory(FILE *f, uint64_t *at, uint64_t *size)
{
  if (fseeko(f, 0, SEEK_END)) return false;
  const int64_t end = ftello(f);
  const int64_t room = end < 22 + 65535 ? end : 22 + 65535;
  uint8_t *tail = new_bytes((size_t)room + 1), wide[56];
  bool found = room >= 22 && get_bytes(f, (uint64_t)(end - room), tail, (size_t)room);
  int64_t i = room - 22;
  while (found && i >= 0 && memcmp(tail + i, "PK\5\6", 4)) i--;
  found = found && i >= 0;
  if (found) *size = get(tail + i + 12, 4), *at = get(tail + i + 16, 4);
  if (found && *at == UINT32_MAX && i >= 20)         /* in 64 bits: a record of its own, and where it is, before this one */
    found = !memcmp(tail + i - 20, "PK\6\7", 4) && get_bytes(f, get(tail + i - 12, 8), wide, 56) && !memcmp(wide, "PK\6\6", 4)
      && (*size = get(wide + 40, 8), *at = get(wide + 48, 8), true);
  free(tail);
  return found && *at <= (uint64_t)end && *size <= (uint64_t)end - *at;
}

/* read sizes beyond 32 bits */
static void widen(const uint8_t *extra, size_t n, zip_member *m)
{
  uint64_t *value[3] = { &m->size, &m->packed, &m->at };
  for (size_t at = 0; n - at >= 4; at += 4 + (size_t)get(extra + at + 2, 2)) {
    size_t left = (size_t)get(extra + at + 2, 2), from = at + 4;
    if (left > n - from) return;
    for (int i = 0; i < 3 && get(extra + at, 2) == 1; i++)
      if (*value[i] == UINT32_MAX && left >= 8) *value[i] = get(extra + from, 8), from += 8, left -= 8;
  }
}

/* find a member by its name */
/* The member NAME.npy; its data begin behind a header of its own, whose name and extras may have another length. */
static bool find_member(FILE *f, const char *name, zip_member *m, char why[256])
{
  uint64_t at, size;
  uint8_t head[30];
  const char *file = say("%s.npy", name);
  bool found = false;
  snprintf(why, 256, "a damaged archive: no directory at its end");
  if (!find_directory(f, &at, &size) || size > 100000000) return false;
  uint8_t *all = new_bytes((size_t)size + 1);
  if (!get_bytes(f, at, all, (size_t)size)) size = 0;
  why[0] = 0;
  for (uint64_t i = 0; size - i >= 46 && !memcmp(all + i, "PK\1\2", 4);) {
    const uint8_t *p = all + i;
    const uint64_t names = get(p + 28, 2), extras = get(p + 30, 2), whole = 46 + names + extras + get(p + 32, 2);
    if (whole > size - i) break;
    *m = (zip_member){ get(p + 42, 4), get(p + 20, 4), get(p + 24, 4), (uint32_t)get(p + 16, 4), (int)get(p + 10, 2) };
    widen(p + 46 + names, (size_t)extras, m);
    found = names == strlen(file) && !memcmp(p + 46, file, names);
    if (found) break;
    i += whole;
  }
  free(all);
  if (!found) return false;
  if (!get_bytes(f, m->at, head, 30) || memcmp(head, "PK\3\4", 4))
    return snprintf(why, 256, "a damaged archive: no %s where it should be", file), false;
  m->at += 30 + get(head + 26, 2) + get(head + 28, 2);
  return true;
}

/* unpack, and sum up */
/* CRC-32 of more bytes, 0 at first */
static uint32_t crc_more(uint32_t c, const uint8_t *p, size_t n)
{
  static uint32_t table[256];
  static bool made;
  for (uint32_t i = 0; i < 256 && !made; i++) {
    table[i] = i;
    for (int k = 0; k < 8; k++) table[i] = table[i] & 1 ? table[i] >> 1 ^ 0xedb88320 : table[i] >> 1;
  }
  made = true;
  for (c = ~c; n--; p++) c = c >> 8 ^ table[(c ^ *p) & 255];
  return ~c;
}

static bool read_packed(npz_array *a, uint8_t *to, size_t n)
{
  if (!a->inflater) return n <= a->packed && (a->packed -= n, fread(to, 1, n, a->f) == n);
#if HAVE_ZLIB
  z_stream *z = a->inflater;
  while (n) {
    if (!z->avail_in && a->packed) {
      const size_t got = fread(a->in, 1, a->packed < IN ? (size_t)a->packed : IN, a->f);
      if (!got) return false;
      a->packed -= got, z->next_in = a->in, z->avail_in = (unsigned)got;
    }
    const unsigned part = n < 1 << 30 ? (unsigned)n : 1u << 30;
    z->next_out = to, z->avail_out = part;
    const int said = inflate(z, Z_NO_FLUSH);
    const size_t made = part - z->avail_out;
    to += made, n -= made;
    if ((said != Z_OK && said != Z_STREAM_END) || (!made && !a->packed && !z->avail_in) || (said == Z_STREAM_END && n)) return false;
  }
#endif
  return true;
}

/* read an array's bytes, and numbers */
bool npz_read(npz_array *a, void *to, size_t n, char why[256])
{
  if (n > a->left || !read_packed(a, to, n)) return snprintf(why, 256, "an array cut short, or damaged"), false;
  a->left -= n, a->sum = crc_more(a->sum, to, n);
  if (!a->left && a->sum != a->crc) return snprintf(why, 256, "a damaged array: its CRC is %08x, not %08x", a->sum, a->crc), false;
  return true;
}

bool npz_numbers(npz_array *a, int64_t *to, char why[256])
{
  for (size_t i = 0; i < a->count; i++) {
    uint8_t p[8];
    uint64_t v = 0;
    if (!npz_read(a, p, (size_t)a->bytes, why)) return false;
    for (int k = 0; k < a->bytes; k++) v = v << 8 | p[a->big ? k : a->bytes - 1 - k];
    const int empty = 64 - 8 * a->bytes;             /* the sign is brought to the top and back */
    to[i] = a->kind == 'i' ? (int64_t)(v << empty) / ((int64_t)1 << empty) : (int64_t)v;
  }
  return true;
}

/* read numpy's header */
static const char *value_of(const char *header, const char *key)
{
  const char *at = strstr(header, key);
  at = at ? strchr(at, ':') : NULL;
  return at ? at + 1 + strspn(at + 1, " ") : "";
}

static bool read_shape(npz_array *a, const char *s, char why[256])
{
  a->count = 1;
  if (*s++ != '(') return snprintf(why, 256, "an array without a shape"), false;
  for (a->dims = 0; *s && *s != ')'; a->dims++) {
    char *end;
    const unsigned long long n = strtoull(s, &end, 10);
    if (end == s || a->dims == 4 || n > UINT32_MAX || (n && a->count > ((size_t)1 << 40) / n))
      return snprintf(why, 256, "an array of a shape %.40s", s), false;
    a->shape[a->dims] = (size_t)n, a->count *= (size_t)n;
    s = end + strspn(end, ", ");
  }
  return true;
}

static bool read_header(npz_array *a, char why[256])
{
  uint8_t p[12];
  char text[4096];
  const bool good = npz_read(a, p, 10, why) && !memcmp(p, "\x93NUMPY", 6) && (p[6] == 1 || npz_read(a, p + 10, 2, why));
  const uint64_t n = good ? get(p + 8, p[6] == 1 ? 2 : 4) : 0;
  if (!good || n >= sizeof text || !npz_read(a, text, (size_t)n, why)) return snprintf(why, 256, "no array as numpy writes it"), false;
  text[n] = 0;
  const char *type = value_of(text, "'descr'"), *order = value_of(text, "'fortran_order'");
  if (*type != '\'' || !strchr("<>|=", type[1]) || !strchr("ui", type[2]) || !strchr("1248", type[3]) || type[4] != '\'')
    return snprintf(why, 256, "an array of %.20s; whole numbers are read", type), false;
  a->big = type[1] == '>', a->kind = type[2], a->bytes = type[3] - '0';
  if (strncmp(order, "False", 5)) return snprintf(why, 256, "an array in Fortran's order; numpy.ascontiguousarray turns it"), false;
  if (!read_shape(a, value_of(text, "'shape'"), why)) return false;
  if (a->left != (uint64_t)a->count * (uint64_t)a->bytes) return snprintf(why, 256, "an array of another length than its shape"), false;
  return true;
}

/* open an array, and close it */
void npz_close(npz_array *a)
{
#if HAVE_ZLIB
  if (a->inflater) inflateEnd(a->inflater);
#endif
  fclose(a->f);
  free(a->inflater), free(a->in), free(a);
}

static bool start_inflating(npz_array *a, char why[256])
{
#if HAVE_ZLIB
  a->inflater = NEW(z_stream, 1), a->in = new_bytes(IN);
  if (inflateInit2(a->inflater, -15) == Z_OK) return true;
  free(a->inflater), a->inflater = NULL;
  return snprintf(why, 256, "zlib did not start"), false;
#else
  (void)a;
  return snprintf(why, 256, "a compressed array, and this build has no zlib"), false;
#endif
}

npz_array *npz_open_file(FILE *f, const char *name, char why[256])
{
  npz_array *a = NEW(npz_array, 1);
  zip_member m;
  a->f = f;
  bool good = find_member(f, name, &m, why);
  if (good && m.method && m.method != 8) good = false, snprintf(why, 256, "an archive with compression %d", m.method);
  if (good) {
    a->packed = m.packed, a->left = m.size, a->crc = m.crc;
    good = !fseeko(f, (off_t)m.at, SEEK_SET) && (!m.method || start_inflating(a, why)) && read_header(a, why);
  }
  if (good) return a;
  npz_close(a);
  return NULL;
}

npz_array *npz_open(const char *path, const char *name, char why[256])
{
  FILE *f = fopen(path, "rb");
  if (f) return npz_open_file(f, name, why);
  snprintf(why, 256, "a file that cannot be opened");
  return NULL;
}
