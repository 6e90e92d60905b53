/* The safetensors format: a round trip, bytes that repeat, and files that are damaged in every way we could think of. */
#include "learning/safetensors.h"
#include "base/rng.h"
#include "tap.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A program that ends with an error leaves its memory to the system; the leak checker is for the others. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0"; }

static char folder[256];

static const char *in_folder(const char *name) { return say("%s/%s", folder, name); }

static void put_file(const char *path, const void *bytes, size_t n)
{
  FILE *f = fopen(path, "wb");
  if (!f || fwrite(bytes, 1, n, f) != n || fclose(f)) perror(path), exit(99);
}

/* The exit code of reading path in a child (0: read and freed), or 1000 + the signal; why receives its message. */
static int read_in_child(const char *path, char why[512])
{
  int pipe_[2], status;
  if (pipe(pipe_)) exit(99);
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) {
    dup2(pipe_[1], 2), close(pipe_[0]), close(pipe_[1]);
    st_free(st_read(path));
    _exit(0);
  }
  close(pipe_[1]);
  size_t n = 0;
  for (ssize_t k; n < 511 && (k = read(pipe_[0], why + n, 511 - n)) > 0; ) n += (size_t)k;
  why[n] = 0;
  close(pipe_[0]);
  waitpid(pid, &status, 0);
  return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

static safetensors *sample(const float *w, const double *d, const int *i)
{
  safetensors *s = st_new();
  st_put(s, "net", "line one\nline \"two\" \\ done");
  st_put(s, "empty", "");
  st_add(s, "d", ST_F64, 1, (int[]){ 3 }, d);
  st_add(s, "w.weight", ST_F32, 4, (int[]){ 2, 1, 3, 2 }, w);
  st_add(s, "none", ST_F32, 1, (int[]){ 0 }, w);
  st_add(s, "i", ST_I32, 0, NULL, i);
  return s;
}

static void round_trip(void)
{
  float w[12], w2[12];
  double d[3] = { 1.0 / 3, -0.0, INFINITY }, d2[3];
  int i = -7, i2;
  char a[65], b[65], c[65];
  for (int k = 0; k < 12; k++) w[k] = (float)k / 7;
  safetensors *s = sample(w, d, &i);
  st_write(s, in_folder("a"), a), st_write(s, in_folder("b"), b);
  sha256_of_file(in_folder("a"), c);
  ok(!strcmp(a, b) && !strcmp(a, c), "the same content is the same bytes, named by their SHA-256");
  st_free(s);
  s = st_read(in_folder("a"));
  st_copy(s, "w.weight", ST_F32, 12, w2), st_copy(s, "d", ST_F64, 3, d2), st_copy(s, "i", ST_I32, 1, &i2);
  ok(!memcmp(w, w2, sizeof w) && !memcmp(d, d2, sizeof d) && i2 == -7, "values come back bit by bit");
  const st_tensor *t = st_find(s, "w.weight");
  ok(t->rank == 4 && t->dim[0] == 2 && t->dim[2] == 3 && t->dim[3] == 2, "and shapes");
  ok(!strcmp(st_note(s, "net"), "line one\nline \"two\" \\ done") && !*st_note(s, "empty") && !st_note(s, "other"), "and notes");
  ok(!st_find(s, "w"), "a name must agree whole");
  st_free(s);
}

/* The file that the format's specification gives by example, byte by byte, written by hand here. */
static void known_bytes(void)
{
  char bytes[8 + 72 + 4];
  const char *text = "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
  float one = 1, back;
  memset(bytes, ' ', sizeof bytes);
  memcpy(bytes, "\x48\0\0\0\0\0\0\0", 8), memcpy(bytes + 8, text, strlen(text)), memcpy(bytes + 80, &one, 4);
  put_file(in_folder("k"), bytes, sizeof bytes);
  safetensors *s = st_read(in_folder("k"));
  st_copy(s, "t", ST_F32, 1, &back);
  ok(back == 1 && s->notes == 0, "a file written by hand is read");
  st_free(s);
}

/* Headers that lie. data: how many bytes stand behind the header. */
static void lies(void)
{
  static const struct { const char *header; int data; const char *says; } lie[] = {
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 4, "larger than the file" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,8]}}", 8, "expected 4 bytes" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, "after the last tensor" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "gap or overlap" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"u\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "gap or overlap" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, "twice" },
    { "{\"t\":{\"dtype\":\"F4\",\"shape\":[2],\"data_offsets\":[0,1]}}", 1, "of type F4, which this program does not know" },
    { "{\"t\":{\"dtype\":\"F16\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "expected 4 bytes" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, "strange shape" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,4]}}", 4, "strange shape" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0, "larger than the file" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, "strange shape" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,1e300]}}", 4, "at bytes 0 to -1" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", 4, "at bytes 0 to -1" },
    { "{\"t\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, "at bytes -1" },
    { "{\"t\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, "without a shape" },
    { "{\"t\":7}", 0, "type none" },
    { "[1,2]", 0, "not an object" },
    { "{\"__metadata__\":{\"a\":1}}", 0, "not text" },
    { "{\"t\":", 0, "JSON" },
    { "nonsense", 0, "JSON" },
  };
  for (size_t i = 0; i < sizeof lie / sizeof *lie; i++) {
    char bytes[512] = "", why[512];
    size_t n = strlen(lie[i].header);
    bytes[0] = (char)n;
    memcpy(bytes + 8, lie[i].header, n);
    put_file(in_folder("lie"), bytes, 8 + n + (size_t)lie[i].data);
    int code = read_in_child(in_folder("lie"), why);
    ok(code == EXIT_DATA && strstr(why, lie[i].says), "refused: %s", lie[i].says);
    if (code != EXIT_DATA || !strstr(why, lie[i].says)) printf("# exit %d: %s\n", code, why);
  }
}

/* A file of one tensor `t` of that type, n values of two bytes. */
static void put_halves(const char *path, const char *type, const uint16_t *x, size_t n)
{
  char *header = join("{\"t\":{\"dtype\":\"%s\",\"shape\":[%zu],\"data_offsets\":[0,%zu]}}", type, n, 2 * n);
  const size_t length = strlen(header);
  char *bytes = new_bytes(8 + length + 2 * n);
  for (int i = 0; i < 8; i++) bytes[i] = (char)(length >> 8 * i);
  memcpy(bytes + 8, header, length), memcpy(bytes + 8 + length, x, 2 * n);
  put_file(path, bytes, 8 + length + 2 * n);
  free(header), free(bytes);
}

/* What the formats' definitions say: sign, exponent of `wide` bits, fraction. */
static double defined(uint16_t h, int wide)
{
  const int exponent = h >> (15 - wide) & ((1 << wide) - 1), bias = (1 << (wide - 1)) - 1, fraction = h & ((1 << (15 - wide)) - 1);
  const double part = ldexp(fraction, wide - 15), sign = h & 0x8000 ? -1 : 1;
  if (exponent == (1 << wide) - 1) return fraction ? (double)NAN : sign * HUGE_VAL;
  return sign * (exponent ? ldexp(1 + part, exponent - bias) : ldexp(part, 1 - bias));
}

static void two_bytes(void)
{
  enum { ALL = 65536 };
  static uint16_t x[ALL];
  static float out[ALL];
  for (int i = 0; i < ALL; i++) x[i] = (uint16_t)i;
  const struct { const char *type; int wide; } kind[] = { { "F16", 5 }, { "BF16", 8 } };
  for (int k = 0; k < 2; k++) {
    put_halves(in_folder("half"), kind[k].type, x, ALL);
    safetensors *s = st_read(in_folder("half"));
    st_copy(s, "t", ST_F32, ALL, out);
    int wrong = 0;
    for (int i = 0; i < ALL; i++) {
      const double d = defined((uint16_t)i, kind[k].wide);
      wrong += isnan(d) ? !isnan(out[i]) : d != (double)out[i] || !signbit(out[i]) != !(i & 0x8000);
    }
    ok(!wrong, "each of the 65536 numbers of %s is the same number of F32 (%d are not)", kind[k].type, wrong);
    st_free(s);
    put_halves(in_folder("half"), kind[k].type, (uint16_t[]){ 0x0001, 0x03ff, 0x3c00, 0x7bff, 0x7c00, 0xfc00, 0x8000, 0xc000 }, 8);
    s = st_read(in_folder("half")), st_copy(s, "t", ST_F32, 8, out), st_free(s);
    if (k == 0)
      ok(out[0] == 5.9604644775390625e-8f && out[1] == 6.09755516052246e-5f && out[2] == 1 && out[3] == 65504 && isinf(out[4]) && out[5] == -out[4]
         && out[6] == 0 && signbit(out[6]) && out[7] == -2, "F16 by hand: the least, the largest subnormal, 1, 65504, infinities, -0, -2");
    else ok(out[0] == 9.18354961579912e-41f && out[2] == 0.0078125f && out[7] == -2, "BF16 by hand: the least, 2^-7, -2");
  }
  fflush(stdout);
  pid_t pid = fork();
  if (!pid) fclose(stderr), put_halves(in_folder("half"), "U16", x, 2), st_copy(st_read(in_folder("half")), "t", ST_F32, 2, out), _exit(0);
  int status;
  waitpid(pid, &status, 0);
  ok(WIFEXITED(status) && WEXITSTATUS(status) == EXIT_DATA, "whole numbers of two bytes can lie in a file, and are no weights");
}

/* Cut at every length, and 800 files with changed bytes: each is read or refused, none crashes. */
static void fuzz(void)
{
  size_t n;
  char why[512], *good = file_read(in_folder("a"), &n, NULL);
  int crashed = 0, passed = 0, refused = 0;
  for (size_t cut = 0; cut < n; cut += cut < 40 ? 1 : 5) {
    put_file(in_folder("cut"), good, cut);
    int code = read_in_child(in_folder("cut"), why);
    crashed += code != EXIT_DATA && code != 0, passed += code == 0;
  }
  ok(!crashed && !passed, "a file cut short anywhere is refused (%d crashed, %d passed)", crashed, passed);
  crashed = passed = 0;
  for (uint32_t i = 0; i < 800; i++) {
    rng r = rng_open(1, RNG_TEST, 50, i);
    char *bytes = new_bytes(n);
    memcpy(bytes, good, n);
    for (int k = 0; k < 1 + (int)(i % 3); k++) bytes[rng_below(&r, (uint32_t)n)] = (char)rng_below(&r, 256);
    put_file(in_folder("fuzz"), bytes, n);
    int code = read_in_child(in_folder("fuzz"), why);
    crashed += code != EXIT_DATA && code != 0, passed += code == 0, refused += code == EXIT_DATA;
    if (code != EXIT_DATA && code != 0) printf("# case %u: exit %d: %s\n", i, code, why);
    free(bytes);
  }
  ok(!crashed && passed && refused, "800 damaged files: %d read, %d refused, %d crashed", passed, refused, crashed);
  free(good);
}

/* What a reader sees: the notes, and each tensor's name, shape and bytes. */
static bool same_content(const safetensors *a, const safetensors *b)
{
  bool same = a->tensors == b->tensors && st_note(a, "net") && st_note(a, "empty") && !strcmp(st_note(a, "net"), st_note(b, "net"))
      && !strcmp(st_note(a, "empty"), st_note(b, "empty"));
  for (int i = 0; same && i < a->tensors; i++) {
    const st_tensor *t = &b->tensor[i], *u = st_find(a, t->name);
    same = u && u->type == t->type && u->rank == t->rank && !memcmp(u->dim, t->dim, sizeof t->dim) && u->bytes == t->bytes
        && !memcmp(u->data, t->data, t->bytes);
  }
  return same;
}

/* One flipped bit of each byte: an error, or the same content. */
static void flips(void)
{
  size_t n;
  char *good = file_read(in_folder("a"), &n, NULL);
  safetensors *whole = st_read(in_folder("a"));
  int refused = 0, other = 0;
  for (size_t at = 0; at < n; at++) {
    good[at] ^= (char)(1 << at % 7);
    put_file(in_folder("flip"), good, n);
    good[at] ^= (char)(1 << at % 7);
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) fclose(stderr), _exit(same_content(st_read(in_folder("flip")), whole) ? 0 : 42);
    int status;
    waitpid(pid, &status, 0);
    refused += WEXITSTATUS(status) == EXIT_DATA, other += WEXITSTATUS(status) == 42;
    if (WEXITSTATUS(status) == 42) printf("# byte %zu, bit %zu\n", at, at % 7);
  }
  ok(other == 0 && refused > (int)n / 2, "no flipped bit gives another content (%zu bytes, %d refused, %d other)", n, refused, other);
  st_free(whole), free(good);
}

int main(void)
{
  snprintf(folder, sizeof folder, "%s/t50.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
  if (!mkdtemp(folder)) return 99;
  round_trip(), known_bytes(), lies(), two_bytes(), fuzz(), flips();
  static const char *const files[] = { "a", "b", "k", "lie", "cut", "fuzz", "flip", "half" };
  for (int i = 0; i < 8; i++) unlink(in_folder(files[i]));
  ok(!rmdir(folder), "no temporary file is left");
  return done_testing();
}
