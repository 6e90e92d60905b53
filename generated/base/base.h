/* base.h: errors, memory, files, text formats. Every chapter's C file includes it. */
#ifndef BASE_H
#define BASE_H
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* declare how errors are reported */
/* The version: what git describes. It names a build in run.json and in the paper's colophon. */
extern const char wbcsnet_version[];
#define WBCSNET_VERSION wbcsnet_version
#ifdef __clang__
#define COMPILER "clang " __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

enum { CLASSES_MOST = 64 };                          /* the most classes of a data set */

/* Exit codes. 0 is success; 130 is an orderly stop on Ctrl-C or SIGTERM (the same command goes on). */
enum { EXIT_FAIL = 1, EXIT_USAGE = 2, EXIT_DATA = 3, EXIT_NODEVICE = 4, EXIT_STOPPED = 130 };

/* Print "wbcsnet: WHERE: found FOUND; expected EXPECTED" and "  hint: HINT" on stderr, remove temporary files, and exit(code).
   expected and hint may be NULL. Format the parts with say(). */
_Noreturn void die(int code, const char *where, const char *found, const char *expected, const char *hint);

/* The same form without ending the program; "warning:" stands in front. */
void warn(const char *where, const char *found, const char *hint);

/* Until hint_about(NULL, NULL), what die says about the file PATH ends with this hint, whoever complains; both texts stay the
   caller's. */
void hint_about(const char *path, const char *hint);

/* Write out what was printed; dies with EXIT_FAIL when standard output cannot take it. */
void output_flush(void);

/* printf into fresh memory of any length, which is good for the next 15 calls; for messages and paths, never for data. */
const char *say(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* declare how memory is taken */
void *new_bytes(size_t bytes);                       /* zeroed; never NULL; dies with EXIT_FAIL when there is none. free() it. */
#define NEW(type, count) ((type *)new_bytes(sizeof(type) * (size_t)(count)))
void *grow(void *p, size_t bytes);                   /* realloc, same rule */
char *copy_text(const char *s);                      /* strdup, same rule */
char *join(const char *format, ...) __attribute__((format(printf, 1, 2)));   /* printf into fresh memory of any length */
char *join_list(const char *format, va_list ap) __attribute__((format(printf, 1, 0)));   /* the same, for functions that take a format themselves */
/* declare memory for floats */
float *new_floats(size_t n);                         /* zeroed, on huge pages where there are any; never NULL, as new_bytes */
void free_floats(float *, size_t n);                 /* n: as they were taken */
/* declare texts that grow */
/* A text that grows at its end: builder b = {0}; build(&b, ...); char *t = built(&b, NULL). */
typedef struct { char *text; size_t length, room; } builder;
void build(builder *b, const char *format, ...) __attribute__((format(printf, 2, 3)));   /* printf behind what is there */
void build_json(builder *b, const char *s);          /* adds "s" with quotes and JSON's escapes */
bool is_utf8(const char *s);
void put_utf8(char **out, unsigned u);               /* puts a letter's bytes, 1 to 4, at *out, and moves it behind them */
void build_list(builder *b, const char *s);          /* adds s, behind a comma if it is not the first */
char *built(builder *b, size_t *length);             /* the text, never NULL: free() it; *length may be NULL. b is empty again. */
/* declare how files are read and written */
/* Read a whole file; a zero byte is put behind it. Without a size the file is text: UTF-16 becomes UTF-8 where a byte-order
   mark says so, that of UTF-8 is dropped, and a zero byte inside is an error. Dies with EXIT_DATA when it cannot. free() it. */
char *file_read(const char *path, size_t *size, const char *hint);
/* The same for any bytes, where the caller goes on without them (and in threads, where nobody may die): NULL with the reason. */
char *file_load(const char *path, size_t *size, char why[256]);

bool file_exists(const char *path);                  /* dies with EXIT_DATA where that cannot be known */
void make_folders(const char *path);                 /* mkdir -p; dies with EXIT_FAIL */

/* An atomic writer: file_create opens PATH.tmp.PID, file_commit syncs and renames it to PATH; both die with EXIT_FAIL
   (full disk, no permission), leaving the old PATH as it was. */
typedef struct { FILE *f; char *path, *temporary; } atomic_file;
atomic_file *file_create(const char *path);
void file_commit(atomic_file *a);
_Noreturn void file_write_error(const char *path);   /* says why (errno), hints at disk space */
int remove_all(const char *path);                    /* a file, or a folder with all that is in it; 0, or -1 and errno */
/* PATH.MARK.PID whose process is gone: what a killed one left. NULL when there is none; free() it. */
char *leftover(const char *path, const char *mark);
/* declare how a program is stopped */
extern volatile int stop_requested;
void catch_stop_signals(void);
/* declare the processor's name */
/* The processor's name from files like /proc/cpuinfo and /proc/device-tree/model; free() it. */
char *processor_name(const char *cpuinfo, const char *board);
/* declare time and progress */
double seconds(void);                                /* monotonic clock */
double median(double *x, int n);                     /* sorts x */
const char *time_left(double s);                     /* "1 h 05 min", "42 s" */

/* On a terminal: redraw "TITLE [#####.....] 42 %  TEXT  1 min 05 s left", at most ten times a second. Elsewhere: nothing. */
typedef struct { const char *title; double total, start, drawn; bool terminal; } progress;
void progress_start(progress *p, const char *title, double total);
void progress_show(progress *p, double done, const char *text);
void progress_end(progress *p);                      /* clears the line */
/* declare SHA-256 */
typedef struct { uint32_t h[8]; uint64_t bytes; uint8_t block[64]; } sha256;
void sha256_start(sha256 *s);
void sha256_add(sha256 *s, const void *data, size_t bytes);
void sha256_end(sha256 *s, char hex[65]);
void sha256_of(const void *data, size_t bytes, char hex[65]);
void sha256_of_file(const char *path, char hex[65]);  /* dies with EXIT_DATA */
/* declare JSON */
/* A parsed JSON value. Objects and arrays are linked lists of children; an object's children carry names. */
typedef struct json {
  enum { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_TEXT, JSON_ARRAY, JSON_OBJECT } kind;
  char *name, *text;          /* name: key in the parent object or NULL; text: the string, or a number as written */
  double number;              /* also 0 or 1 for a bool */
  struct json *child, *next;
} json;
json *json_parse(const char *text, const char *where);             /* dies with EXIT_DATA; text may be any bytes with a zero behind */
json *json_get(const json *object, const char *name);              /* NULL when absent or not an object */
uint64_t json_seed(const json *object, const char *name);          /* all 64 bits of a whole number; 0 when absent */
const char *json_text(const json *object, const char *name, const char *otherwise);
double json_number(const json *object, const char *name, double otherwise);
void json_free(json *j);
void json_put_text(FILE *f, const char *s);                        /* writes "s" with quotes and escapes */
void build_value(builder *b, const json *v);                       /* adds any value, numbers as they were written */

/* The last line of an object that bears the SHA-256 of its own text before that line, under this key; does it still? */
void build_seal(builder *b, const char *key);
bool is_sealed(const char *text, size_t n, const char *key);
/* declare CSV */
/* A CSV file: cell(row, column) with row 0 the first after the header. Quoted fields and CRLF are understood; fields may be
   parted by semicolons or tabs. */
typedef struct { char *path, *text; int rows, columns; char **cell, **header; } csv;
csv *csv_read(const char *path, const char *hint);   /* dies with EXIT_DATA: unreadable, no header, a row of another length */
int csv_column(const csv *c, const char *name);      /* -1 when absent; dies with EXIT_DATA when there are two */
int csv_need(const csv *c, const char *name);        /* dies with EXIT_DATA naming the columns there are */
static inline const char *csv_cell(const csv *c, int row, int column) { return c->cell[(size_t)row * (size_t)c->columns + (size_t)column]; }
char *trimmed(char *s);                              /* a word without the white space around it, in its place */
void csv_free(csv *c);
void csv_put(FILE *f, const char *s);                /* writes a field, quoted where it must be */
#endif
