/* emu.cc: blocks of threads as fibers. The threads of a block take turns on one thread of the CPU; a thread runs until it must wait
   for others, at a barrier or in an operation of its warp. */
#include "emu_inside.h"
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include <algorithm>
#include <vector>
#if !defined __x86_64__
#include <ucontext.h>
#endif

namespace emu {
enum { READY, WAITS, ENDED };
enum { STACK = EMU_ASAN ? 256 << 10 : 64 << 10, BARRIERS = 16, LANES = 32, GROUP = 128, SHARED_MOST = 256 << 10 };

/* ---- what runs ---- */
struct fiber : thread {
  int state;
  const char *waits_in;
  place waits_at;
  int gate;                                          /* the barrier it waits at */
  std::vector<copy> copies;
  unsigned open_group;                               /* copies ordered now belong to it */
  char *stack;
  unsigned colour;                                   /* bytes left free at the top, so that stacks lie in different lines of the cache */
  void *shadow;                                      /* the address sanitizer's, while the fiber is away */
#if defined __x86_64__
  void *top;
#else
  ucontext_t context;
#endif
};

/* lanes of a warp that meet in one operation */
struct meeting { unsigned mask, came; const char *what; place at; lanes_work *work; void *argument[LANES]; };
struct warp { fiber *first; unsigned present; meeting meet[LANES]; int meetings; };
struct group { unsigned came; const char *what; place at; group_work *work; void *argument[GROUP]; };
struct gate { unsigned came, threads; place at; uint3 first; };

/* One block at a time, on one thread of the CPU. */
struct machine {
  std::vector<fiber> fibers;
  std::vector<char *> stacks;
  std::vector<warp> warps;
  group groups[1024 / GROUP];
  gate gates[BARRIERS];
  room shared;
  const std::function<void()> *body;
  const allocation *copied_from;                     /* the last copy's source, while the kernel runs */
  const char *kernel;
  place launched;
  fiber *now;
  unsigned live;
  const void *main_stack;
  size_t main_stack_bytes;
  void *main_shadow;
#if defined __x86_64__
  void *main_top;
#else
  ucontext_t main_context;
#endif
};
__attribute__((tls_model("initial-exec"))) thread_local thread *self;
__attribute__((tls_model("initial-exec"))) thread_local uint3 block_id;
__attribute__((tls_model("initial-exec"))) thread_local dim3 block_size, grid_size;
static __attribute__((tls_model("initial-exec"))) thread_local machine *here;

void fail(const char *format, ...)
{
  va_list list;
  va_start(list, format);
  fflush(stdout);
  fprintf(stderr, "emu: ");
  vfprintf(stderr, format, list);
  va_end(list);
  if (here && here->kernel) {
    fprintf(stderr, "\nemu: in kernel %s, launched at %s:%d, block (%u, %u, %u) of (%u, %u, %u)", here->kernel, here->launched.file,
            here->launched.line, block_id.x, block_id.y, block_id.z, grid_size.x, grid_size.y, grid_size.z);
    if (here->now)
      fprintf(stderr, ", thread (%u, %u, %u) of (%u, %u, %u)", self->id.x, self->id.y, self->id.z, block_size.x, block_size.y, block_size.z);
  }
  fprintf(stderr, "\n");
  abort();
}

/* ---- from fiber to fiber ---- */
#if defined __x86_64__
/* Save what a called function must keep, change stacks, take it back. */
extern "C" void emu_switch(void **from, void *to);
__asm__(".text\n.hidden emu_switch\n.globl emu_switch\n.type emu_switch,@function\n"
        "emu_switch:\n endbr64\n pushq %rbp\n pushq %rbx\n pushq %r12\n pushq %r13\n pushq %r14\n pushq %r15\n"
        " movq %rsp,(%rdi)\n movq %rsi,%rsp\n"
        " popq %r15\n popq %r14\n popq %r13\n popq %r12\n popq %rbx\n popq %rbp\n ret\n"
        ".size emu_switch,.-emu_switch\n");
#endif

static void leave(machine *m, fiber *f)              /* fiber -> scheduler */
{
#if EMU_ASAN
  __sanitizer_start_switch_fiber(f->state == ENDED ? nullptr : &f->shadow, m->main_stack, m->main_stack_bytes);
#endif
#if defined __x86_64__
  emu_switch(&f->top, m->main_top);
#else
  swapcontext(&f->context, &m->main_context);
#endif
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(f->shadow, &m->main_stack, &m->main_stack_bytes);
#endif
}

static void enter(machine *m, fiber *f)              /* scheduler -> fiber */
{
  m->now = f, self = f;
#if EMU_ASAN
  __sanitizer_start_switch_fiber(&m->main_shadow, f->stack, STACK);
#endif
#if defined __x86_64__
  emu_switch(&m->main_top, f->top);
#else
  swapcontext(&m->main_context, &f->context);
#endif
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(m->main_shadow, nullptr, nullptr);
#endif
  m->now = nullptr;
}

static void begin()                                  /* a fiber's first function; never returns */
{
  machine *m = here;
  fiber *f = m->now;
#if EMU_ASAN
  __sanitizer_finish_switch_fiber(nullptr, &m->main_stack, &m->main_stack_bytes);
#endif
  (*m->body)();
  f->state = ENDED;
  m->live--;
  leave(m, f);
  abort();
}

static void set_out(fiber *f)
{
#if EMU_ASAN                                         /* a kernel that returned left only what its callers had poisoned */
  __asan_unpoison_memory_region(f->stack + STACK - f->colour - 4096, 4096);
  f->shadow = nullptr;
#endif
#if defined __x86_64__
  void **top = (void **)(f->stack + STACK - f->colour) - 2;
  *top = (void *)begin;
  top[1] = nullptr;
  f->top = top - 6;
#else
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = f->stack;
  f->context.uc_stack.ss_size = STACK - f->colour;
  f->context.uc_link = nullptr;
  makecontext(&f->context, begin, 0);
#endif
}

static void wait_in(const char *what, place at)
{
  fiber *f = here->now;
  f->state = WAITS, f->waits_in = what, f->waits_at = at;
  leave(here, f);
}

/* ---- barriers ---- */
static bool same_place(place a, place b) { return a.line == b.line && (a.file == b.file || !strcmp(a.file, b.file)); }

void barrier(int id, unsigned threads, place at)
{
  machine *m = here;
  const unsigned all = (unsigned)m->fibers.size();
  if (id < 0 || id >= BARRIERS) fail("barrier %d at %s:%d: there are 0 to %d", id, at.file, at.line, BARRIERS - 1);
  gate *g = &m->gates[id];
  if (!threads) threads = all;
  if (threads % LANES && threads != all) fail("barrier of %u threads at %s:%d: not whole warps", threads, at.file, at.line);
  if (g->came && (!same_place(g->at, at) || g->threads != threads))
    fail("divergent barrier: this thread is at %s:%d, thread (%u, %u, %u) waits at %s:%d", at.file, at.line, g->first.x, g->first.y,
         g->first.z, g->at.file, g->at.line);
  if (!g->came++) g->at = at, g->threads = threads, g->first = m->now->id;
  if (g->came < threads) {
    m->now->gate = id;
    wait_in("a barrier", at);
    return;
  }
  for (fiber &f : m->fibers)
    if (f.state == WAITS && f.gate == id && !strcmp(f.waits_in, "a barrier")) f.state = READY;
  g->came = 0;
}

/* ---- operations of a warp ---- */
void meet(unsigned mask, void *argument, lanes_work *work, const char *what, place at)
{
  fiber *f = here->now;
  warp *w = f->of;
  if (!(mask >> f->lane & 1)) fail("%s at %s:%d: lane %u calls it and is not in its mask %08x", what, at.file, at.line, f->lane, mask);
  if (mask & ~w->present)
    fail("%s at %s:%d: mask %08x names lane %d, which the block has not", what, at.file, at.line, mask, __builtin_ctz(mask & ~w->present));
  int i = 0;
  while (i < w->meetings && w->meet[i].mask != mask) i++;
  meeting *g = &w->meet[i];
  if (i == w->meetings) {
    w->meetings++;
    g->mask = mask, g->came = 0, g->what = what, g->at = at, g->work = work;
  } else if (g->work != work || !same_place(g->at, at))
    fail("divergent warp: lane %u is in %s at %s:%d while lane %d waits in %s at %s:%d", f->lane, what, at.file, at.line,
         __builtin_ctz(g->came), g->what, g->at.file, g->at.line);
  g->came |= 1u << f->lane;
  g->argument[f->lane] = argument;
  if (g->came != mask) {
    wait_in(what, at);
    return;
  }
  work(g->argument, mask);
  for (int l = 0; l < LANES; l++)
    if (mask >> l & 1) w->first[l].state = READY;
  if (g != &w->meet[--w->meetings]) *g = w->meet[w->meetings];
}

void meet_group(void *argument, group_work *work, const char *what, place at)
{
  machine *m = here;
  const size_t i = (size_t)(m->now - m->fibers.data()), first = i / GROUP * GROUP;
  group *g = &m->groups[i / GROUP];
  if (first + GROUP > m->fibers.size()) fail("%s at %s:%d: the block has no whole warp group here", what, at.file, at.line);
  if (g->came && (g->work != work || !same_place(g->at, at)))
    fail("divergent warp group: this thread is in %s at %s:%d while others wait in %s at %s:%d", what, at.file, at.line, g->what,
         g->at.file, g->at.line);
  g->what = what, g->at = at, g->work = work, g->argument[i - first] = argument;
  if (++g->came < GROUP) {
    wait_in(what, at);
    return;
  }
  work(g->argument);
  g->came = 0;
  for (size_t j = first; j < first + GROUP; j++)
    if (j != i) m->fibers[j].state = READY;
}

void shuffle(void *const argument[], unsigned mask)
{
  for (int l = 0; l < LANES; l++) {
    if (!(mask >> l & 1)) continue;
    slot *s = (slot *)argument[l];
    if (s->source >= LANES || !(mask >> s->source & 1))
      fail("a shuffle with mask %08x: lane %d reads lane %u, which takes no part", mask, l, s->source);
    s->got = ((slot *)argument[s->source])->mine;
  }
}

void ballot(void *const argument[], unsigned mask)
{
  uint64_t votes = 0;
  for (int l = 0; l < LANES; l++)
    if (mask >> l & 1) votes |= (((slot *)argument[l])->mine & 1) << l;
  for (int l = 0; l < LANES; l++)
    if (mask >> l & 1) ((slot *)argument[l])->got = votes;
}

/* ---- shared memory and copies into it ---- */
unsigned char *shared_room() { return here->shared.data; }
size_t shared_bytes() { return here->shared.bytes; }
bool in_shared(const void *p, size_t bytes)
{
  const unsigned char *q = (const unsigned char *)p, *s = here->shared.data;
  return q >= s && q + bytes <= s + here->shared.bytes;
}

static void must_be_shared(const void *p, unsigned bytes, const char *what, place at)
{
  if (!in_shared(p, bytes))
    fail("%s at %s:%d: %u bytes at offset %td are outside the %zu bytes of shared memory", what, at.file, at.line, bytes,
         (const unsigned char *)p - here->shared.data, here->shared.bytes);
  if ((uintptr_t)p % bytes) fail("%s at %s:%d: offset %td in shared memory is not a multiple of %u", what, at.file, at.line,
                                 (const unsigned char *)p - here->shared.data, bytes);
}

void order_copy(void *to, const void *from, unsigned bytes, bool valid, place at)
{
  fiber *f = here->now;
  must_be_shared(to, bytes, "copy_async", at);
  if (valid) {
    const allocation *&last = here->copied_from;
    const unsigned char *p = (const unsigned char *)from;
    if (!last || p < last->r.data || p + bytes > last->r.data + last->r.bytes) last = allocation_of(from);
    if (!last || p + bytes > last->r.data + last->r.bytes)
      fail("copy_async at %s:%d reads out of bounds: %s", at.file, at.line, address_story(from).c_str());
    if ((uintptr_t)from % bytes) fail("copy_async at %s:%d: the source is not aligned to %u bytes", at.file, at.line, bytes);
  }
  memset(to, EMU_POISON, bytes);
  f->copies.push_back({ to, valid ? from : nullptr, bytes, f->open_group });
}

void commit_copies() { here->now->open_group++; }

void wait_copies(int pending)
{
  fiber *f = here->now;
  size_t done = 0;
  for (; done < f->copies.size() && (int)(f->open_group - f->copies[done].group) > pending; done++) {
    copy c = f->copies[done];
    if (c.from) memcpy(c.to, c.from, c.bytes);
    else memset(c.to, 0, c.bytes);
  }
  f->copies.erase(f->copies.begin(), f->copies.begin() + (ptrdiff_t)done);
}

/* ---- fragments ---- */
void check_row(const void *row, place at) { must_be_shared(row, 16, "load_matrix", at); }

void load_matrices(void *const argument[], unsigned)
{
  for (int lane = 0; lane < LANES; lane++)
    for (int j = 0; j < 4; j++) {
      const char *row = (const char *)((matrix_load *)argument[8 * j + lane / 4])->row;
      memcpy(&((matrix_load *)argument[lane])->r[j], row + 4 * (lane % 4), 4);
    }
}

void load_matrices_trans(void *const argument[], unsigned)
{
  for (int lane = 0; lane < LANES; lane++)
    for (int j = 0; j < 4; j++) {
      uint16_t two[2];
      for (int i = 0; i < 2; i++)
        memcpy(&two[i], (const char *)((matrix_load *)argument[8 * j + 2 * (lane % 4) + i])->row + 2 * (lane / 4), 2);
      ((matrix_load *)argument[lane])->r[j] = two[0] | (uint32_t)two[1] << 16;
    }
}

/* ---- products: sum_rule says how they add up ---- */
typedef float row_of_8 __attribute__((vector_size(32)));
typedef int bits_of_8 __attribute__((vector_size(32)));
typedef double sums_of_8 __attribute__((vector_size(64)));
typedef int64_t wide_bits_of_8 __attribute__((vector_size(64)));
sum_rule rule;
void read_sum_rule() { rule = (sum_rule)environment("EMU_TRUNCATE", NEAREST); }

/* The nearest floats, or where their magnitude is larger those before. */
static void toward_zero(const sums_of_8 &s, row_of_8 *to)
{
  const row_of_8 f = __builtin_convertvector(s, row_of_8);
  const sums_of_8 back = __builtin_convertvector(f, sums_of_8);
  const wide_bits_of_8 magnitude = (wide_bits_of_8){} + INT64_MAX;
  const wide_bits_of_8 over = ((wide_bits_of_8)back & magnitude) > ((wide_bits_of_8)s & magnitude);
  *to = (row_of_8)((bits_of_8)f + __builtin_convertvector(over, bits_of_8));
}

/* Each addend without what is below 2^-24 of the largest one's power of two. */
static void align(sums_of_8 *addend, int count)
{
  const wide_bits_of_8 magnitude = (wide_bits_of_8){} + INT64_MAX, power = (wide_bits_of_8){} + (0x7ffLL << 52);
  wide_bits_of_8 largest = (wide_bits_of_8)((sums_of_8){} + 0x1p-300);
  for (int i = 0; i < count; i++) {
    const wide_bits_of_8 m = (wide_bits_of_8)addend[i] & magnitude;
    largest = m > largest ? m : largest;
  }
  const sums_of_8 unit = (sums_of_8)(largest & power) * 0x1p-24;
  for (int i = 0; i < count; i++) {
    const sums_of_8 parts = addend[i] / unit;
    const sums_of_8 cut = __builtin_convertvector(__builtin_convertvector(parts, bits_of_8), sums_of_8) * unit;
    addend[i] = cut + 0 * addend[i];                 /* what is no number stays none */
  }
}

static void truncated_sum(sums_of_8 *addend, int count, row_of_8 *to)
{
  if (rule == ALIGN) align(addend, count);
  sums_of_8 sum = addend[0];
  for (int i = 1; i < count; i++) sum += addend[i];
  toward_zero(sum, to);
}

float add_products(float accumulator, const double *product, int count)
{
  if (count > 16) fail("a product of %d numbers", count);
  sums_of_8 addend[17] = {};
  double sum = 0;
  for (int i = 0; i < count; i++) sum += product[i];
  if (rule == NEAREST) return accumulator + (float)sum;
  row_of_8 result;
  addend[0][0] = accumulator;
  for (int i = 0; i < count; i++) addend[i + 1][0] = product[i];
  if (rule == TRUNCATE) toward_zero((sums_of_8){ accumulator + sum }, &result);
  else truncated_sum(addend, count + 1, &result);
  return result[0];
}

/* d += a b for row-major a (16, K) and b (K, 8), scattered to the lanes' d */
template <int K> static void multiply(void *const argument[], const float a[16][K], const float b[K][8])
{
  float d[16][8];
  for (int lane = 0; lane < LANES; lane++)
    for (int i = 0; i < 4; i++) d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = ((product *)argument[lane])->d[i];
  row_of_8 row[K];
  memcpy(row, b, sizeof row);
  for (int r = 0; r < 16; r++) {
    row_of_8 sum;
    memcpy(&sum, d[r], sizeof sum);
    if (rule == NEAREST) {
      for (int k = 0; k < K; k++) sum += a[r][k] * row[k];
    } else {
      sums_of_8 addend[K + 1];
      addend[0] = __builtin_convertvector(sum, sums_of_8);
      for (int k = 0; k < K; k++) addend[k + 1] = __builtin_convertvector(a[r][k] * row[k], sums_of_8);
      truncated_sum(addend, K + 1, &sum);
    }
    memcpy(d[r], &sum, sizeof sum);
  }
  for (int lane = 0; lane < LANES; lane++)
    for (int i = 0; i < 4; i++) ((product *)argument[lane])->d[i] = d[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2];
}

/* the device reads sign, exponent and 10 bits of the mantissa */
static float truncated(uint32_t u) { return __uint_as_float(u & 0xffffe000); }

void multiply_tf32(void *const argument[], unsigned)
{
  float a[16][8], b[8][8];
  for (int lane = 0; lane < LANES; lane++) {
    const product *p = (const product *)argument[lane];
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++) a[g + i % 2 * 8][t + i / 2 * 4] = truncated(p->a[i]);
    for (int i = 0; i < 2; i++) b[t + i * 4][g] = truncated(p->b[i]);
  }
  multiply<8>(argument, a, b);
}

void multiply_bf16(void *const argument[], unsigned)
{
  float a[16][16], b[16][8];
  for (int lane = 0; lane < LANES; lane++) {
    const product *p = (const product *)argument[lane];
    const int g = lane / 4, t = lane % 4;
    for (int i = 0; i < 4; i++)
      for (int half = 0; half < 2; half++)
        a[g + i % 2 * 8][2 * t + half + i / 2 * 8] = __uint_as_float((half ? p->a[i] >> 16 : p->a[i] & 0xffff) << 16);
    for (int i = 0; i < 2; i++)
      for (int half = 0; half < 2; half++)
        b[2 * t + half + i * 8][g] = __uint_as_float((half ? p->b[i] >> 16 : p->b[i] & 0xffff) << 16);
  }
  multiply<16>(argument, a, b);
}

/* ---- a block, a grid ---- */
static void set_up(machine *m, unsigned threads)
{
  while (m->stacks.size() < threads) {               /* kept for later grids */
    void *p = mmap(NULL, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) fail("no memory for the stacks of %u threads", threads);
    m->stacks.push_back((char *)p);
  }
  m->fibers.resize(threads);
  for (unsigned i = 0; i < threads; i++) m->fibers[i].stack = m->stacks[i], m->fibers[i].colour = i % 256 * 64;
  m->warps.assign((threads + LANES - 1) / LANES, warp());
}

static void report_deadlock(machine *m)
{
  const fiber *waiting = nullptr, *other = nullptr;
  unsigned waits = 0, ended = 0;
  for (const fiber &f : m->fibers) {
    if (f.state == ENDED) ended++, other = other ? other : &f;
    else if (!waiting) waiting = &f, waits++;
    else {
      waits++;
      if (!same_place(f.waits_at, waiting->waits_at) || strcmp(f.waits_in, waiting->waits_in)) other = &f;
    }
  }
  std::string story = "all others wait there too";
  if (other) {
    char text[300];
    if (other->state == ENDED)
      snprintf(text, sizeof text, "%u threads have ended, thread (%u, %u, %u) among them", ended, other->id.x, other->id.y, other->id.z);
    else
      snprintf(text, sizeof text, "thread (%u, %u, %u) waits in %s at %s:%d", other->id.x, other->id.y, other->id.z, other->waits_in,
               other->waits_at.file, other->waits_at.line);
    story = text;
  }
  fail("deadlock: %u of %zu threads wait, thread (%u, %u, %u) in %s at %s:%d, but %s", waits, m->fibers.size(), waiting->id.x,
       waiting->id.y, waiting->id.z, waiting->waits_in, waiting->waits_at.file, waiting->waits_at.line, story.c_str());
}

/* Warp after warp, each until none of its lanes can go on: a warp runs as far ahead of the others as barriers let it, which is
   where a missing one shows. */
static void run_block(machine *m, const std::vector<unsigned> &turn)
{
  const unsigned threads = (unsigned)m->fibers.size();
  memset(m->shared.data, EMU_POISON, m->shared.bytes);
  for (unsigned i = 0; i < threads; i++) {
    fiber *f = &m->fibers[i];
    f->id = { i % block_size.x, i / block_size.x % block_size.y, i / (block_size.x * block_size.y) };
    f->lane = i % LANES, f->of = &m->warps[i / LANES];
    if (!f->lane) f->of->first = f, f->of->present = 0, f->of->meetings = 0;
    f->of->present |= 1u << f->lane;
    f->state = READY, f->open_group = 0;
    f->copies.clear();
    set_out(f);
  }
  memset(m->gates, 0, sizeof m->gates);
  for (group &g : m->groups) g.came = 0;
  m->live = threads;
  while (m->live) {
    bool went = false;
    for (unsigned i = 0; i < threads; ) {
      unsigned end = i + 1;
      while (end < threads && turn[end] / LANES == turn[i] / LANES) end++;
      for (bool again = true; again; ) {
        again = false;
        for (unsigned j = i; j < end; j++)
          if (m->fibers[turn[j]].state == READY) enter(m, &m->fibers[turn[j]]), again = went = true;
      }
      i = end;
    }
    if (!went) report_deadlock(m);
  }
  if (!room_intact(&m->shared)) fail("a thread wrote outside the %zu bytes of shared memory", m->shared.bytes);
}

/* The order of the threads: whole warps, forwards, backwards or drawn, and the lanes of each likewise. */
static std::vector<unsigned> order_of(unsigned threads, long order)
{
  std::vector<unsigned> turn(threads);
  for (unsigned i = 0; i < threads; i++) turn[i] = order < 0 ? threads - 1 - i : i;
  if (order < 2) return turn;
  uint64_t state = (uint64_t)order * 0x9e3779b97f4a7c15;
  auto draw = [&] { return (state = state * 6364136223846793005u + 1442695040888963407u) >> 33; };
  std::vector<uint64_t> warp_key(threads / LANES + 1), key(threads);
  for (auto &k : warp_key) k = draw();
  for (auto &k : key) k = draw();
  std::sort(turn.begin(), turn.end(), [&](unsigned a, unsigned b) {
    if (a / LANES != b / LANES) return std::make_pair(warp_key[a / LANES], a / LANES) < std::make_pair(warp_key[b / LANES], b / LANES);
    return std::make_pair(key[a], a) < std::make_pair(key[b], b);
  });
  return turn;
}

#if !EMU_ASAN
/* An access to a page beside an allocation arrives here. */
static void on_fault(int, siginfo_t *info, void *)
{
  signal(SIGSEGV, SIG_DFL);
  if (here && here->now) {
    const unsigned char *p = (unsigned char *)info->si_addr;
    const room *r = &here->shared;
    if (p >= r->pages && p < r->pages + r->mapped)
      fail("access out of bounds at offset %td of %zu bytes of shared memory", p - r->data, r->bytes);
    fail("access out of bounds: %s", address_story(info->si_addr).c_str());
  }
}

static void catch_faults()
{
  static char stack[64 << 10];
  stack_t s = {};
  s.ss_sp = stack, s.ss_size = sizeof stack;
  sigaltstack(&s, NULL);
  struct sigaction a = {};
  a.sa_sigaction = on_fault, a.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &a, NULL);
}
#else
static void catch_faults() {}
#endif

static machine *my_machine(size_t shared)
{
  static thread_local machine *mine;
  if (!mine) {
    mine = new machine();
    if (!room_make(&mine->shared, SHARED_MOST, 128)) fail("no memory");
  }
  room_place(&mine->shared, shared, 128);
  return mine;
}

void run(const char *name, place at, dim3 grid, dim3 block, size_t shared, const std::function<void()> &body)
{
  static const bool ready = (catch_faults(), true);
  (void)ready;
  if (kernel_breaks(name)) return;
  const long blocks = (long)grid.x * grid.y * grid.z, order = environment("EMU_ORDER", 1);
  const std::vector<unsigned> turn = order_of(block.x * block.y * block.z, order);
  read_sum_rule();
#pragma omp parallel num_threads((int)environment("EMU_THREADS", 1))
  {
    machine *m = my_machine(shared);
    set_up(m, block.x * block.y * block.z);
    m->kernel = name, m->launched = at, m->body = &body, m->copied_from = nullptr;
    here = m, block_size = block, grid_size = grid;
#pragma omp for schedule(dynamic)
    for (long i = 0; i < blocks; i++) {
      const long b = order < 0 ? blocks - 1 - i : i;
      block_id = { (unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y), (unsigned)(b / ((long)grid.x * grid.y)) };
      run_block(m, turn);
    }
    m->kernel = nullptr, here = nullptr, self = nullptr;
  }
  check_all_rooms(name);
}

void enqueue(const char *name, place at, const void *kernel, dim3 grid, dim3 block, size_t shared, cudaStream_t s,
             std::function<void()> body, std::initializer_list<const void *> pointers)
{
  const unsigned long threads = (unsigned long)block.x * block.y * block.z;
  if (!threads || threads > 1024 || block.z > 64 || !grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535
      || shared > shared_limit(kernel)) {
    fprintf(stderr, "emu: %s at %s:%d: no such launch: grid (%u, %u, %u), block (%u, %u, %u), %zu bytes of shared memory of %zu allowed\n",
            name, at.file, at.line, grid.x, grid.y, grid.z, block.x, block.y, block.z, shared, shared_limit(kernel));
    set_last_error(shared > shared_limit(kernel) ? cudaErrorInvalidValue : cudaErrorInvalidConfiguration);
    return;
  }
  for (const void *p : pointers)
    if (p && !allocation_of(p)) fail("%s at %s:%d is given an address that is not the device's: %s", name, at.file, at.line,
                                     address_story(p).c_str());
  cudaError_t e = stream_push(s, [=] { run(name, at, grid, block, shared, body); });
  if (e != cudaSuccess) set_last_error(e);
}
}
