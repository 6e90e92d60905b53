/* 02-base.c: hashes, random numbers, JSON, CSV and atomic files, against published vectors and on bad input. */
#include "tap.h"
#include "base/base.h"
#include "base/options.h"
#include "base/rng.h"
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[] = "/tmp/t02.XXXXXX";
static const char *in_folder(const char *name) { return say("%s/%s", folder, name); }

/* Run f(x) in a child process; true when it exits with code and its stderr holds text (NULL: anything). */
static bool ends(int code, const char *text, void (*f)(const char *), const char *x)
{
  int p[2], status;
  char got[8192] = "";
  if (pipe(p)) return false;
  fflush(stdout);
  pid_t child = fork();
  if (!child) { dup2(p[1], 2), close(p[0]), close(p[1]); f(x); exit(0); }
  close(p[1]);
  size_t n = 0;
  for (ssize_t k; n < sizeof got - 1 && (k = read(p[0], got + n, sizeof got - 1 - n)) > 0;) n += (size_t)k;
  close(p[0]);
  waitpid(child, &status, 0);
  bool good = WIFEXITED(status) && WEXITSTATUS(status) == code && (!text || strstr(got, text));
  if (!good) printf("# status %x, stderr: %s\n", status, got);
  return good;
}

static void check_sha256(void)
{
  /* FIPS 180-4 and the examples NIST publishes with it */
  const struct { const char *text, *hash; } v[] = {
    { "", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" },
    { "abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1" },
  };
  char hex[65];
  for (int i = 0; i < 3; i++) {
    sha256_of(v[i].text, strlen(v[i].text), hex);
    ok(!strcmp(hex, v[i].hash), "SHA-256 of \"%s\"", v[i].text);
  }
  sha256 s;
  sha256_start(&s);
  for (int i = 0; i < 1000000; i += 125) sha256_add(&s, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
                                                         "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", 125);
  sha256_end(&s, hex);
  ok(!strcmp(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"), "SHA-256 of a million a's, in pieces of 125");
  char text[200];
  bool same = true;
  for (int n = 0; n < 200; n++) {                    /* every length around the block's edge, whole and byte by byte */
    char whole[65];
    memset(text, 'x', sizeof text), sha256_of(text, (size_t)n, whole);
    sha256_start(&s);
    for (int i = 0; i < n; i++) sha256_add(&s, text + i, 1);
    sha256_end(&s, hex);
    same &= !strcmp(hex, whole);
  }
  ok(same, "SHA-256 does not depend on how the text is cut");
}

static void check_random(void)
{
  /* Random123's kat_vectors, philox4x32 10: counter, key, output */
  static const uint32_t v[3][10] = {
    { 0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 },
    { ~0u, ~0u, ~0u, ~0u, ~0u, ~0u, 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd },
    { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 },
  };
  for (int i = 0; i < 3; i++) {
    uint32_t out[4];
    rng_block((uint64_t)v[i][5] << 32 | v[i][4], v[i][3], v[i][2], v[i][1], v[i][0], out);
    ok(!memcmp(out, v[i] + 6, sizeof out), "Philox4x32-10 known answer %d", i + 1);
  }
  uint32_t first[4], second[4];
  rng r = rng_open(7, RNG_TEST, 3, 5);
  rng_block(7, RNG_TEST, 3, 5, 0, first), rng_block(7, RNG_TEST, 3, 5, 1, second);
  bool same = true;
  for (int i = 0; i < 8; i++) same &= rng_u32(&r) == (i < 4 ? first[i] : second[i - 4]);
  ok(same, "a stream is its blocks, one after the other");

  int n = 200000, count[7] = { 0 }, x[100], seen[100] = { 0 };
  double mean = 0, square = 0, low = 1, high = 0, uniform = 0;
  for (int i = 0; i < n; i++) {
    double z = rng_normal(&r), u = rng_uniform(&r);
    mean += z / n, square += z * z / n, uniform += u / n;
    low = u < low ? u : low, high = u > high ? u : high;
    count[rng_below(&r, 7)]++;
  }
  ok(low > 0 && high < 1 && uniform > 0.497 && uniform < 0.503, "uniform draws lie in (0, 1), mean %.4f", uniform);
  ok(mean > -0.01 && mean < 0.01 && square > 0.985 && square < 1.015, "normal draws: mean %.4f, mean square %.4f", mean, square);
  bool even = true;
  for (int i = 0; i < 7; i++) even &= abs(count[i] - n / 7) < 5 * 160;  /* five standard deviations */
  ok(even, "draws below 7 are even");
  for (int i = 0; i < 100; i++) x[i] = i;
  rng_shuffle(&r, x, 100);
  int moved = 0;
  for (int i = 0; i < 100; i++) seen[x[i]]++, moved += x[i] != i;
  bool permutation = moved > 80;
  for (int i = 0; i < 100; i++) permutation &= seen[i] == 1;
  ok(permutation, "a shuffle keeps every element once and moves most");
  int place[5][5] = { 0 };
  for (int i = 0; i < 12000; i++) {
    int y[5] = { 0, 1, 2, 3, 4 };
    rng_shuffle(&r, y, 5);
    for (int k = 0; k < 5; k++) place[k][y[k]]++;
  }
  even = true;
  for (int k = 0; k < 25; k++) even &= abs(place[k / 5][k % 5] - 2400) < 5 * 44;
  ok(even, "a shuffle brings every element to every place equally often");
}

static void parse(const char *text) { json_free(json_parse(text, "test.json")); }

static void check_json(void)
{
  json *j = json_parse("{ \"a\": [1, 2.5e-3, true, null], \"t\": \"q\\\"\\\\\\n\\u00e9\\u20ac\", \"o\": {\"deep\": {}}, \"n\": 1.20 }", "x");
  ok(json_number(json_get(j, "a")->child, "none", 7) == 7 && json_get(j, "a")->child->next->number == 2.5e-3, "JSON numbers");
  ok(!strcmp(json_text(j, "t", ""), "q\"\\\n\xc3\xa9\xe2\x82\xac"), "JSON escapes and UTF-8");
  ok(!strcmp(json_text(j, "n", ""), "1.20") && json_number(j, "n", 0) == 1.2, "a JSON number keeps its text");
  ok(json_get(json_get(j, "o"), "deep") && !json_get(j, "absent") && !json_get(NULL, "a"), "JSON members, there and absent");
  json_free(j);
  j = json_parse("[\"\\ud83d\\ude00\\uD834\\uDD1E\\uffff\"]", "x");     /* U+1F600, U+1D11E (RFC 8259's own example), U+FFFF */
  ok(!strcmp(j->child->text, "\xf0\x9f\x98\x80\xf0\x9d\x84\x9e\xef\xbf\xbf"), "JSON pairs of surrogates are one character each");
  json_free(j);

  static const char *const bad[] = { "", " ", "{", "[", "{\"a\"", "{\"a\":", "{\"a\":1", "{\"a\" 1}", "{a:1}", "[1 2]", "[1,", "\"open", "\"x\\", "\"x\\q\"",
                                     "\"\\u12\"", "\"\\u 12a\"", "\"\\ud83d\"", "\"\\ud83d\\u0041\"", "\"\\ude00\"", "\"\\u0000\"", "{} x", "tru", "-", "{\"a\":1,,\"b\":2}", "\x01" };
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) ok(ends(EXIT_DATA, "test.json", parse, bad[i]), "bad JSON is refused: %s", bad[i]);
  char deep[20001];
  memset(deep, '[', 20000), deep[20000] = 0;
  ok(ends(EXIT_DATA, "64 levels", parse, deep), "JSON 20000 levels deep is refused");

  /* Cut a good document everywhere: it is never a crash. */
  const char *good = "{\"a\": [1, {\"b\": \"c\\u00e9\\n\"}], \"d\": true}";
  int crashes = 0;
  for (size_t n = 0; n < strlen(good); n++) {
    char *cut = join("%.*s", (int)n, good);
    crashes += !ends(EXIT_DATA, NULL, parse, cut);
    free(cut);
  }
  ok(!crashes, "JSON cut at any byte is refused");
}

static void put(const char *name, const char *text)
{
  FILE *f = fopen(in_folder(name), "wb");
  fputs(text, f), fclose(f);
}
static void read_table(const char *text) { put("bad.csv", text); csv_free(csv_read(in_folder("bad.csv"), "a hint")); }
static void need_column(const char *name) { put("bad.csv", "file,class\na,b\n"); csv_need(csv_read(in_folder("bad.csv"), NULL), name); }
static void need_class_of(const char *text) { put("bad.csv", text); csv_need(csv_read(in_folder("bad.csv"), NULL), "class"); }
static void read_absent(const char *name) { csv_read(in_folder(name), "a hint"); }

/* A text of n letters; free() it. */
static char *long_text(size_t n)
{
  char *s = new_bytes(n + 1);
  memset(s, 'p', n);
  return s;
}

static void tell_of(const char *where) { die(EXIT_DATA, say("%s/end of it", where), say("%s", where), "less", "the hint"); }

static void check_texts(void)
{
  char *p = long_text(70000), *path = long_text(1500);
  ok(strlen(say("%s/x", p)) == 70002, "say() cuts nothing");
  const char *first = say("first");
  for (int i = 0; i < 15; i++) say("%d", i);
  ok(!strcmp(first, "first"), "a text of say() outlives fifteen others");
  ok(ends(EXIT_DATA, "pp/end of it: found ppp", tell_of, path) && ends(EXIT_DATA, "ppp; expected less\n  hint: the hint\n", tell_of, path),
     "a message with two long paths is whole");
  builder b = {0};
  size_t n;
  for (int i = 0; i < 30000; i++) build(&b, "%d,%s", i % 10, i % 1000 ? "" : "\n");
  build(&b, "%s", p), build_json(&b, "\"\\\n\xc3\xa9");
  char *text = built(&b, &n);
  ok(n == 60030 + 70000 + 14 && strlen(text) == n && !strcmp(text + n - 14, "\"\\\"\\\\\\u000a\xc3\xa9\"") && !strncmp(text, "0,\n1,2,", 7),
     "a builder keeps every piece (%zu bytes)", n);
  free(text), text = built(&b, &n);
  ok(!n && !*text, "an empty builder is an empty text");
  free(text), free(p), free(path);
}

static void check_csv(void)
{
  put("a.csv", "\xef\xbb\xbf" "file,class,note\r\na.tif,monocyte,\"x, \"\"y\"\"\nz\"\r\n\r\nb.tif,,last");
  csv *c = csv_read(in_folder("a.csv"), NULL);
  ok(c->rows == 2 && c->columns == 3 && csv_column(c, "class") == 1 && csv_column(c, "group") == -1, "CSV: shape and columns");
  ok(!strcmp(c->header[0], "file") && !strcmp(csv_cell(c, 0, 2), "x, \"y\"\nz") && !strcmp(csv_cell(c, 1, 1), "") && !strcmp(csv_cell(c, 1, 2), "last"),
     "CSV: byte order mark, CRLF, quotes, an empty field, no last newline");
  FILE *f = fopen(in_folder("b.csv"), "wb");
  fputs("v\n", f), csv_put(f, csv_cell(c, 0, 2)), fputs("\n", f), fclose(f);
  csv *d = csv_read(in_folder("b.csv"), NULL);
  ok(d->rows == 1 && !strcmp(csv_cell(d, 0, 0), csv_cell(c, 0, 2)), "CSV: what is put is read again");
  csv_free(c), csv_free(d);
  ok(ends(0, NULL, read_table, "only,a,header\n"), "CSV: a header alone is a table of no rows");
  ok(ends(EXIT_DATA, "no header", read_table, ""), "CSV: an empty file is refused");
  ok(ends(EXIT_DATA, "bad.csv:3: found 1 fields; expected 2", read_table, "a,b\n1,2\n3\n"), "CSV: a short row is refused, with its line");
  ok(ends(EXIT_DATA, "found 3 fields", read_table, "a,b\n1,2,3\n"), "CSV: a long row is refused");
  ok(ends(0, NULL, read_table, "a,b\n1,\"open\n"), "CSV: an open quote ends with the file, without a crash");
  ok(ends(EXIT_DATA, "columns file, class; expected a column 'label'", need_column, "label"), "CSV: a missing column is named, with those there");
  char *wide = long_text(3000);
  for (int i = 10; i < 3000; i += 10) wide[i] = ',';
  char *text = join("%s,last_column\n", wide);
  ok(ends(EXIT_DATA, "p, last_column; expected a column 'class'", need_class_of, text), "CSV: however many they are");
  free(wide), free(text);
  ok(ends(EXIT_DATA, "No such file", read_absent, "absent.csv"), "CSV: a missing file is bad data");
}

static void write_too_much(const char *name)
{
  struct rlimit limit = { 4096, 4096 };
  signal(SIGXFSZ, SIG_IGN), setrlimit(RLIMIT_FSIZE, &limit);
  atomic_file *a = file_create(in_folder(name));
  for (int i = 0; i < 100000; i++) fputs("all the world's data\n", a->f);
  file_commit(a);
}
/* The reason of a failed write must come through what happens between it and the commit. */
static void forget_the_reason(const char *name)
{
  struct rlimit limit = { 4096, 4096 };
  setrlimit(RLIMIT_FSIZE, &limit);
  atomic_file *a = file_create(in_folder(name));
  for (int i = 0; i < 1000; i++) fputs("all the world's data\n", a->f);
  if (file_exists(in_folder("no such file"))) exit(0);
  file_commit(a);
}
/* As nobody in particular, for root may write everywhere. */
static void make_where_forbidden(const char *path)
{
  if (!getuid() && (setgid(65534) || setuid(65534))) exit(0);
  make_folders(path);
}
static void read_text(const char *path) { free(file_read(path, NULL, NULL)); }
static void read_hinted(const char *path) { hint_about(path, "the one way out"); file_read(path, NULL, "another"); }
static void read_unhinted(const char *path) { hint_about("elsewhere", "the one way out"); file_read(path, NULL, "another"); }
static void put_file(const char *name, const char *bytes, size_t n)
{
  FILE *f = fopen(in_folder(name), "wb");
  fwrite(bytes, 1, n, f), fclose(f);
}
static bool is_processor(const char *right, const char *cpuinfo, const char *board, size_t n)
{
  put_file("cpuinfo", cpuinfo, strlen(cpuinfo)), put_file("board", board, n);
  char *name = processor_name(in_folder("cpuinfo"), in_folder(n ? "board" : "absent"));
  const bool same = !strcmp(name, right);
  if (!same) printf("# '%s'\n", name);
  free(name);
  return same;
}

/* As these systems write them; the names of Arm's numbers are lscpu's. */
static void check_processors(void)
{
#define ARM(implementer, part) "processor\t: 0\nBogoMIPS\t: 108.00\nCPU implementer\t: " implementer "\nCPU architecture: 8\nCPU variant\t: 0x3\nCPU part\t: " part "\nCPU revision\t: 3\n\n"
  ok(is_processor("AMD EPYC 7B13", "processor\t: 0\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7B13\nmodel name\t: another\n", "", 0), "an x86-64 processor");
  ok(is_processor("Neoverse-N1", ARM("0x41", "0xd0c") ARM("0x41", "0xd0c"), "", 0), "an Arm server: the design of its cores, once");
  ok(is_processor("Cortex-A72 (Raspberry Pi 4 Model B Rev 1.4)", ARM("0x41", "0xd08") "Model\t\t: Raspberry Pi 4 Model B Rev 1.4\n", "Raspberry Pi 4 Model B Rev 1.4", 31),
     "an Arm board: its name beside it");
  ok(is_processor("Cortex-A72, Cortex-A7", ARM("0x41", "0xd08") ARM("0x41", "0xc07") ARM("0x41", "0xd08"), "", 0), "cores of two designs, one name the beginning of the other");
  ok(is_processor("Arm 0x99 part 0x123", ARM("0x99", "0x123"), "", 0), "a design that nobody knows yet: its numbers");
  ok(is_processor("some board", "processor : 0\n", "some board\n", 11), "nothing but a board");
  ok(is_processor("POWER9, altivec supported", "processor\t: 0\ncpu\t\t: POWER9, altivec supported\nclock\t\t: 3800MHz\n", "8335-GTH", 8), "a POWER processor");
  ok(is_processor("sifive,u74-mc", "processor\t: 0\nisa\t: rv64imafdc\nuarch\t: sifive,u74-mc\n", "", 0), "a RISC-V processor");
  ok(is_processor("unknown", "", "", 0), "nothing at all");
}

static int dead_process(void)
{
  pid_t child = fork();
  if (!child) _exit(0);
  waitpid(child, NULL, 0);
  return (int)child;
}

static void check_text(void)
{
  put_file("bom", "\xef\xbb\xbfone\n", 7);
  char *text = file_read(in_folder("bom"), NULL, NULL);
  size_t n;
  ok(!strcmp(text, "one\n"), "text: a byte-order mark is dropped");
  free(text), text = file_read(in_folder("bom"), &n, NULL);
  ok(n == 7 && !memcmp(text, "\xef\xbb\xbfone\n", 7), "bytes: it stays");
  free(text);
  put_file("zero", "one\nt\0wo\n", 9);
  ok(ends(EXIT_DATA, "zero:2: found a zero byte; expected plain text", read_text, in_folder("zero")), "text: a zero byte is an error, with its line");
  text = file_read(in_folder("zero"), &n, NULL);
  ok(n == 9 && !memcmp(text, "one\nt\0wo\n", 9), "bytes: it is a byte like others");
  free(text);
  ok(ends(EXIT_DATA, "hint: the one way out\n", read_hinted, in_folder("absent")), "a hint about a file goes before the reader's own");
  ok(ends(EXIT_DATA, "hint: another\n", read_unhinted, in_folder("absent")), "... and says nothing about other files");
  char why[256];
  ok(!file_load(folder, &n, why) && !strcmp(why, "not a plain file"), "a folder is no file: the reason, and nobody dies");
  ok(!file_load(in_folder("absent"), &n, why) && strstr(why, "No such file"), "... nor of a missing one");
}

static void check_leftovers(void)
{
  char *const dead = join("swept.tmp.%d", dead_process()), *const alive = join("swept.tmp.%d", (int)getppid());
  char *const other = join("other.tmp.%d", dead_process());
  put_file(dead, "half", 4), put_file(alive, "half", 4), put_file(other, "half", 4), put_file("swept.tmp.1x", "notes", 5);
  file_commit(file_create(in_folder("swept")));
  ok(!file_exists(in_folder(dead)), "what a dead process left is swept by the next that writes there");
  ok(file_exists(in_folder(alive)) && file_exists(in_folder(other)) && file_exists(in_folder("swept.tmp.1x")),
     "a living one's, another file's and other names stay");
  char *const locked = join("swept.tmp.%d", dead_process());
  put_file(locked, "half", 4);
  int fd = open(in_folder(locked), O_RDONLY);
  flock(fd, LOCK_EX);
  file_commit(file_create(in_folder("swept")));
  ok(file_exists(in_folder(locked)), "what is locked stays, whatever its number says");
  close(fd);
  free(dead), free(alive), free(other), free(locked);
}

static void leave_open(const char *name) { fputs("half", file_create(in_folder(name))->f); }
static void write_nowhere(const char *name) { file_create(in_folder(name)); }
static void be_killed(const char *name)
{
  atomic_file *a = file_create(in_folder(name));
  fputs("half", a->f), fflush(a->f);
  raise(SIGKILL);
}
static int entries(void)                             /* files in the test's folder */
{
  FILE *f = popen(say("ls -A %s | wc -l", folder), "r");
  int n = -1;
  if (fscanf(f, "%d", &n) != 1) n = -1;
  pclose(f);
  return n;
}

static void check_files(void)
{
  atomic_file *a = file_create(in_folder("x"));
  fputs("first", a->f);
  ok(!file_exists(in_folder("x")), "nothing is to be seen before the commit");
  file_commit(a);
  char *text = file_read(in_folder("x"), NULL, NULL);
  ok(!strcmp(text, "first"), "the commit shows the whole file");
  free(text);
  int before = entries();
  ok(ends(EXIT_FAIL, "cannot write", write_too_much, "x"), "no room: the program ends with a message and code 1");
  text = file_read(in_folder("x"), NULL, NULL);
  ok(!strcmp(text, "first"), "no room: the old file stays");
  free(text);
  ok(ends(EXIT_FAIL, "cannot write: File too large", forget_the_reason, "x"), "the reason of a failed write is told, whatever was asked since");
  ends(0, NULL, leave_open, "x");
  ok(entries() == before, "no temporary file is left behind");
  ends(0, NULL, be_killed, "x");
  ok(entries() == before + 1, "a killed process leaves its temporary file");
  a = file_create(in_folder("x"));
  fputs("second", a->f), file_commit(a);
  ok(entries() == before, "and who writes the file next removes it");
  ok(ends(EXIT_FAIL, "cannot write", write_nowhere, "no/such/folder/x"), "a missing folder is told");
  mkdir(in_folder("closed"), 0555), chmod(folder, 0755);
  ok(ends(EXIT_FAIL, "closed/in: found Permission denied", make_where_forbidden, in_folder("closed/in/side")), "a folder that may not be made: the true reason");
  make_folders(in_folder("p/q/r")), make_folders(in_folder("p/q/r"));
  ok(file_exists(in_folder("p/q/r")), "folders are made, twice without complaint");
  ok(ends(EXIT_FAIL, "x", make_folders, in_folder("x/y")), "a file where a folder should be is told");
}

int main(void)
{
  if (!mkdtemp(folder)) return 1;
  check_sha256();
  check_random();
  check_json();
  check_texts();
  check_csv();
  check_files();
  check_text();
  check_leftovers();
  check_processors();
  const char *const names[] = { "seed", "epochs", "out", NULL };
  ok(!strcmp(nearest("sed", names), "seed") && !strcmp(nearest("epoch", names), "epochs") && !nearest("weather", names), "the nearest name");
  const char *const short_names[] = { "1", "12", "f", NULL };
  ok(!nearest("2", short_names) && !nearest("13", short_names) && !nearest("g", short_names), "no number and no letter is near another");
  if (system(say("rm -rf %s", folder))) return 1;
  return done_testing();
}
