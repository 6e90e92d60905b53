#include "learning/safetensors.h"
#include <stdlib.h>
#include <string.h>

static const struct { const char *name; size_t bytes; } st_types[ST_TYPES] = {
  { "F32", 4 }, { "F64", 8 }, { "I32", 4 }, { "I64", 8 }, { "F16", 2 }, { "BF16", 2 },
  { "U8", 1 }, { "I8", 1 }, { "BOOL", 1 }, { "I16", 2 }, { "U16", 2 }, { "U32", 4 }, { "U64", 8 },
  { "F8_E4M3", 1 }, { "F8_E5M2", 1 }, { "F8_E8M0", 1 }
};

/* gather tensors and notes */
safetensors *st_new(void) { return NEW(safetensors, 1); }

void st_add(safetensors *s, const char *name, st_type type, int rank, const int *dim, const void *data)
{
  s->tensor = grow(s->tensor, sizeof *s->tensor * (size_t)(s->tensors + 1));
  st_tensor *t = &s->tensor[s->tensors++];
  *t = (st_tensor){ .name = copy_text(name), .type = type, .rank = rank, .bytes = st_types[type].bytes, .data = data };
  for (int i = 0; i < rank; i++) t->dim[i] = dim[i], t->bytes *= (size_t)dim[i];
}

void st_put(safetensors *s, const char *key, const char *value)
{
  s->note = grow(s->note, sizeof(char *) * (size_t)(s->notes + 2));
  s->note[s->notes++] = copy_text(key);
  s->note[s->notes++] = copy_text(value);
}

/* sum the tensors' bytes */
static uint64_t add_to_sum(uint64_t sum, const char *p, size_t n)
{
  for (size_t at = 0; at < n; at += 8) {
    uint64_t word = 0;
    memcpy(&word, p + at, n - at < 8 ? n - at : 8);
    sum = (sum ^ word) * 0x100000001b3;
    sum ^= sum >> 32;
  }
  return sum;
}

static const uint64_t empty_sum = 0xcbf29ce484222325;

static const char *data_sum(const safetensors *s)
{
  uint64_t sum = empty_sum;
  for (int i = 0; i < s->tensors; i++) sum = add_to_sum(sum, s->tensor[i].data, s->tensor[i].bytes);
  return say("%016llx", (unsigned long long)sum);
}

static const char header_start[] = "{\"__metadata__\":{\"header_sum\":\"";
enum { SUM_DIGITS = 16 };

/* The place of the sum in a header, or NULL. */
static char *sum_place(char *header)
{
  const size_t n = sizeof header_start - 1;
  return !strncmp(header, header_start, n) && strlen(header + n) > SUM_DIGITS ? header + n : NULL;
}

static const char *header_sum(char *header, size_t length)
{
  char kept[SUM_DIGITS], *place = sum_place(header);
  memcpy(kept, place, SUM_DIGITS), memset(place, '0', SUM_DIGITS);
  const uint64_t sum = add_to_sum(empty_sum, header, length);
  memcpy(place, kept, SUM_DIGITS);
  return say("%016llx", (unsigned long long)sum);
}

/* write a safetensors file */
static void build_tensors(builder *b, const safetensors *s)
{
  size_t at = 0;
  for (int i = 0; i < s->tensors; i++) {
    const st_tensor *t = &s->tensor[i];
    build(b, ","), build_json(b, t->name);
    build(b, ":{\"dtype\":\"%s\",\"shape\":[", st_types[t->type].name);
    for (int d = 0; d < t->rank; d++) build(b, "%s%lld", d ? "," : "", t->dim[d]);
    build(b, "],\"data_offsets\":[%zu,%zu]}", at, at + t->bytes);
    at += t->bytes;
  }
}

static char *write_header(const safetensors *s, size_t *length)
{
  builder b = {0};
  build(&b, "%s%0*d\",", header_start, SUM_DIGITS, 0);
  for (int i = 0; i < s->notes; i += 2)
    build_json(&b, s->note[i]), build(&b, ":"), build_json(&b, s->note[i + 1]), build(&b, ",");
  build(&b, "\"data_sum\":\"%s\"}", data_sum(s));
  build_tensors(&b, s);
  build(&b, "}");
  while (b.length % 8) build(&b, " ");
  char *header = built(&b, length);
  memcpy(sum_place(header), header_sum(header, *length), SUM_DIGITS);
  return header;
}

static void put_bytes(atomic_file *a, const void *data, size_t bytes, sha256 *sum)
{
  if (bytes && fwrite(data, 1, bytes, a->f) != bytes) file_write_error(a->path);
  if (sum) sha256_add(sum, data, bytes);
}

void st_write(const safetensors *s, const char *path, char hex[65])
{
  sha256 sum;
  size_t length;
  uint8_t prefix[8];
  char *header = write_header(s, &length);
  atomic_file *a = file_create(path);
  sha256_start(&sum);
  for (int i = 0; i < 8; i++) prefix[i] = (uint8_t)((uint64_t)length >> 8 * i);
  put_bytes(a, prefix, 8, hex ? &sum : NULL);
  put_bytes(a, header, length, hex ? &sum : NULL);
  for (int i = 0; i < s->tensors; i++)
    put_bytes(a, s->tensor[i].data, s->tensor[i].bytes, hex ? &sum : NULL);
  file_commit(a);
  if (hex) sha256_end(&sum, hex);
  free(header);
}

/* check a safetensors header */
static _Noreturn void bad_file(const char *path, const char *found, const char *expected)
{
  die(EXIT_DATA, path, found, expected, "the file is truncated, damaged, or not a safetensors file; make it again");
}

static long long whole_number(const json *j)
{
  bool good = j && j->kind == JSON_NUMBER && j->number >= 0 && j->number < 9e15
      && j->number == (double)(long long)j->number;
  return good ? (long long)j->number : -1;
}

static void check_tensor(safetensors *s, const json *j, const char *data, size_t room)
{
  const char *type = json_text(j, "dtype", "none"), *what = say("tensor %.60s", j->name);
  const json *dims = json_get(j, "shape"), *place = json_get(j, "data_offsets");
  st_tensor *t = &s->tensor[s->tensors++];
  *t = (st_tensor){ .name = copy_text(j->name) };
  while (t->type < ST_TYPES && strcmp(st_types[t->type].name, type)) t->type++;
  if (t->type == ST_TYPES)
    die(EXIT_DATA, s->path, say("%s of type %.20s, which this program does not know", what, type),
        "F32, F16, BF16 or another type of the format", "save it in one of these: net.float() in PyTorch");
  if (!dims || dims->kind != JSON_ARRAY)
    bad_file(s->path, say("%s without a shape", what), "a list of sizes");
  t->bytes = st_types[t->type].bytes;
  for (const json *d = dims->child; d; d = d->next) {
    long long n = whole_number(d);
    if (n < 0 || t->rank == ST_RANK)
      bad_file(s->path, say("%s of a strange shape", what), "at most 8 whole sizes");
    if (n && t->bytes > room / (size_t)n)
      bad_file(s->path, say("%s larger than the file", what), "the shape of its bytes");
    t->dim[t->rank++] = n, t->bytes *= (size_t)n;
  }
  const json *first = place && place->kind == JSON_ARRAY ? place->child : NULL;
  long long begin = whole_number(first), end = first ? whole_number(first->next) : -1;
  if (begin < 0 || end < begin || (size_t)end > room || (size_t)(end - begin) != t->bytes)
    bad_file(s->path, say("%s at bytes %lld to %lld of %zu", what, begin, end, room),
             say("%zu bytes inside the file", t->bytes));
  t->data = data + begin;
}

static int by_place(const void *a, const void *b)
{
  const st_tensor *x = a, *y = b;
  const char *p = x->data, *q = y->data;
  return p != q ? (p > q) - (p < q) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static void check_layout(safetensors *s, const char *data, size_t room)
{
  const char *at = data;
  char **name = NEW(char *, s->tensors);
  if (s->tensors) qsort(s->tensor, (size_t)s->tensors, sizeof *s->tensor, by_place);
  for (int i = 0; i < s->tensors; i++) {
    if (s->tensor[i].data != at)
      bad_file(s->path, say("a gap or overlap before tensor %.60s", s->tensor[i].name), "tensors side by side");
    at += s->tensor[i].bytes, name[i] = s->tensor[i].name;
  }
  if (at != data + room)
    bad_file(s->path, say("%zu bytes after the last tensor", (size_t)(data + room - at)), "none");
  if (s->tensors) qsort(name, (size_t)s->tensors, sizeof *name, by_name);
  for (int i = 1; i < s->tensors; i++)
    if (!strcmp(name[i - 1], name[i]))
      bad_file(s->path, say("tensor %.60s twice", name[i]), "each name once");
  free(name);
}

/* read a safetensors file */
static void read_header(safetensors *s, const json *header, const char *data, size_t room)
{
  if (header->kind != JSON_OBJECT) bad_file(s->path, "a header that is not an object", "{\"name\": ...}");
  int n = 0;
  for (const json *j = header->child; j; j = j->next) n++;
  s->tensor = NEW(st_tensor, n);
  for (const json *j = header->child; j; j = j->next) {
    if (strcmp(j->name, "__metadata__")) { check_tensor(s, j, data, room); continue; }
    for (const json *m = j->kind == JSON_OBJECT ? j->child : NULL; m; m = m->next) {
      if (m->kind != JSON_TEXT) bad_file(s->path, say("a note %.60s that is not text", m->name), "text");
      st_put(s, m->name, m->text);
    }
  }
  check_layout(s, data, room);
  const char *sum = st_note(s, "data_sum");
  if (sum && !s->converted && strcmp(sum, data_sum(s)))
    bad_file(s->path, "tensors that are not those that were written", say("the sum %.40s", sum));
}

safetensors *st_read(const char *path)
{
  safetensors *s = st_new();
  size_t size;
  uint64_t length = 0;
  s->path = copy_text(path);
  s->bytes = file_read(path, &size, "a safetensors file, as train writes");
  for (int i = 0; i < 8 && size >= 8; i++) length |= (uint64_t)(uint8_t)s->bytes[i] << (8 * i);
  if (size < 8 || length < 2 || length > size - 8)
    bad_file(path, size < 8 ? "a file of less than 8 bytes" : "a header longer than the file",
             "a safetensors file");
  char *text = new_bytes((size_t)length + 1);
  memcpy(text, s->bytes + 8, (size_t)length);
  if (strlen(text) != length) bad_file(path, "a zero byte in the header", "JSON text");
  const char *sum = sum_place(text);
  s->converted = strstr(text, "\"F16\"") || strstr(text, "\"BF16\"");
  if (sum && !s->converted && strncmp(sum, header_sum(text, (size_t)length), SUM_DIGITS))
    bad_file(path, "a header that is not the one that was written", say("the sum %.16s", sum));
  json *header = json_parse(text, path);
  read_header(s, header, s->bytes + 8 + length, size - 8 - (size_t)length);
  json_free(header), free(text);
  return s;
}

/* numbers of two bytes */
static float from_bits(uint32_t bits)
{
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

static float of_f16(uint16_t h)
{
  const uint32_t sign = (uint32_t)(h & 0x8000) << 16, exponent = h >> 10 & 31, fraction = h & 1023;
  if (exponent == 31) return from_bits(sign | 0x7f800000 | fraction << 13);
  if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
  const float x = (float)fraction * 0x1p-24f;
  return sign ? -x : x;
}

bool st_is_real(const st_tensor *t) { return t->type == ST_F32 || t->type == ST_F16 || t->type == ST_BF16; }

const char *st_type_name(st_type type) { return st_types[type].name; }

static void widen(const st_tensor *t, size_t count, float *out)
{
  for (size_t i = 0; i < count; i++) {
    uint16_t h;
    memcpy(&h, (const char *)t->data + 2 * i, 2);
    out[i] = t->type == ST_F16 ? of_f16(h) : from_bits((uint32_t)h << 16);
  }
}

/* find tensors and notes */
const st_tensor *st_find(const safetensors *s, const char *name)
{
  for (int i = 0; i < s->tensors; i++)
    if (!strcmp(s->tensor[i].name, name)) return &s->tensor[i];
  return NULL;
}

void st_copy(const safetensors *s, const char *name, st_type type, size_t count, void *out)
{
  const st_tensor *t = st_find(s, name);
  const bool wider = t && type == ST_F32 && t->type != type && st_is_real(t);
  size_t bytes = count * st_types[wider ? t->type : type].bytes;
  if (!t || (t->type != type && !wider) || t->bytes != bytes)
    die(EXIT_DATA, s->path, t ? say("%s with %zu bytes of %s", name, t->bytes, st_types[t->type].name)
        : say("no tensor %s", name),
        say("%zu values of %s", count, st_types[type].name), "these weights belong to another net");
  if (wider) widen(t, count, out);
  else if (bytes) memcpy(out, t->data, bytes);
}

const char *st_note(const safetensors *s, const char *key)
{
  for (int i = 0; i < s->notes; i += 2)
    if (!strcmp(s->note[i], key)) return s->note[i + 1];
  return NULL;
}

const char *st_need(const safetensors *s, const char *key)
{
  const char *value = st_note(s, key);
  if (!value)
    die(EXIT_DATA, s->path, say("no note '%s'", key), "weights that wbcsnet train wrote",
        "another program's file lacks the net; train --init can begin with its tensors");
  return value;
}

void st_free(safetensors *s)
{
  if (!s) return;
  for (int i = 0; i < s->tensors; i++) free(s->tensor[i].name);
  for (int i = 0; i < s->notes; i++) free(s->note[i]);
  free(s->tensor), free(s->note), free(s->bytes), free(s->path), free(s);
}
