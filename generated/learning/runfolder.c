#include "learning/runfolder.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* write down what a run is */
static char *config_text(const run_config *c)
{
  builder b = {0};
  build(&b, "{\"data\": {\"name\": "), build_json(&b, c->ds->name);
  build(&b, ", \"kind\": "), build_json(&b, c->ds->kind);
  build(&b, ", \"sha256\": \"%s\", \"cells\": %d}, \"net\": {\"name\": ", c->ds->sha256, c->ds->n);
  build_json(&b, c->net);
  build(&b, ", \"title\": "), build_json(&b, c->title);
  build(&b, ", \"set\": "), build_json(&b, c->set);
  build(&b, ", \"sha256\": \"%s\"}, \"recipe\": %s, \"folds\": %d, \"fold\": ", c->net_sha256, c->recipe, c->folds);
  if (c->fold < 0) build(&b, "\"all\""); else build(&b, "%d", c->fold);
  if (c->learn) build(&b, ", \"learn\": %d", c->learn);
  if (c->ungrouped) build(&b, ", \"ungrouped\": true");
  build(&b, ", \"cells\": %d, \"seed\": %llu, \"init\": ", c->subset, (unsigned long long)c->seed);
  if (c->init) build_json(&b, c->init); else build(&b, "null");
  build(&b, ", \"device\": "), build_json(&b, c->device);
  if (c->engine > 1 || c->method > 1)
    build(&b, ", \"arithmetic\": {\"engine\": %d, \"method\": %d}", c->engine, c->method);
  if (c->candidates) build(&b, ", \"candidates\": "), build_json(&b, c->candidates);
  build(&b, "}");
  return built(&b, NULL);
}

/* hash what decides a run's result */
static bool is_spelling(const char *path, bool fitted)
{
  static const char *const always[] = { "data.name", "net.title", NULL };
  static const char *const of_nets[] = { "net.name", "net.set", "recipe.name", "recipe.with", NULL };
  for (int i = 0; always[i]; i++) if (!strcmp(path, always[i])) return true;
  for (int i = 0; of_nets[i] && !fitted; i++) if (!strcmp(path, of_nets[i])) return true;
  return false;
}

static bool is_fitted(const json *config)
{
  int members = 0;
  for (const json *v = json_get(config, "recipe") ? json_get(config, "recipe")->child : NULL; v; v = v->next) members++;
  return members <= 2;
}

static const char *value_text(const json *v)
{
  if (!v) return "absent";
  if (v->kind == JSON_TEXT) return say("\"%s\"", v->text);
  if (v->kind == JSON_NUMBER) return v->text;
  return v->kind == JSON_NULL ? "null" : v->kind == JSON_BOOL ? (v->number != 0 ? "true" : "false") : "a group";
}

typedef void content_seen(void *to, const char *path, const json *value);

static void each_content(const json *config, const char *group, bool fitted, content_seen *see, void *to)
{
  for (const json *v = config ? config->child : NULL; v; v = v->next) {
    char *path = join("%s%s%s", group, *group ? "." : "", v->name);
    if (v->kind == JSON_OBJECT) each_content(v, path, fitted, see, to);
    else if (!is_spelling(path, fitted)) see(to, path, v);
    free(path);
  }
}

static void add_content(void *to, const char *path, const json *v)
{
  builder *b = to;
  build(b, "%s=%s\n", path, value_text(v));
}

static void identity_of(const json *config, char hex[65])
{
  size_t n;
  builder b = {0};
  each_content(config, "", is_fitted(config), add_content, &b);
  char *text = built(&b, &n);
  sha256_of(text, n, hex);
  free(text);
}

void run_identity(const char *config, char hex[65])
{
  json *j = json_parse(config, "configuration");
  identity_of(j, hex);
  json_free(j);
}

void run_config_identity(const run_config *c, char hex[65])
{
  char *text = config_text(c);
  run_identity(text, hex);
  free(text);
}

/* look whether a run is whole */
json *run_record(const char *folder)
{
  char *path = join("%s/run.json", folder);
  json *j = NULL;
  if (file_exists(path)) {
    const char hint[] = "remove this file to run the job again";
    size_t n;
    hint_about(path, hint);
    char *text = file_read(path, &n, NULL);
    j = json_parse(text, path);
    const bool old = !json_get(j, "format") && !json_get(j, "files") && !json_get(j, "sha256");
    if (!old && (json_number(j, "format", 0) != RUN_FORMAT || !is_sealed(text, n, "sha256")))
      die(EXIT_DATA, path, "a record that is not as it was written",
          say("format %d, and the SHA-256 that its last line names", RUN_FORMAT), hint);
    if (!json_get(j, "config") || !json_get(j, "finished") || !json_number(j, "finished", 0))
      die(EXIT_DATA, path, "a record without finished and config", "a finished run's", hint);
    hint_about(NULL, NULL);
    free(text);
  }
  free(path);
  return j;
}

/* Does a text of JSON end with the brace that closes it? One that was cut short seldom does. */
static bool is_closed(const char *text)
{
  const char *brace = strrchr(text, '}');
  return brace && !brace[1 + strspn(brace + 1, " \r\n")];
}

/* The same of a folder that is not this job's: NULL too where its record is damaged, which is then its own job's affair. */
static json *whole_record(const char *folder)
{
  char *path = join("%s/run.json", folder);
  size_t n = 0;
  char *text = file_exists(path) ? file_read(path, &n, NULL) : NULL;
  const bool damaged = text && (strstr(text, "\"format\"") || !is_closed(text)) && !is_sealed(text, n, "sha256");
  free(path), free(text);
  return damaged ? NULL : run_record(folder);
}

static bool is_diverged(const json *record) { return json_number(record, "diverged", 0) != 0; }
static bool has_fold(const json *record)
{
  const json *fold = json_get(json_get(record, "config"), "fold");
  return fold && fold->kind == JSON_NUMBER;
}

/* What is wrong with the files beside a record, or NULL. free() it. */
static char *old_fault(const char *folder, const json *record, bool weights)
{
  const char *const need[] = { "log.csv", !weights || is_diverged(record) ? NULL : "weights.safetensors",
                               !has_fold(record) || is_diverged(record) ? NULL : "predictions.csv" };
  for (int i = 0; i < 3; i++)
    if (need[i] && !file_exists(say("%s/%s", folder, need[i]))) return join("%s is missing", need[i]);
  return NULL;
}

static char *fault_of(const char *folder, const json *record, bool weights)
{
  const json *files = json_get(record, "files");
  if (!files) return old_fault(folder, record, weights && json_text(record, "weights_sha256", NULL));
  for (const json *f = files->child; f; f = f->next) {
    char hex[65], *path = join("%s/%s", folder, f->name);
    const bool there = file_exists(path), optional = !weights && !strcmp(f->name, "weights.safetensors");
    if (there && !optional) sha256_of_file(path, hex);
    free(path);
    if (optional) continue;
    if (!there) return join("%s is missing", f->name);
    if (strcmp(hex, f->text ? f->text : "")) return join("%s is not as it was written", f->name);
  }
  return NULL;
}

static void put_hash(const run_folder *r, builder *b, const char *name, bool *first)
{
  char hex[65], *path = join("%s/%s", r->out, name);
  if (file_exists(path)) {
    sha256_of_file(path, hex);
    build(b, "%s\"%s\": \"%s\"", *first ? "" : ", ", name, hex), *first = false;
  }
  free(path);
}

static void seal_record(const run_folder *r, builder *b, const char *weights_sha)
{
  bool first = true;
  char *path = join("%s/run.json", r->out);
  build(b, ",\n \"files\": {");
  put_hash(r, b, "log.csv", &first), put_hash(r, b, "predictions.csv", &first), put_hash(r, b, "folds.csv", &first);
  if (weights_sha) build(b, "%s\"weights.safetensors\": \"%s\"", first ? "" : ", ", weights_sha);
  build(b, "}");
  build_seal(b, "sha256");
  atomic_file *a = file_create(path);
  fwrite(b->text, 1, b->length, a->f);
  file_commit(a);
  free(built(b, NULL)), free(path);
}

/* refuse a folder that is not this run's */
static bool half_written(const char *name)
{
  const char *tail = strstr(name, ".tmp.");
  return tail && strspn(tail + 5, "0123456789") == strlen(tail + 5);
}

static bool has_configuration(const char *folder)
{
  return file_exists(say("%s/config.json", folder)) || file_exists(say("%s/run.json", folder));
}

static void refuse_strangers(const char *folder)
{
  static const char *const ours[] = { ".", "..", "lock", "command", "train.txt" };
  if (has_configuration(folder)) return;
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d)); ) {
    bool known = half_written(e->d_name);
    for (int i = 0; i < 5; i++) known |= !strcmp(e->d_name, ours[i]);
    if (!known && !has_configuration(folder))        /* another process may have claimed it meanwhile */
      die(EXIT_DATA, folder, say("a folder that holds %s and no config.json", e->d_name),
          "a new or empty folder, or a run's own", "choose another --out");
  }
  if (d) closedir(d);
}

static const char config_seal[] = "config_sha256";

/* What config.json holds of the configuration CONFIG; free() it. */
static char *sealed_config(const char *config)
{
  builder b = {0};
  build(&b, "%.*s", (int)strlen(config) - 1, config), build_seal(&b, config_seal);
  return built(&b, NULL);
}

/* A config.json, parsed, without its seal. Where it is damaged: NULL, or the end of the program when it is this job's own. */
static json *whole_config(const char *path, bool own)
{
  const char hint[] = "remove its folder to run the job again";
  size_t n;
  json *j = NULL;
  if (own) hint_about(path, hint);
  char *text = file_read(path, &n, NULL), *line = strstr(text, ",\n");
  const bool whole = line ? is_sealed(text, n, config_seal) : is_closed(text) && strlen(text) == n;
  if (!whole && own) die(EXIT_DATA, path, "a damaged file", "the configuration as it was written, and its SHA-256", hint);
  if (whole && line) strcpy(line, "}");
  if (whole) j = json_parse(text, path);
  hint_about(NULL, NULL);
  free(text);
  return j;
}

/* The configuration of what is in the folder, parsed; NULL when nothing is. The record's, where there is one: a fitted run of an
   earlier version has no other. */
static json *folder_config(const char *folder, const json *record, bool own)
{
  if (record) {
    builder b = {0};
    build_value(&b, json_get(record, "config"));
    char *text = built(&b, NULL);
    json *j = json_parse(text, folder);
    free(text);
    return j;
  }
  char *path = join("%s/config.json", folder);
  json *j = file_exists(path) ? whole_config(path, own) : NULL;
  free(path);
  return j;
}

typedef struct { const char *where; const json *theirs; } comparison;

static const json *at_path(const json *j, const char *path)
{
  const char *dot = strchr(path, '.');
  if (!dot) return json_get(j, path);
  char *group = join("%.*s", (int)(dot - path), path);
  const json *inner = json_get(j, group);
  free(group);
  return at_path(inner, dot + 1);
}

static void refuse_value(void *to, const char *path, const json *ours)
{
  const comparison *c = to;
  const json *w = at_path(c->theirs, path);
  const char *theirs = value_text(w);
  if (w && w->kind == ours->kind && !strcmp(theirs, value_text(ours))) return;
  die(EXIT_DATA, c->where, say("a run of another configuration: %s = %s", path, theirs), value_text(ours),
      strcmp(path, "device") || !w || !w->text ? "choose another --out, or remove that folder"
      : say("--device %s goes on with it; or choose another --out", w->text));
}

static void refuse_other(const run_folder *r, const json *theirs)
{
  char *where = join("%s/%s", r->out, file_exists(say("%s/config.json", r->out)) ? "config.json" : "run.json");
  json *ours = json_parse(r->config, "configuration");
  each_content(ours, "", true, refuse_value, &(comparison){ where, theirs });
  die(EXIT_DATA, where, "a run of another configuration", "this command's", "choose another --out, or remove that folder");
}

/* lock the folder for one process */
static bool still_there(int file, const char *path)
{
  struct stat a, b;
  return !fstat(file, &a) && !stat(path, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

static void sign_lock(int lock)
{
  char host[128] = "", line[256], when[32];
  const time_t now = time(NULL);
  gethostname(host, sizeof host - 1);
  strftime(when, sizeof when, "%Y-%m-%d %H:%M", localtime(&now));
  const int n = snprintf(line, sizeof line, "process %ld on %s since %s\n", (long)getpid(), host, when);
  if (ftruncate(lock, 0) || pwrite(lock, line, (size_t)n, 0) != n) return;   /* it says less then, and locks as well */
}

static char *lock_holder(const char *path)
{
  char line[256] = "another process";
  FILE *f = fopen(path, "r");
  if (f && fgets(line, sizeof line, f)) line[strcspn(line, "\n")] = 0;
  if (f) fclose(f);
  return copy_text(*line ? line : "another process");
}

/* Try once: a locked descriptor, -1 when another process holds it, -2 when this file system has no locks. */
static int try_lock(const char *path)
{
  for (;;) {
    const int lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock < 0) file_write_error(path);
    if (!flock(lock, LOCK_EX | LOCK_NB)) {
      if (still_there(lock, path)) return sign_lock(lock), lock;
      close(lock);
      continue;
    }
    const int why = errno;
    close(lock);
    if (why == EWOULDBLOCK) return -1;
    unlink(path);                                    /* a file that locks nothing */
    warn(path, say("cannot lock: %s", strerror(why)), "see to it that no second process runs in this folder");
    return -2;
  }
}

static void wait_a_moment(const char *folder, const char *lock, bool *said)
{
  if (!*said) {
    char *who = lock_holder(lock);
    fprintf(stderr, "%s: waits for %s\n", folder, who);
    free(who);
  }
  *said = true;
  if (stop_requested) exit(EXIT_STOPPED);
  nanosleep(&(struct timespec){ .tv_nsec = 200000000 }, NULL);
}

static void lock_folder(run_folder *r)
{
  char *path = join("%s/lock", r->out);
  bool said = false;
  make_folders(r->out);
  while ((r->lock = try_lock(path)) == -1) {
    if (!r->pool) {
      char *who = lock_holder(path);
      die(EXIT_FAIL, r->out, say("%s at work in this folder", who), "one process a run folder", "wait for it, or choose another --out");
    }
    wait_a_moment(r->out, path, &said);
    make_folders(r->out);
  }
  free(path);
}

static void remove_leftovers(const char *folder)
{
  DIR *d = opendir(folder);
  for (struct dirent *e; d && (e = readdir(d)); )
    if (half_written(e->d_name)) unlink(say("%s/%s", folder, e->d_name));
  if (d) closedir(d);
}

/* set another run aside */
static bool is_ours(const run_folder *r, const char *folder)
{
  char hex[65] = "";
  json *record = whole_record(folder), *config = folder_config(folder, record, false);
  if (config) identity_of(config, hex);
  json_free(record), json_free(config);
  return !strcmp(hex, r->identity);
}

/* The folder is locked and holds another run: put that aside, into the first free place. The lock goes with it. */
static void set_aside(run_folder *r)
{
  char *old = NULL;
  bool taken = true, back = false;
  for (int i = 1; taken && !back; i++) {
    free(old), old = i == 1 ? join("%s.old", r->out) : join("%s.old.%d", r->out, i);
    taken = file_exists(old);
    back = taken && is_ours(r, old) && !renameat2(AT_FDCWD, r->out, AT_FDCWD, old, RENAME_EXCHANGE);
  }
  if (!back && rename(r->out, old)) file_write_error(old);
  printf(back ? "%s: its own run is taken back; another one is now %s\n"
              : "%s: holds a run of another configuration, which is now %s\n", r->out, old);
  unlink(say("%s/lock", old));
  close(r->lock), free(old);
}

/* find an equal run, and take its files */
static char *pool_entry(const run_folder *r)
{
  char *path = join("%s/%s", r->pool, r->identity), *where = NULL;
  if (file_exists(path)) {
    where = file_read(path, NULL, NULL);
    where[strcspn(where, "\n")] = 0;
    if (!strcmp(where, r->out)) free(where), where = NULL;
  }
  free(path);
  return where;
}

static void leave_pool(const run_folder *r) { unlink(say("%s/%s", r->pool, r->identity)); }

/* False when another run has entered since. */
static bool enter_pool(const run_folder *r)
{
  char *path = join("%s/%s", r->pool, r->identity), *other = NULL;
  make_folders(r->pool);
  const int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (file < 0 && errno != EEXIST) file_write_error(path);
  if (file < 0) other = pool_entry(r);
  else if (dprintf(file, "%s\n", r->out) < 0 || close(file)) file_write_error(path);
  const bool ours = !other;
  free(path), free(other);
  return ours;
}

/* Wait until nobody works in that folder. */
static void wait_for(const char *folder)
{
  char *path = join("%s/lock", folder);
  bool said = false;
  for (int lock; file_exists(path) && (lock = try_lock(path)) != -2; ) {
    if (lock >= 0) { unlink(path), close(lock); break; }
    wait_a_moment(folder, path, &said);
  }
  free(path);
}

static void copy_file(const char *from, const char *to)
{
  size_t n;
  char *bytes = file_read(from, &n, NULL);
  atomic_file *a = file_create(to);
  fwrite(bytes, 1, n, a->f);
  file_commit(a), free(bytes);
}

/* Weights are linked, where the file system can: they may be large. */
static void take_file(const char *from, const char *to, const char *name)
{
  char *a = join("%s/%s", from, name), *b = join("%s/%s", to, name);
  unlink(b);
  if (file_exists(a) && link(a, b)) copy_file(a, b);
  free(a), free(b);
}

static void write_shared_record(const run_folder *r, const json *record)
{
  builder b = {0};
  build(&b, "{\"format\": %d, \"shared\": true, \"identity\": \"%s\",\n \"config\": %s", RUN_FORMAT, r->identity, r->config);
  for (const json *v = record->child; v; v = v->next) {
    static const char *const own[] = { "format", "shared", "identity", "config", "config_sha256", "files", "sha256" };
    bool skip = false;
    for (int i = 0; i < 7; i++) skip |= !strcmp(v->name, own[i]);
    if (skip) continue;
    build(&b, ",\n "), build_json(&b, v->name), build(&b, ": "), build_value(&b, v);
  }
  seal_record(r, &b, json_text(record, "weights_sha256", NULL));
}

static bool take_equal(run_folder *r)
{
  static const char *const parts[] = { "log.csv", "predictions.csv", "folds.csv", "weights.safetensors" };
  char *where = pool_entry(r);
  if (!where) return false;
  wait_for(where);
  json *record = whole_record(where);
  char *fault = record && is_ours(r, where) ? fault_of(where, record, false) : copy_text("gone");
  if (!fault) {
    /* take the equal run's files, the record last */
    run_claim(r);
    for (int i = 0; i < 4; i++) take_file(where, r->out, parts[i]);
    write_shared_record(r, record);
    printf("%s: shared with %s\n", r->out, where);
  }
  else leave_pool(r);
  const bool took = !fault;
  json_free(record), free(fault), free(where);
  return took;
}

/* find the weights to begin from */
char *run_weights(const char *path, char **init)
{
  *init = NULL;
  if (file_exists(path)) return copy_text(path);
  const char *slash = strrchr(path, '/');
  char *parent = slash ? join("%.*s", (int)(slash - path), path) : copy_text("."), identity[65];
  char *checkpoint = join("%s/checkpoint.safetensors", parent);
  json *record = run_record(parent);
  if (!record || !is_diverged(record))
    die(EXIT_DATA, path, record ? "no such file, though its run is finished" : "no such file", "the weights of a finished run",
        record ? say("remove %s/run.json to train it again", parent) : "give that run's train command first");
  identity_of(json_get(record, "config"), identity);
  const bool there = file_exists(checkpoint);
  printf("%s diverged: %s\n", parent, there ? "its last good checkpoint stands in for its weights" : "what is to begin from it cannot begin");
  if (!there) *init = join("nothing, for %s diverged", identity), free(checkpoint), checkpoint = NULL;
  json_free(record), free(parent);
  return checkpoint;
}

/* open a run folder, claim it, close it */
void run_open(run_folder *r, const char *out, const run_config *c, const char *pool)
{
  *r = (run_folder){ .out = out, .pool = pool, .config = config_text(c), .lock = -1 };
  run_identity(r->config, r->identity);
  refuse_strangers(out);
  for (bool other = true; other; ) {
    lock_folder(r);
    remove_leftovers(out);
    /* see whose run the folder holds */
    json *record = run_record(out), *config = folder_config(out, record, true);
    char hex[65];
    if (config) identity_of(config, hex);
    other = config && strcmp(hex, r->identity);
    if (other && !pool) refuse_other(r, config);
    if (other) set_aside(r);
    json_free(record), json_free(config);
  }
}

void run_claim(const run_folder *r)
{
  char *path = join("%s/config.json", r->out);
  if (!file_exists(path)) {
    atomic_file *a = file_create(path);
    char *text = sealed_config(r->config);
    fputs(text, a->f), free(text);
    file_commit(a);
  }
  free(path);
}

void run_close(run_folder *r)
{
  unlink(say("%s/lock", r->out));
  if (r->lock >= 0) close(r->lock);
  free(r->config);
}

static void tell_finished(const run_folder *r, const json *record)
{
  const double tests = json_number(record, "test_cells", 0);
  printf("%s: finished already: %s\n", r->out, is_diverged(record) ? "it diverged" :
         say("%g epochs, %s", json_number(record, "epochs", 0), tests > 0
             ? say("%g of %g held-out cells right", json_number(record, "correct", 0), tests)
             : say("%.2f %% of its own cells right", 100 * json_number(record, "final_accuracy", 0))));
}

/* The record holds the configuration, and mends a config.json that is not what it was. */
static void mend_config(const run_folder *r, const json *record)
{
  builder b = {0};
  build_value(&b, json_get(record, "config"));
  char *path = join("%s/config.json", r->out), *config = built(&b, NULL), *text = sealed_config(config);
  char *now = file_exists(path) ? file_read(path, &(size_t){0}, NULL) : NULL;
  if (!now || strcmp(now, text)) {
    atomic_file *a = file_create(path);
    fputs(text, a->f), file_commit(a);
  }
  free(path), free(config), free(text), free(now);
}

static bool finished_here(run_folder *r, const json *record, bool quiet)
{
  if (!record) return false;
  char *fault = fault_of(r->out, record, !r->pool);
  if (fault) {
    warn(r->out, say("finished, but %s", fault), "the job is run again");
    unlink(say("%s/run.json", r->out));
  }
  else {
    mend_config(r, record);
    if (!quiet) tell_finished(r, record);
  }
  const bool whole = !fault;
  free(fault);
  return whole;
}

run_state run_look(run_folder *r, bool quiet)
{
  json *record = run_record(r->out);
  bool done = finished_here(r, record, quiet);
  if (r->pool && done) enter_pool(r);
  while (r->pool && !done && !(done = take_equal(r)) && !enter_pool(r)) {}
  json_free(record), record = run_record(r->out);
  const run_state state = !done ? RUN_OPEN : is_diverged(record) ? RUN_DIVERGED : RUN_FINISHED;
  if (state == RUN_FINISHED) unlink(say("%s/checkpoint.safetensors", r->out));
  json_free(record);
  return state;
}

/* write predictions and log */
int run_write_predictions(const run_folder *r, const dataset *ds, const int *row, int n, const float *prob)
{
  int k = ds->classes, correct = 0;
  char *path = join("%s/predictions.csv", r->out);
  atomic_file *a = file_create(path);
  fputs("file,class,predicted", a->f);
  for (int c = 0; c < k; c++) fputc(',', a->f), csv_put(a->f, ds->class_name[c]);
  fputc('\n', a->f);
  for (int i = 0; i < n; i++) {
    const float *p = prob + (size_t)i * (size_t)k;
    int label = ds->label[row[i]], best = 0;
    for (int c = 1; c < k; c++) if (p[c] > p[best]) best = c;
    correct += best == label;
    csv_put(a->f, ds->file[row[i]]), fputc(',', a->f), csv_put(a->f, ds->class_name[label]);
    fputc(',', a->f), csv_put(a->f, ds->class_name[best]);
    for (int c = 0; c < k; c++) fprintf(a->f, ",%.9g", p[c]);
    fputc('\n', a->f);
  }
  file_commit(a);
  free(path);
  return correct;
}

void run_write_log(const run_folder *r, int n, int per_epoch, const double *loss, const double *accuracy)
{
  char *path = join("%s/log.csv", r->out);
  atomic_file *a = file_create(path);
  fputs("iteration,epoch,loss,accuracy\n", a->f);
  for (int i = 0; i < n; i++)
    fprintf(a->f, "%d,%d,%.9g,%.9g\n", i + 1, i / per_epoch + 1, loss[i], accuracy[i]);
  file_commit(a);
  free(path);
}

/* write the record that ends a run */
/* name the machine */
char *machine_name(void) { return processor_name("/proc/cpuinfo", "/proc/device-tree/model"); }

static void put_member(builder *b, const char *name, double x)
{
  if (isfinite(x)) build(b, ", \"%s\": %.9g", name, x);
  else build(b, ", \"%s\": null", name);
}

static void put_count(builder *b, const char *name, double x)
{
  if (isfinite(x)) build(b, ", \"%s\": %.0f", name, x);
  else build(b, ", \"%s\": null", name);
}

static void put_machine(builder *b, const char *gpu, const char *vectors)
{
  char *machine = machine_name();
  build(b, ",\n \"machine\": "), build_json(b, machine);
  if (gpu) build(b, ", \"gpu\": "), build_json(b, gpu);
  if (vectors) build(b, ", \"vectors\": "), build_json(b, vectors);
  build(b, ", \"compiler\": "), build_json(b, COMPILER);
  build(b, ", \"version\": "), build_json(b, WBCSNET_VERSION);
  free(machine);
}

void run_write_record(const run_folder *r, const run_result *t)
{
  builder b = {0};
  build(&b, "{\"format\": %d, \"finished\": true, \"identity\": \"%s\",\n \"config\": %s,\n", RUN_FORMAT, r->identity, r->config);
  build(&b, " \"train_cells\": %d, \"test_cells\": %d, \"iterations\": %d, \"epochs\": %d", t->train_cells, t->test_cells,
        t->iterations, t->epochs);
  put_count(&b, "params", t->params), put_count(&b, "flop_per_image", t->flop);
  put_member(&b, "seconds", t->seconds), put_member(&b, "images_per_second", t->rate);
  put_member(&b, "infer_images_per_second", t->infer_rate);
  put_member(&b, "memory_bytes", t->memory), put_member(&b, "train_flop", t->train_flop);
  build(&b, ", \"threads\": %d,\n \"correct\": %d", t->threads, t->correct);
  put_member(&b, "final_loss", t->loss), put_member(&b, "final_accuracy", t->accuracy);
  build(&b, ", \"diverged\": %s", t->diverged_at < 0 ? "false" : "true");
  if (t->diverged_at >= 0) build(&b, ", \"diverged_at\": %d", t->diverged_at);
  build(&b, ", \"weights_sha256\": "), t->weights_sha256 ? build_json(&b, t->weights_sha256) : build(&b, "null");
  put_machine(&b, t->gpu, t->vectors);
  seal_record(r, &b, t->weights_sha256);
}

/* read a run from its folder */
static int class_at(const run *r, const char *name, const char *where)
{
  for (int k = 0; k < r->classes; k++)
    if (!strcmp(r->class_name[k], name)) return k;
  die(EXIT_DATA, where, say("the class '%s'", name), "a class that has a column of probabilities", NULL);
}

/* read what the net said of each cell */
static void read_groups(run *r)
{
  char *path = join("%s/folds.csv", r->path);
  if (!file_exists(path)) { free(path); return; }
  csv *c = r->cells = csv_read(path, NULL);
  int file = csv_need(c, "file"), group = csv_need(c, "group"), at = 0;
  for (int i = 0; i < r->answers; i++, at++) {
    while (at < c->rows && strcmp(csv_cell(c, at, file), r->answer[i].file)) at++;
    if (at == c->rows)
      die(EXIT_DATA, path, say("no cell %s behind the one before it", r->answer[i].file),
          "the cells of predictions.csv, in their order", "remove the run folder to run it again");
    r->answer[i].group = csv_cell(c, at, group);
  }
  free(path);
}

static void read_predictions(run *r)
{
  char *path = join("%s/predictions.csv", r->path);
  if (!file_exists(path)) { free(path); return; }    /* a run that diverged, see fault_of */
  csv *c = r->predictions = csv_read(path, NULL);
  int file = csv_need(c, "file"), truth = csv_need(c, "class"), said = csv_need(c, "predicted");
  r->classes = c->columns - said - 1, r->class_name = c->header + said + 1;
  r->answers = c->rows, r->answer = NEW(answer, c->rows);
  for (int i = 0; i < c->rows; i++)
    r->answer[i] = (answer){ csv_cell(c, i, file), "", class_at(r, csv_cell(c, i, truth), path),
                             class_at(r, csv_cell(c, i, said), path) };
  free(path);
  read_groups(r);
}

/* count answers and hits */
static void count_one(const run *r, const char *file, const char *name, double found)
{
  const double expected = json_number(r->record, name, NAN);
  if (found == expected) return;
  die(EXIT_DATA, say("%s/%s", r->path, file), say("%g", found), say("%g, as run.json says of %s", expected, name),
      "remove the run folder to run it again");
}

static void count_all(const run *r)
{
  int right = 0;
  if (r->diverged && !json_get(r->record, "files")) return;
  for (int i = 0; i < r->answers; i++) right += r->answer[i].truth == r->answer[i].said;
  count_one(r, "log.csv", "iterations", r->log->rows);
  if (r->fold < 0) return;
  count_one(r, "predictions.csv", "test_cells", r->answers);
  count_one(r, "predictions.csv", "correct", right);
}

void run_read(run *r, const char *path)
{
  size_t n = strlen(path);
  if (n > 9 && !strcmp(path + n - 9, "/run.json")) n -= 9;
  while (n > 1 && path[n - 1] == '/') n--;
  *r = (run){ .path = join("%.*s", (int)n, path), .fold = -1 };
  r->record = run_record(r->path);
  if (!r->record) die(EXIT_DATA, r->path, "no run.json", "a run folder that wbcsnet train has finished", "give the train command again");
  char *fault = fault_of(r->path, r->record, false), *log = join("%s/log.csv", r->path);
  if (fault) die(EXIT_DATA, r->path, say("a run of which %s", fault), "what its record names", "remove its run.json to run the job again");
  r->config = json_get(r->record, "config"), r->diverged = is_diverged(r->record);
  r->seed = json_seed(r->config, "seed");
  r->folds = (int)json_number(r->config, "folds", 0);
  if (has_fold(r->record)) r->fold = (int)json_number(r->config, "fold", 0), read_predictions(r);
  r->log = csv_read(log, "the training log of a run");
  count_all(r);
  free(fault), free(log);
}

static void add_of_arm(void *to, const char *path, const json *v)
{
  if (strcmp(path, "fold") && strcmp(path, "seed") && strcmp(path, "init")) add_content(to, path, v);
}

bool run_same_arm(const run *a, const run *b)
{
  builder x = {0}, y = {0};
  each_content(a->config, "", is_fitted(a->config), add_of_arm, &x);
  each_content(b->config, "", is_fitted(b->config), add_of_arm, &y);
  char *one = built(&x, NULL), *two = built(&y, NULL);
  const bool same = !strcmp(one, two);
  free(one), free(two);
  return same;
}

