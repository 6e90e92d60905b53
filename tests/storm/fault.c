/* fault.c: a library for LD_PRELOAD that makes the n-th call of one class fail.
 *
 *   STORM_FAULT=CLASS:N:ERRNO   which call fails, from 1, and how: an errno; -1: a write takes half of its bytes; -9: SIGKILL before the
 *                               call. CLASS+ makes every call from the n-th on fail. Without it calls are counted only.
 *   STORM_LOG=FILE              receives "hit CLASS FIRST-ARGUMENT ADDRESS..." at the fault, the addresses being the program's own frames,
 *                               and at the end one line "count CLASS N" for each class.
 *
 * Memory and threads are interposed. System calls are trapped by a seccomp filter (SIGSYS) wherever they come from, so that stdio's own
 * write and open are seen too; the one place where they pass is the C library's function syscall(), by which the handler makes them. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { ALLOC, THREAD, OPEN, WRITE, FSYNC, RENAME, CLOSE, MKDIR, UNLINK, READ, LOOK, LIST, LOCK, MAP, CHANGE, CLASSES };
static const char *const class_name[CLASSES] = { "alloc", "thread", "open", "write", "fsync", "rename", "close", "mkdir", "unlink", "read",
                                                 "look", "list", "lock", "map", "change" };
static const struct { int number, class; } calls[] = {
#ifdef SYS_open
  { SYS_open, OPEN }, { SYS_rename, RENAME }, { SYS_mkdir, MKDIR }, { SYS_unlink, UNLINK }, { SYS_rmdir, UNLINK },
  { SYS_stat, LOOK }, { SYS_lstat, LOOK }, { SYS_access, LOOK },
#endif
  { SYS_openat, OPEN }, { SYS_write, WRITE }, { SYS_pwrite64, WRITE }, { SYS_writev, WRITE }, { SYS_ftruncate, WRITE },
  { SYS_fsync, FSYNC }, { SYS_fdatasync, FSYNC }, { SYS_renameat, RENAME }, { SYS_renameat2, RENAME }, { SYS_close, CLOSE },
  { SYS_mkdirat, MKDIR }, { SYS_unlinkat, UNLINK }, { SYS_read, READ }, { SYS_pread64, READ }, { SYS_readv, READ }, { SYS_lseek, READ },
  { SYS_fstat, LOOK }, { SYS_newfstatat, LOOK }, { SYS_statx, LOOK }, { SYS_faccessat, LOOK }, { SYS_getdents64, LIST },
  { SYS_flock, LOCK }, { SYS_mmap, MAP },
};
enum { CALLS = sizeof calls / sizeof *calls };

static atomic_long count[CLASSES];
static int target = -1, error, from, armed, log_file = -1;
static long nth;
static uintptr_t program, program_end;                /* where the program's own code lies */
static _Thread_local int busy __attribute__((tls_model("initial-exec")));
static long (*raw)(long, ...);                        /* the C library's syscall() */

static void put(const char *line) { raw(SYS_write, log_file, line, strlen(line)); }

/* The class, the call's first argument, and the frames of the program, innermost first. */
static void report(int class, long argument)
{
  char line[64];
  void *frame[48];
  busy++;
  snprintf(line, sizeof line, "hit %s %ld", class_name[class], argument), put(line);
  for (int i = 0, n = backtrace(frame, 48); i < n; i++)
    if ((uintptr_t)frame[i] >= program && (uintptr_t)frame[i] < program_end)
      snprintf(line, sizeof line, " %lx", (unsigned long)((uintptr_t)frame[i] - program)), put(line);
  put("\n");
  busy--;
}

/* Count one call; does it fail? */
static int strike(int class, long argument)
{
  if (!armed || busy) return 0;
  const long n = ++count[class];
  if (class != target || (from ? n < nth : n != nth)) return 0;
  if (n == nth && log_file >= 0) report(class, argument);
  if (error == -9) raw(SYS_kill, (long)getpid(), 9L);
  return 1;
}

/* ---- memory and threads ---- */
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
static int refused(size_t bytes) { return strike(ALLOC, (long)bytes) && (errno = ENOMEM); }
void *malloc(size_t n) { return refused(n) ? NULL : __libc_malloc(n); }
void *calloc(size_t m, size_t n) { return refused(m * n) ? NULL : __libc_calloc(m, n); }
void *realloc(void *p, size_t n) { return refused(n) ? NULL : __libc_realloc(p, n); }

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*f)(void *), void *argument)
{
  static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
  if (!real) real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT, "pthread_create");
  return strike(THREAD, 0) ? EAGAIN : real(t, a, f, argument);
}

/* ---- system calls ---- */
/* The registers that hold a call's arguments and receive its answer. */
#if defined __x86_64__
#define ARGUMENT(c, i) ((c)->uc_mcontext.gregs[((int[]){ REG_RDI, REG_RSI, REG_RDX, REG_R10, REG_R8, REG_R9 })[i]])
#define ANSWER(c) ((c)->uc_mcontext.gregs[REG_RAX])
#elif defined __aarch64__
#define ARGUMENT(c, i) ((c)->uc_mcontext.regs[i])
#define ANSWER(c) ((c)->uc_mcontext.regs[0])
#else
#error this processor has no table of registers here
#endif

static long make_call(long number, ucontext_t *c, long third)
{
  const long answer = raw(number, (long)ARGUMENT(c, 0), (long)ARGUMENT(c, 1), third, (long)ARGUMENT(c, 3), (long)ARGUMENT(c, 4), (long)ARGUMENT(c, 5));
  return answer == -1 ? -errno : answer;
}

static int opens_to_read(long number, ucontext_t *c)
{
#ifdef SYS_open
  if (number == SYS_open) return (ARGUMENT(c, 1) & O_ACCMODE) == O_RDONLY;
#endif
  return number == SYS_openat && (ARGUMENT(c, 2) & O_ACCMODE) == O_RDONLY;
}

static void on_call(int signal, siginfo_t *s, void *context)
{
  (void)signal;
  ucontext_t *c = context;
  const long number = s->si_syscall, third = (long)ARGUMENT(c, 2);
  const int saved = errno;
  int class = 0;
  for (int i = 0; i < CALLS; i++) if (calls[i].number == number) class = calls[i].class;
  const int changes = class >= OPEN && class <= UNLINK && !opens_to_read(number, c);
  const int fails = (changes && strike(CHANGE, (long)ARGUMENT(c, 0))) | strike(class, (long)ARGUMENT(c, 0));
  if (!fails) ANSWER(c) = make_call(number, c, third);
  else if (error == -1 && number == SYS_write && third > 1) ANSWER(c) = make_call(number, c, third / 2);
  else {
    if (number == SYS_close) make_call(number, c, third);      /* the descriptor is gone all the same, as Linux does it */
    ANSWER(c) = error < 0 ? -ENOSPC : -error;
  }
  errno = saved;
}

/* Trap every call of the table that does not come from syscall(). */
static int trap_calls(void)
{
  Dl_info info;
  ElfW(Sym) *symbol = NULL;
  struct sock_filter f[CALLS + 16];
  unsigned short n = 0;
  if (!dladdr1((void *)raw, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol || !symbol->st_size) return 0;
  const uint64_t first = (uint64_t)(uintptr_t)raw, last = first + symbol->st_size;
  if (first >> 32 != last >> 32) return 0;
  f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr));
  for (int i = 0; i < CALLS; i++)
    f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)calls[i].number, (uint8_t)(CALLS - i), 0);
  f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4);
  f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(first >> 32), 0, 4);
  f[n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer));
  f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, (uint32_t)first, 0, 2);
  f[n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, (uint32_t)last, 1, 0);
  f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
  f[n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
  struct sigaction sa = { .sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_NODEFER | SA_RESTART };
  struct sock_fprog filter = { n, f };
  return !sigaction(SIGSYS, &sa, NULL) && !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
      && !syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter);
}

/* ---- start and end ---- */
static int find_program(struct dl_phdr_info *info, size_t size, void *data)
{
  (void)size, (void)data;
  program = info->dlpi_addr;
  for (int i = 0; i < info->dlpi_phnum; i++) {
    const uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    if (info->dlpi_phdr[i].p_type == PT_LOAD && end > program_end) program_end = end;
  }
  return 1;                                           /* the first object is the program */
}

static void open_log(const char *path)
{
  const int f = open(path, O_WRONLY | O_CREAT | O_APPEND, 0666);
  log_file = fcntl(f, F_DUPFD_CLOEXEC, 60);           /* out of the way of the descriptors that the program counts on */
  close(f);
}

__attribute__((constructor)) static void start(void)
{
  const char *fault = getenv("STORM_FAULT"), *log = getenv("STORM_LOG");
  char name[16] = "";
  void *warm[4];
  if (!log) return;
  raw = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (fault && sscanf(fault, "%15[a-z+]:%ld:%d", name, &nth, &error) != 3) _exit(98);
  from = *name && name[strlen(name) - 1] == '+';
  if (from) name[strlen(name) - 1] = 0;
  for (int i = 0; i < CLASSES; i++) if (!strcmp(name, class_name[i])) target = i;
  backtrace(warm, 4), dl_iterate_phdr(find_program, NULL), open_log(log);
  unsetenv("LD_PRELOAD");
  if (!trap_calls()) _exit(99);
  armed = 1;
}

__attribute__((destructor)) static void finish(void)
{
  char line[64];
  armed = 0;
  for (int i = 0; i < CLASSES && log_file >= 0; i++)
    snprintf(line, sizeof line, "count %s %ld\n", class_name[i], (long)count[i]), put(line);
}
