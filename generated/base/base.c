#include "base/base.h"
/* base: headers */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* report errors */
const char *say(const char *format, ...)
{
  static _Thread_local char *kept[16];
  static _Thread_local unsigned turn;
  char **place = &kept[turn++ % 16], *old = *place;
  va_list ap;
  va_start(ap, format);
  *place = join_list(format, ap);
  va_end(ap);
  free(old);
  return *place;
}

static const char *hinted_path, *true_hint;

void hint_about(const char *path, const char *hint) { hinted_path = path, true_hint = hint; }

void die(int code, const char *where, const char *found, const char *expected, const char *hint)
{
  if (hinted_path && !strcmp(where, hinted_path)) hint = true_hint;
  fflush(stdout);
  fprintf(stderr, "wbcsnet: %s: found %s%s%s\n%s%s%s", where, found, expected ? "; expected " : "", expected ? expected : "",
          hint ? "  hint: " : "", hint ? hint : "", hint ? "\n" : "");
  exit(code);
}

void warn(const char *where, const char *found, const char *hint)
{
  fprintf(stderr, "wbcsnet: warning: %s: %s\n%s%s%s", where, found, hint ? "  hint: " : "", hint ? hint : "", hint ? "\n" : "");
}

/* take memory */
static _Noreturn void no_memory(size_t bytes)
{
  char found[64];
  snprintf(found, sizeof found, "no room for %zu more bytes", bytes);
  die(EXIT_FAIL, "memory", found, "enough memory for this net and batch",
      "use a smaller batch or net; wbcsnet describe prints what a net needs");
}

void *new_bytes(size_t bytes)
{
  void *p = calloc(1, bytes ? bytes : 1);
  if (!p) no_memory(bytes);
  return p;
}

void *grow(void *old, size_t bytes)
{
  void *p = realloc(old, bytes ? bytes : 1);
  if (!p) no_memory(bytes);
  return p;
}

char *copy_text(const char *s)
{
  return strcpy(new_bytes(strlen(s) + 1), s);
}

char *join_list(const char *format, va_list ap)
{
  char *s;
  if (vasprintf(&s, format, ap) < 0) no_memory(strlen(format));
  return s;
}

char *join(const char *format, ...)
{
  va_list ap;
  va_start(ap, format);
  char *s = join_list(format, ap);
  va_end(ap);
  return s;
}

enum { HUGE_PAGE = 1 << 21 };

static size_t room_bytes(size_t floats)
{
  size_t bytes = floats * sizeof(float), unit = bytes < HUGE_PAGE ? 4096 : HUGE_PAGE;
  return (bytes + !bytes + unit - 1) / unit * unit;
}

float *new_floats(size_t n)
{
  size_t bytes = room_bytes(n), extra = bytes < HUGE_PAGE ? 0 : HUGE_PAGE;
  char *p = mmap(NULL, bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    die(EXIT_FAIL, "memory", say("no room for %zu MB: %s", bytes >> 20, strerror(errno)),
        "enough memory for this net and batch",
        "use a smaller batch or net; wbcsnet describe prints what a net needs");
  if (!extra) return (float *)(void *)p;
  size_t before = -(uintptr_t)p % HUGE_PAGE;
  if (before) munmap(p, before);
  if (extra - before) munmap(p + before + bytes, extra - before);
#ifdef MADV_HUGEPAGE
  madvise(p + before, bytes, MADV_HUGEPAGE);
#endif
  return (float *)(void *)(p + before);
}

void free_floats(float *p, size_t n)
{
  if (p) munmap(p, room_bytes(n));
}

/* grow texts */
static void make_room(builder *b, size_t more)
{
  if (b->length + more < b->room) return;
  b->room = 2 * (b->length + more) + 64;
  b->text = grow(b->text, b->room);
}

void build(builder *b, const char *format, ...)
{
  va_list ap, again;
  va_start(ap, format), va_copy(again, ap);
  const int n = vsnprintf(NULL, 0, format, ap);
  va_end(ap);
  make_room(b, n < 0 ? 0 : (size_t)n);
  if (n < 0 || vsnprintf(b->text + b->length, (size_t)n + 1, format, again) != n) no_memory(strlen(format));
  va_end(again);
  b->length += (size_t)n;
}

/* The bytes of the letter of UTF-8 at s; 0 where there is none, or one written longer than need be, or half a pair. */
static int letter_bytes(const char *s)
{
  const uint8_t *p = (const uint8_t *)s;
  const int n = *p < 0x80 ? 1 : *p >= 0xc2 && *p < 0xe0 ? 2 : (*p & 0xf0) == 0xe0 ? 3 : *p >= 0xf0 && *p < 0xf5 ? 4 : 0;
  for (int i = 1; i < n; i++) if ((p[i] & 0xc0) != 0x80) return 0;
  if ((*p == 0xe0 && p[1] < 0xa0) || (*p == 0xed && p[1] > 0x9f) || (*p == 0xf0 && p[1] < 0x90) || (*p == 0xf4 && p[1] > 0x8f)) return 0;
  return n;
}

bool is_utf8(const char *s)
{
  for (int n; *s; s += n) if (!(n = letter_bytes(s))) return false;
  return true;
}

void build_json(builder *b, const char *s)
{
  build(b, "\"");
  for (int n; *s; s += n ? n : 1)
    if (!(n = letter_bytes(s))) build(b, "\\ufffd");
    else if (*s == '"' || *s == '\\') build(b, "\\%c", *s);
    else if ((unsigned char)*s < 32) build(b, "\\u%04x", *s);
    else build(b, "%.*s", n, s);
  build(b, "\"");
}

void build_list(builder *b, const char *s) { build(b, "%s%s", b->length ? ", " : "", s); }

char *built(builder *b, size_t *length)
{
  make_room(b, 0);
  b->text[b->length] = 0;
  if (length) *length = b->length;
  char *text = b->text;
  *b = (builder){0};
  return text;
}

/* read and write whole files */
/* NULL with errno; memory that lacks is no fault of the file */
static FILE *file_open(const char *path)
{
  FILE *f = fopen(path, "rb");
  if (!f && errno == ENOMEM) no_memory(BUFSIZ);
  return f;
}

char *file_load(const char *path, size_t *size, char why[256])
{
  struct stat st = {0};
  char *bytes = NULL;
  /* to open a pipe would wait for ever */
  FILE *f = stat(path, &st) || !S_ISREG(st.st_mode) ? NULL : file_open(path);
  if (!f) snprintf(why, 256, "%s", st.st_mode && !S_ISREG(st.st_mode) ? "not a plain file" : strerror(errno));
  else {
    bytes = new_bytes((size_t)st.st_size + 1);
    *size = fread(bytes, 1, (size_t)st.st_size, f);
    if (*size != (size_t)st.st_size) {
      snprintf(why, 256, "%zu bytes of %lld%s%s", *size, (long long)st.st_size, ferror(f) ? ": " : "",
               ferror(f) ? strerror(errno) : "");
      free(bytes), bytes = NULL;
    }
  }
  if (f) fclose(f);
  return bytes;
}

void put_utf8(char **out, unsigned u)
{
  if (u < 0x80) *(*out)++ = (char)u;
  else if (u < 0x800) *(*out)++ = (char)(0xc0 | u >> 6), *(*out)++ = (char)(0x80 | (u & 63));
  else {
    if (u < 0x10000) *(*out)++ = (char)(0xe0 | u >> 12);
    else *(*out)++ = (char)(0xf0 | u >> 18), *(*out)++ = (char)(0x80 | (u >> 12 & 63));
    *(*out)++ = (char)(0x80 | (u >> 6 & 63)), *(*out)++ = (char)(0x80 | (u & 63));
  }
}

/* Letters of two bytes as UTF-8, and their length in *n; NULL when there is no such mark. */
static char *from_utf16(const char *path, const char *text, size_t *n)
{
  const uint8_t *p = (const uint8_t *)text;
  const bool big = *n >= 2 && p[0] == 0xfe && p[1] == 0xff;
  if (!big && (*n < 2 || p[0] != 0xff || p[1] != 0xfe)) return NULL;
  if (*n % 2) die(EXIT_DATA, path, "half a letter at the end of UTF-16", "two bytes for each", "the file is cut short");
  char *utf8 = new_bytes(*n / 2 * 3 + 1), *to = utf8;
  for (size_t i = 2; i < *n; i += 2) {
    uint32_t c = big ? p[i] << 8 | p[i + 1] : p[i + 1] << 8 | p[i];
    const uint32_t low = i + 3 >= *n ? 0 : big ? p[i + 2] << 8 | p[i + 3] : p[i + 3] << 8 | p[i + 2];
    if (c >= 0xd800 && c < 0xdc00 && low >= 0xdc00 && low < 0xe000)
      c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00), i += 2;
    put_utf8(&to, c);
  }
  *n = (size_t)(to - utf8);
  return utf8;
}

static void plain_text(const char *path, char *text, size_t n)
{
  const char *zero = memchr(text, 0, n);
  int line = 1;
  for (const char *s = text; zero && s < zero; s++) line += *s == '\n';
  if (zero)
    die(EXIT_DATA, say("%s:%d", path, line), "a zero byte", "plain text",
        "save it as UTF-8; or the file is damaged");
  if (n >= 3 && !memcmp(text, "\xef\xbb\xbf", 3)) memmove(text, text + 3, n - 2);
}

char *file_read(const char *path, size_t *size, const char *hint)
{
  char why[256];
  size_t n;
  char *text = file_load(path, &n, why);
  if (!text) die(EXIT_DATA, path, why, "a readable file", hint);
  if (size) { *size = n; return text; }
  char *utf8 = from_utf16(path, text, &n);
  if (utf8) free(text), text = utf8;
  plain_text(path, text, n);
  return text;
}

bool file_exists(const char *path)
{
  if (!access(path, F_OK)) return true;
  if (errno != ENOENT && errno != ENOTDIR)
    die(EXIT_DATA, path, strerror(errno), "a place that can be looked at", NULL);
  return false;
}


void make_folders(const char *path)
{
  if (!*path) die(EXIT_USAGE, "a folder", "an empty name", "where it shall be", NULL);
  char *p = copy_text(path);
  for (char *s = p + 1; ; s++) {
    if (*s && *s != '/') continue;
    char c = *s;
    *s = 0;
    struct stat st;
    const int why = mkdir(p, 0777) ? errno : 0;
    if (why && (stat(p, &st) || !S_ISDIR(st.st_mode)))
      die(EXIT_FAIL, p, why == EEXIST ? "a file of that name" : strerror(why), "a folder that can be made",
          "choose a place on a disk that you may write to");
    *s = c;
    if (!c) break;
  }
  free(p);
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
  (void)st, (void)kind, (void)at;
  return remove(path);
}

int remove_all(const char *path) { return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

static bool is_ownerless(const char *path, const char *pid)
{
  if (!*pid || pid[strspn(pid, "0123456789")] || !kill((pid_t)atol(pid), 0) || errno != ESRCH) return false;
  int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
  const bool ownerless = fd >= 0 && !flock(fd, LOCK_EX | LOCK_NB);
  if (fd >= 0) close(fd);
  return ownerless;
}

char *leftover(const char *path, const char *mark)
{
  const char *slash = strrchr(path, '/');
  char *folder = slash ? join("%.*s", (int)(slash - path + 1), path) : copy_text("./"), *found = NULL;
  char *head = join("%s.%s.", slash ? slash + 1 : path, mark);
  const size_t n = strlen(head);
  DIR *d = opendir(folder);
  for (struct dirent *e; d && !found && (e = readdir(d)); ) {
    if (strncmp(e->d_name, head, n)) continue;
    found = join("%s%s", folder, e->d_name);
    if (!is_ownerless(found, e->d_name + n)) free(found), found = NULL;
  }
  if (d) closedir(d);
  free(folder), free(head);
  return found;
}

static atomic_file *open_files[8];

static void remove_temporaries(void)
{
  for (int i = 0; i < 8; i++)
    if (open_files[i]) unlink(open_files[i]->temporary);
}

_Noreturn void file_write_error(const char *path)
{
  const int why = errno;
  const bool full = why == ENOSPC || why == EDQUOT, limit = why == EFBIG;
  die(EXIT_FAIL, path, say("cannot write: %s", strerror(why)), "room and permission to write",
      full ? "the disk is full; free some space and give the same command again"
      : limit ? "a limit on the size of files (ulimit -f) stands in the way" : "check the folder's permissions");
}

static bool is_unwritten(FILE *f)
{
  if (!ferror(f)) return fflush(f) != 0;
  if (write(fileno(f), "\n", 1) == 1) errno = EIO;
  return true;
}

void output_flush(void)
{
  if (is_unwritten(stdout)) file_write_error("standard output");
}

__attribute__((constructor)) static void take_limits_as_errors(void) { signal(SIGXFSZ, SIG_IGN); }

atomic_file *file_create(const char *path)
{
  static bool registered;
  if (!registered) registered = !atexit(remove_temporaries);
  for (char *old; (old = leftover(path, "tmp")); free(old)) if (unlink(old)) { free(old); break; }
  atomic_file *a = NEW(atomic_file, 1);
  a->path = copy_text(path);
  a->temporary = join("%s.tmp.%d", path, (int)getpid());
  a->f = fopen(a->temporary, "wb");
  if (!a->f) file_write_error(path);
  flock(fileno(a->f), LOCK_EX | LOCK_NB);            /* where a disk has no locks, nothing is swept */
  for (int i = 0; i < 8; i++)
    if (!open_files[i]) { open_files[i] = a; break; }
  return a;
}

void file_commit(atomic_file *a)
{
  if (is_unwritten(a->f) || fsync(fileno(a->f)) || fclose(a->f) || rename(a->temporary, a->path))
    file_write_error(a->path);
  for (int i = 0; i < 8; i++)
    if (open_files[i] == a) open_files[i] = NULL;
  free(a->path), free(a->temporary), free(a);
}

/* stop when told to */
volatile int stop_requested;

static void on_stop_signal(int sig)
{
  if (stop_requested++) { signal(sig, SIG_DFL); raise(sig); }
}

void catch_stop_signals(void)
{
  struct sigaction sa = { .sa_handler = on_stop_signal };
  sigaction(SIGINT, &sa, NULL);
  sigaction(SIGTERM, &sa, NULL);
}

/* name the processor */
static const struct { unsigned implementer, part; const char *name; } arm_cores[] = {
  { 0x41, 0xc07, "Cortex-A7" }, { 0x41, 0xc0f, "Cortex-A15" }, { 0x41, 0xd03, "Cortex-A53" },
  { 0x41, 0xd05, "Cortex-A55" }, { 0x41, 0xd07, "Cortex-A57" }, { 0x41, 0xd08, "Cortex-A72" },
  { 0x41, 0xd09, "Cortex-A73" }, { 0x41, 0xd0a, "Cortex-A75" }, { 0x41, 0xd0b, "Cortex-A76" },
  { 0x41, 0xd0c, "Neoverse-N1" }, { 0x41, 0xd0d, "Cortex-A77" }, { 0x41, 0xd40, "Neoverse-V1" },
  { 0x41, 0xd41, "Cortex-A78" }, { 0x41, 0xd44, "Cortex-X1" }, { 0x41, 0xd49, "Neoverse-N2" },
  { 0x41, 0xd4f, "Neoverse-V2" }, { 0x41, 0xd84, "Neoverse-V3" }, { 0x41, 0xd8e, "Neoverse-N3" },
  { 0x43, 0x0af, "ThunderX2" }, { 0x46, 0x001, "A64FX" }, { 0x48, 0xd01, "TaiShan-v110" },
  { 0x4e, 0x004, "Carmel" }, { 0x61, 0x022, "Icestorm" }, { 0x61, 0x023, "Firestorm" },
  { 0xc0, 0xac3, "Ampere-1" }, { 0xc0, 0xac4, "Ampere-1a" },
};

static const char *arm_core(unsigned implementer, unsigned part)
{
  for (size_t i = 0; i < sizeof arm_cores / sizeof *arm_cores; i++)
    if (arm_cores[i].implementer == implementer && arm_cores[i].part == part) return arm_cores[i].name;
  return say("Arm 0x%02x part 0x%03x", implementer, part);
}

/* The next line of a file, without its end; false at the file's. A zero byte ends it too. */
static bool next_line(FILE *f, char line[512])
{
  if (!f || !fgets(line, 512, f)) return false;
  line[strcspn(line, "\n")] = 0;
  return true;
}

static const char *split_at_colon(char *line)
{
  char *colon = strchr(line, ':'), *end = colon;
  if (!colon) return "";
  while (end > line && (end[-1] == ' ' || end[-1] == '\t')) end--;
  *end = 0;
  return colon + 1 + strspn(colon + 1, " ");
}

/* cores, with another one behind when it is new */
static const char *with_core(const char *cores, const char *name)
{
  if (strstr(say(" %s,", cores), say(" %s,", name))) return cores;
  return say("%s%s%s", cores, *cores ? ", " : "", name);
}

char *processor_name(const char *cpuinfo, const char *board)
{
  static const char *const keys[] = { "model name", "cpu model", "uarch", "cpu" };
  char line[512], model[512] = "";
  const char *name = "", *cores = "";
  unsigned implementer = 0;
  FILE *f = fopen(cpuinfo, "r"), *b = fopen(board, "r");
  while (!*name && next_line(f, line)) {
    const char *value = split_at_colon(line);
    for (int i = 0; i < 4; i++) if (!strcasecmp(line, keys[i])) name = say("%s", value);
    if (!strcmp(line, "CPU implementer")) implementer = (unsigned)strtoul(value, NULL, 16);
    if (!strcmp(line, "CPU part")) cores = with_core(cores, arm_core(implementer, (unsigned)strtoul(value, NULL, 16)));
  }
  next_line(b, model);
  if (f) fclose(f);
  if (b) fclose(b);
  if (!*name) name = *cores && *model ? say("%s (%s)", cores, model) : *cores ? cores : model;
  return copy_text(*name ? name : "unknown");
}

/* tell time and progress */
double seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
  const double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

double median(double *x, int n)
{
  qsort(x, (size_t)n, sizeof *x, by_value);
  return n % 2 ? x[n / 2] : (x[n / 2 - 1] + x[n / 2]) / 2;
}

const char *time_left(double s)
{
  if (!(s >= 0 && s < 1e8)) return "?";
  if (s < 60) return say("%.0f s", s);
  if (s < 3600) return say("%d min %02d s", (int)s / 60, (int)s % 60);
  return say("%d h %02d min", (int)s / 3600, (int)s / 60 % 60);
}

void progress_start(progress *p, const char *title, double total)
{
  *p = (progress){ title, total, seconds(), 0, isatty(2) };
}

void progress_show(progress *p, double done, const char *text)
{
  double now = seconds();
  if (!p->terminal || (now - p->drawn < 0.1 && done < p->total)) return;
  p->drawn = now;
  double share = p->total > 0 ? done / p->total : 1;
  char bar[21] = "....................";
  memset(bar, '#', (size_t)(20 * (share < 1 ? share : 1)));
  fprintf(stderr, "\r\033[K%s [%s] %3.0f %%  %s  %s left", p->title, bar, 100 * share, text,
          done > 0 ? time_left((now - p->start) * (p->total - done) / done) : "?");
  fflush(stderr);
}

void progress_end(progress *p)
{
  if (p->terminal) fputs("\r\033[K", stderr), fflush(stderr);
}
/* hash by SHA-256 */
static uint32_t rotr(uint32_t x, int n) { return x >> n | x << (32 - n); }

static void sha256_block(sha256 *s, const uint8_t *p)
{
  static const uint32_t k[64] = {
    /* SHA-256 round constants */
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2
  };
  uint32_t w[64], v[8];
  for (int i = 0; i < 16; i++) w[i] = (uint32_t)p[4*i] << 24 | p[4*i+1] << 16 | p[4*i+2] << 8 | p[4*i+3];
  for (int i = 16; i < 64; i++)
    w[i] = w[i-16] + (rotr(w[i-15], 7) ^ rotr(w[i-15], 18) ^ w[i-15] >> 3)
         + w[i-7] + (rotr(w[i-2], 17) ^ rotr(w[i-2], 19) ^ w[i-2] >> 10);
  memcpy(v, s->h, sizeof v);
  for (int i = 0; i < 64; i++) {
    uint32_t t1 = v[7] + (rotr(v[4], 6) ^ rotr(v[4], 11) ^ rotr(v[4], 25)) + ((v[4] & v[5]) ^ (~v[4] & v[6])) + k[i] + w[i];
    uint32_t t2 = (rotr(v[0], 2) ^ rotr(v[0], 13) ^ rotr(v[0], 22)) + ((v[0] & v[1]) ^ (v[0] & v[2]) ^ (v[1] & v[2]));
    memmove(v + 1, v, 7 * sizeof *v);
    v[4] += t1;
    v[0] = t1 + t2;
  }
  for (int i = 0; i < 8; i++) s->h[i] += v[i];
}

void sha256_start(sha256 *s)
{
  static const uint32_t h[8] = { 0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19 };
  memcpy(s->h, h, sizeof h);
  s->bytes = 0;
}

void sha256_add(sha256 *s, const void *data, size_t n)
{
  const uint8_t *p = data;
  while (n) {
    size_t at = s->bytes % 64, take = 64 - at < n ? 64 - at : n;
    memcpy(s->block + at, p, take);
    s->bytes += take, p += take, n -= take;
    if (s->bytes % 64 == 0) sha256_block(s, s->block);
  }
}

void sha256_end(sha256 *s, char hex[65])
{
  uint64_t bits = s->bytes * 8;
  uint8_t tail[72] = { 0x80 };
  size_t pad = 64 - (s->bytes + 8) % 64;
  for (int i = 0; i < 8; i++) tail[pad + i] = (uint8_t)(bits >> (56 - 8 * i));
  sha256_add(s, tail, pad + 8);
  for (int i = 0; i < 8; i++) sprintf(hex + 8 * i, "%08x", s->h[i]);
}

void sha256_of(const void *data, size_t bytes, char hex[65])
{
  sha256 s;
  sha256_start(&s);
  sha256_add(&s, data, bytes);
  sha256_end(&s, hex);
}

void sha256_of_file(const char *path, char hex[65])
{
  size_t n;
  char *text = file_read(path, &n, NULL);
  sha256_of(text, n, hex);
  free(text);
}

/* read JSON, and write it again */
typedef struct { const char *s, *start, *where; int depth; } json_cursor;

static _Noreturn void json_bad(json_cursor *c, const char *expected)
{
  die(EXIT_DATA, c->where, say("%s at byte %ld", *c->s ? say("'%.12s'", c->s) : "the end", (long)(c->s - c->start)),
      expected, "the file is damaged or is not ours");
}

static void json_space(json_cursor *c) { c->s += strspn(c->s, " \t\r\n"); }

static unsigned hex4(const char *s)                  /* the number behind \u, or 0 */
{
  char digits[5] = "";
  memcpy(digits, s, strnlen(s, 4));
  return strspn(digits, "0123456789abcdefABCDEF") == 4 ? (unsigned)strtoul(digits, NULL, 16) : 0;
}

/* Adds the character that the escape at c->s stands for; leaves c->s on the escape's last letter. */
static void json_escape(json_cursor *c, char **out)
{
  static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
  const char *e = strchr(from, *++c->s);
  unsigned u = *c->s == 'u' ? hex4(c->s + 1) : 0, low;
  if (*c->s && e) { *(*out)++ = to[e - from]; return; }
  if (!u || (u >= 0xdc00 && u < 0xe000)) json_bad(c, "a known escape");
  c->s += 4;
  if (u >= 0xd800 && u < 0xdc00) {
    low = c->s[1] == '\\' && c->s[2] == 'u' ? hex4(c->s + 3) : 0;
    if (low < 0xdc00 || low > 0xdfff) json_bad(c, "the second half of a pair");
    u = 0x10000 + ((u & 0x3ff) << 10 | (low & 0x3ff)), c->s += 6;
  }
  put_utf8(out, u);
}

static char *json_string(json_cursor *c)
{
  if (*c->s != '"') json_bad(c, "a string");
  const char *end = ++c->s;
  while (*end && *end != '"') end += *end == '\\' && end[1] ? 2 : 1;
  if (!*end) c->s = end, json_bad(c, "a closing quote");
  char *text = new_bytes((size_t)(end - c->s) + 1), *out = text;
  for (; c->s < end; c->s++) {
    if (*c->s != '\\') *out++ = *c->s;
    else json_escape(c, &out);
  }
  c->s = end + 1;
  return text;
}

static json *json_value(json_cursor *c);

static void json_children(json_cursor *c, json *j, char close)
{
  json **last = &j->child;
  if (++c->depth > 64) json_bad(c, "at most 64 levels");
  c->s++, json_space(c);
  while (*c->s != close) {
    char *name = NULL;
    if (close == '}') {
      name = json_string(c), json_space(c);
      if (*c->s++ != ':') c->s--, json_bad(c, "':'");
    }
    *last = json_value(c);
    (*last)->name = name;
    last = &(*last)->next;
    if (*c->s == ',') c->s++, json_space(c);
    else if (*c->s != close) json_bad(c, close == '}' ? "',' or '}'" : "',' or ']'");
  }
  c->s++, c->depth--;
}

static json *json_value(json_cursor *c)
{
  json *j = NEW(json, 1);
  json_space(c);
  if (*c->s == '{') j->kind = JSON_OBJECT, json_children(c, j, '}');
  else if (*c->s == '[') j->kind = JSON_ARRAY, json_children(c, j, ']');
  else if (*c->s == '"') j->kind = JSON_TEXT, j->text = json_string(c);
  else if (!strncmp(c->s, "true", 4)) j->kind = JSON_BOOL, j->number = 1, c->s += 4;
  else if (!strncmp(c->s, "false", 5)) j->kind = JSON_BOOL, c->s += 5;
  else if (!strncmp(c->s, "null", 4)) c->s += 4;
  else {
    char *end;
    j->kind = JSON_NUMBER, j->number = strtod(c->s, &end);
    if (end == c->s) json_bad(c, "a JSON value");
    j->text = new_bytes((size_t)(end - c->s) + 1);
    memcpy(j->text, c->s, (size_t)(end - c->s));
    c->s = end;
  }
  json_space(c);
  return j;
}

json *json_parse(const char *text, const char *where)
{
  json_cursor c = { text, text, where, 0 };
  json *j = json_value(&c);
  if (*c.s) json_bad(&c, "nothing more");
  return j;
}

json *json_get(const json *o, const char *name)
{
  for (json *j = o && o->kind == JSON_OBJECT ? o->child : NULL; j; j = j->next)
    if (!strcmp(j->name, name)) return j;
  return NULL;
}

const char *json_text(const json *o, const char *name, const char *otherwise)
{
  json *j = json_get(o, name);
  return j && j->text ? j->text : otherwise;
}

double json_number(const json *o, const char *name, double otherwise)
{
  json *j = json_get(o, name);
  return j && (j->kind == JSON_NUMBER || j->kind == JSON_BOOL) ? j->number : otherwise;
}

uint64_t json_seed(const json *o, const char *name)
{
  json *j = json_get(o, name);
  return j && j->text ? strtoull(j->text, NULL, 10) : 0;
}

void json_free(json *j)
{
  while (j) {
    json *next = j->next;
    json_free(j->child), free(j->name), free(j->text), free(j);
    j = next;
  }
}

void build_value(builder *b, const json *v)
{
  const bool list = v->kind == JSON_ARRAY, object = v->kind == JSON_OBJECT;
  if (v->kind == JSON_TEXT) build_json(b, v->text);
  else if (v->kind == JSON_NUMBER) build(b, "%s", v->text);
  else if (v->kind == JSON_BOOL) build(b, "%s", v->number != 0 ? "true" : "false");
  else if (v->kind == JSON_NULL) build(b, "null");
  else build(b, "%c", list ? '[' : '{');
  for (const json *c = v->child; c; c = c->next) {
    if (object) build_json(b, c->name), build(b, ": ");
    build_value(b, c);
    if (c->next) build(b, ", ");
  }
  if (list || object) build(b, "%c", list ? ']' : '}');
}

void json_put_text(FILE *f, const char *s)
{
  builder b = {0};
  build_json(&b, s);
  char *text = built(&b, NULL);
  fputs(text, f), free(text);
}

static char *seal(const char *text, size_t n, const char *key)
{
  char hex[65];
  sha256_of(text, n, hex);
  return join(",\n \"%s\": \"%s\"}\n", key, hex);
}

void build_seal(builder *b, const char *key)
{
  char *line = seal(b->text, b->length, key);
  build(b, "%s", line);
  free(line);
}

bool is_sealed(const char *text, size_t n, const char *key)
{
  const size_t line = strlen(",\n \"\": \"\"}\n") + strlen(key) + 64;
  if (n < line) return false;
  char *right = seal(text, n - line, key);
  const bool good = !strcmp(text + n - line, right);
  free(right);
  return good;
}

/* read CSV, and write it */
/* What the first line has most of, outside of quotes: a comma, a semicolon or a tab. */
static char csv_between(const char *s)
{
  int count[128] = {0};
  for (bool quoted = false; *s && (quoted || *s != '\n'); s++) {
    if (*s == '"') quoted = !quoted;
    else if (!quoted && (*s == ',' || *s == ';' || *s == '\t')) count[(int)*s]++;
  }
  const char most = count[';'] > count['\t'] ? ';' : '\t';
  return count[(int)most] > count[','] ? most : ',';
}

char *trimmed(char *s)
{
  s += strspn(s, " \t");
  for (size_t n = strlen(s); n && (s[n - 1] == ' ' || s[n - 1] == '\t'); n--) s[n - 1] = 0;
  return s;
}

static char *csv_field(char **at, char between, char *closing)
{
  char *s = *at, *out = s, *start = s;
  if (*s == '"') {
    for (s++; *s && !(*s == '"' && s[1] != '"'); s++) {
      if (*s == '"') s++;
      *out++ = *s;
    }
    if (*s) s++;
  }
  while (*s && *s != between && *s != '\n') *out++ = *s++;
  if (out > start && out[-1] == '\r') out--;
  *closing = *s;
  *at = *s ? s + 1 : s;
  *out = 0;
  return start;
}

csv *csv_read(const char *path, const char *hint)
{
  csv *c = NEW(csv, 1);
  c->path = copy_text(path);
  c->text = file_read(path, NULL, hint);
  const char between = csv_between(c->text);
  char *s = c->text, closing = between;
  int room = 0, line = 1;
  while (closing == between) {
    c->header = grow(c->header, sizeof(char *) * (size_t)(c->columns + 1));
    c->header[c->columns++] = trimmed(csv_field(&s, between, &closing));
  }
  if (c->columns == 1 && !c->header[0][0]) die(EXIT_DATA, path, "no header line", "column names in the first line", hint);
  /* read the CSV's rows */
  while (*s) {
    line++;
    if (*s == '\n' || (*s == '\r' && s[1] == '\n')) { s += *s == '\r' ? 2 : 1; continue; }
    if (c->rows == room) {
      room = room ? 2 * room : 256;
      c->cell = grow(c->cell, sizeof(char *) * (size_t)room * (size_t)c->columns);
    }
    closing = between;
    int n = 0;
    for (; closing == between; n++) {
      char *field = csv_field(&s, between, &closing);
      if (n < c->columns) c->cell[(size_t)c->rows * (size_t)c->columns + (size_t)n] = field;
    }
    if (n != c->columns)
      die(EXIT_DATA, say("%s:%d", path, line), say("%d fields", n), say("%d, as in the header", c->columns), hint);
    c->rows++;
  }
  return c;
}

int csv_column(const csv *c, const char *name)
{
  int found = -1;
  for (int i = 0; i < c->columns; i++) {
    if (strcmp(c->header[i], name)) continue;
    if (found >= 0) die(EXIT_DATA, c->path, say("columns %d and %d both named '%s'", found + 1, i + 1, name), "one of them", "rename the other");
    found = i;
  }
  return found;
}

int csv_need(const csv *c, const char *name)
{
  int i = csv_column(c, name);
  if (i >= 0) return i;
  builder all = {0};
  for (i = 0; i < c->columns; i++) build_list(&all, c->header[i]);
  die(EXIT_DATA, c->path, say("columns %s", built(&all, NULL)), say("a column '%s'", name), "the first line names the columns");
}

void csv_free(csv *c)
{
  free(c->path), free(c->text), free(c->cell), free(c->header), free(c);
}

void csv_put(FILE *f, const char *s)
{
  if (!strpbrk(s, ",\"\r\n")) { fputs(s, f); return; }
  fputc('"', f);
  for (; *s; s++) { if (*s == '"') fputc('"', f); fputc(*s, f); }
  fputc('"', f);
}

