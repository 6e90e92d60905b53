/* emu_runtime.cc: memory, streams, events, graphs and devices of the emulated runtime.

   Environment: EMU_DEVICES=n devices (default 1; 0: none), or e35: cudaGetDeviceCount fails with error 35. EMU_ARCH=90: their
   compute capability times ten. EMU_MEMORY=8192: their memory in MiB. EMU_SMS=2: their multiprocessors. EMU_FAULT=NAME: a kernel whose name holds NAME ends in an illegal
   address, which every later call that waits returns, as on a device: nobody knows by then which kernel it was.

   Work on a stream is kept as closures and done when somebody waits for the stream, in the stream's order: a host that
   reads too early reads the poison of fresh memory. A captured graph is a list of the same closures. */
#include "emu_inside.h"
#include "cublas_v2.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <vector>

typedef std::function<void()> job;
struct emu_graph { std::vector<job> node; };
struct emu_graph_exec { std::vector<job> node; };
struct emu_stream { std::deque<job> work; emu_graph *capture; bool origin, invalid; };
struct emu_event { emu_stream *on; uint64_t asked, done; double when; emu_graph *captured; };

static thread_local cudaError_t last_error;
static cudaError_t broken;                           /* by EMU_FAULT; it stays */
static std::map<uintptr_t, allocation> memory;       /* by first byte */
static size_t used;
static long calls[3];                                /* see emu_calls */
static std::map<const void *, size_t> shared_allowed;
static std::set<emu_stream *> streams;
static emu_stream null_stream;
static int device;

void set_last_error(cudaError_t e) { last_error = e; }
static cudaError_t give(cudaError_t e)
{
  if (e != cudaSuccess) last_error = e;
  return e;
}

bool kernel_breaks(const char *name)
{
  const char *fault = getenv("EMU_FAULT");
  if (fault && *fault && strstr(name, fault)) broken = cudaErrorIllegalAddress;
  return broken != cudaSuccess;
}

long environment(const char *name, long otherwise)
{
  const char *s = getenv(name);
  return s && *s ? strtol(s, NULL, 10) : otherwise;
}

/* ---- rooms ---- */
bool room_make(room *r, size_t bytes, size_t alignment)
{
  const size_t page = 4096;
  r->mapped = (bytes + page - 1) / page * page + 2 * EMU_MOAT;
  void *p = mmap(NULL, r->mapped, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return false;
  r->pages = (unsigned char *)p;
  if (mprotect(r->pages + EMU_MOAT, r->mapped - 2 * EMU_MOAT, PROT_READ | PROT_WRITE)) return false;
  room_place(r, bytes, alignment);
  return true;
}

static unsigned char *room_start(const room *r) { return r->pages + EMU_MOAT; }
static unsigned char *room_end(const room *r) { return r->pages + r->mapped - EMU_MOAT; }
static unsigned char *guard_start(const room *r) { return r->data - room_start(r) > 256 ? r->data - 256 : room_start(r); }

void room_place(room *r, size_t bytes, size_t alignment)
{
  const bool same = r->data && r->bytes == bytes;
  if (same) return;
  r->bytes = bytes;
  r->data = room_end(r) - (bytes + alignment - 1) / alignment * alignment;
#if EMU_ASAN
  __asan_unpoison_memory_region(room_start(r), (size_t)(room_end(r) - room_start(r)));
#endif
  memset(guard_start(r), EMU_GUARD, (size_t)(r->data - guard_start(r)));
  memset(r->data + bytes, EMU_GUARD, (size_t)(room_end(r) - r->data) - bytes);
#if EMU_ASAN
  __asan_poison_memory_region(room_start(r), (size_t)(r->data - room_start(r)));
  __asan_poison_memory_region(r->data + bytes, (size_t)(room_end(r) - r->data) - bytes);
#endif
}

bool room_intact(const room *r)
{
  if (EMU_ASAN) return true;
  for (const unsigned char *p = guard_start(r); p < r->data; p++)
    if (*p != EMU_GUARD) return false;
  for (const unsigned char *p = r->data + r->bytes; p < room_end(r); p++)
    if (*p != EMU_GUARD) return false;
  return true;
}

void room_free(room *r)
{
#if EMU_ASAN
  __asan_unpoison_memory_region(room_start(r), (size_t)(room_end(r) - room_start(r)));
#endif
  munmap(r->pages, r->mapped);
}

/* ---- allocations ---- */
const allocation *allocation_of(const void *p)
{
  auto after = memory.upper_bound((uintptr_t)p);
  if (after == memory.begin()) return nullptr;
  const allocation *a = &std::prev(after)->second;
  return (uintptr_t)p < (uintptr_t)a->r.data + a->r.bytes || p == a->r.data ? a : nullptr;
}

std::string address_story(const void *p)
{
  char text[200];
  auto after = memory.upper_bound((uintptr_t)p);
  snprintf(text, sizeof text, "%p is in no allocation", p);
  if (after != memory.end() && after->first - (uintptr_t)p <= EMU_MOAT)
    snprintf(text, sizeof text, "%p is %zu bytes before an allocation of %zu bytes", p, (size_t)(after->first - (uintptr_t)p), after->second.r.bytes);
  if (after != memory.begin()) {
    const room &r = std::prev(after)->second.r;
    const size_t offset = (uintptr_t)p - (uintptr_t)r.data;
    if (offset < r.bytes) snprintf(text, sizeof text, "%p is byte %zu of an allocation of %zu bytes", p, offset, r.bytes);
    else if (offset - r.bytes < EMU_MOAT)
      snprintf(text, sizeof text, "%p is %zu bytes beyond the end of an allocation of %zu bytes", p, offset - r.bytes, r.bytes);
  }
  return text;
}

void check_all_rooms(const char *after)
{
  for (auto &m : memory)
    if (!room_intact(&m.second.r)) emu::fail("%s wrote outside an allocation of %zu bytes", after, m.second.r.bytes);
}

static cudaError_t complain(cudaError_t e, const char *what, const void *p)
{
  fprintf(stderr, "emu: %s: %s\n", what, address_story(p).c_str());
  return give(e);
}

/* ---- devices ---- */
static cudaError_t devices(int *count)
{
  const char *s = getenv("EMU_DEVICES");
  *count = 0;
  if (s && *s == 'e') return (cudaError_t)atoi(s + 1);
  *count = (int)environment("EMU_DEVICES", 1);
  return *count ? cudaSuccess : cudaErrorNoDevice;
}

static cudaError_t ready()
{
  int n;
  return give(broken ? broken : devices(&n));
}

static size_t memory_bytes() { return (size_t)environment("EMU_MEMORY", 8192) << 20; }
static int arch() { return (int)environment("EMU_ARCH", 90); }
static size_t shared_most() { return (size_t)(arch() >= 90 ? 227 : arch() == 80 || arch() == 87 ? 163 : arch() >= 80 ? 99 : 64) << 10; }
size_t shared_limit(const void *kernel)
{
  auto f = shared_allowed.find(kernel);
  return f == shared_allowed.end() ? 48 << 10 : f->second;
}

extern "C" {
cudaError_t cudaGetDeviceCount(int *count) { return give(devices(count)); }
cudaError_t cudaGetDevice(int *d) { return *d = device, ready(); }
cudaError_t cudaSetDevice(int d)
{
  int n;
  cudaError_t e = devices(&n);
  if (e) return give(e);
  if (d < 0 || d >= n) return give(cudaErrorInvalidDevice);
  return device = d, cudaSuccess;
}
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int d)
{
  int n;
  cudaError_t e = devices(&n);
  if (e) return give(e);
  if (d < 0 || d >= n) return give(cudaErrorInvalidDevice);
  *p = cudaDeviceProp();
  snprintf(p->name, sizeof p->name, "Emulated GPU %d", d);
  p->totalGlobalMem = memory_bytes(), p->major = arch() / 10, p->minor = arch() % 10, p->multiProcessorCount = (int)environment("EMU_SMS", 2), p->warpSize = 32;
  p->sharedMemPerBlock = 48 << 10, p->sharedMemPerBlockOptin = shared_most(), p->sharedMemPerMultiprocessor = shared_most() + 1024;
  p->l2CacheSize = 1 << 20, p->memoryBusWidth = 64, p->maxThreadsPerBlock = 1024, p->maxThreadsPerMultiProcessor = 2048;
  p->regsPerBlock = p->regsPerMultiprocessor = 65536;
  return cudaSuccess;
}
cudaError_t cudaDeviceGetAttribute(int *v, enum cudaDeviceAttr a, int d)
{
  cudaDeviceProp p;
  cudaError_t e = cudaGetDeviceProperties(&p, d);
  if (e) return e;
  switch (a) {
  case cudaDevAttrMaxThreadsPerBlock: *v = p.maxThreadsPerBlock; break;
  case cudaDevAttrMaxSharedMemoryPerBlock: *v = (int)p.sharedMemPerBlock; break;
  case cudaDevAttrMaxSharedMemoryPerBlockOptin: *v = (int)p.sharedMemPerBlockOptin; break;
  case cudaDevAttrMultiProcessorCount: *v = p.multiProcessorCount; break;
  case cudaDevAttrComputeCapabilityMajor: *v = p.major; break;
  case cudaDevAttrComputeCapabilityMinor: *v = p.minor; break;
  case cudaDevAttrL2CacheSize: *v = p.l2CacheSize; break;
  case cudaDevAttrGlobalMemoryBusWidth: *v = p.memoryBusWidth; break;
  case cudaDevAttrClockRate: case cudaDevAttrMemoryClockRate: *v = 1000; break;
  }
  return cudaSuccess;
}
cudaError_t cudaDriverGetVersion(int *v)
{
  const char *s = getenv("EMU_DEVICES");
  *v = s && *s == 'e' ? 0 : CUDART_VERSION;
  return cudaSuccess;
}
cudaError_t cudaRuntimeGetVersion(int *v) { return *v = CUDART_VERSION, cudaSuccess; }
cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }
cudaError_t cudaMemGetInfo(size_t *free, size_t *total)
{
  *total = memory_bytes(), *free = memory_bytes() - used;
  return ready();
}

/* ---- errors ---- */
cudaError_t cudaGetLastError(void)
{
  cudaError_t e = last_error;
  last_error = cudaSuccess;
  return e;
}
cudaError_t cudaPeekAtLastError(void) { return last_error; }
#define EMU_ERRORS(X) \
  X(cudaSuccess, "no error") X(cudaErrorInvalidValue, "invalid argument") X(cudaErrorMemoryAllocation, "out of memory") \
  X(cudaErrorInitializationError, "initialization error") X(cudaErrorInvalidConfiguration, "invalid configuration argument") \
  X(cudaErrorInvalidDevicePointer, "invalid device pointer") \
  X(cudaErrorInsufficientDriver, "CUDA driver version is insufficient for CUDA runtime version") \
  X(cudaErrorDevicesUnavailable, "CUDA-capable device(s) is/are busy or unavailable") \
  X(cudaErrorNoKernelImageForDevice, "no kernel image is available for execution on the device") \
  X(cudaErrorNoDevice, "no CUDA-capable device is detected") X(cudaErrorInvalidDevice, "invalid device ordinal") \
  X(cudaErrorInvalidResourceHandle, "invalid resource handle") X(cudaErrorNotReady, "device not ready") \
  X(cudaErrorIllegalAddress, "an illegal memory access was encountered") X(cudaErrorLaunchFailure, "unspecified launch failure") \
  X(cudaErrorNotSupported, "operation not supported") X(cudaErrorStreamCaptureUnsupported, "operation not permitted when stream is capturing") \
  X(cudaErrorStreamCaptureInvalidated, "operation failed due to a previous error during capture") X(cudaErrorUnknown, "unknown error")
const char *cudaGetErrorString(cudaError_t e)
{
#define X(name, text) case name: return text;
  switch ((int)e) { EMU_ERRORS(X) }
#undef X
  return "unrecognized error code";
}
const char *cudaGetErrorName(cudaError_t e)
{
#define X(name, text) case name: return #name;
  switch ((int)e) { EMU_ERRORS(X) }
#undef X
  return "unrecognized error code";
}
}

/* ---- streams ---- */
static emu_stream *stream_of(cudaStream_t s) { return (uintptr_t)s <= 2 ? &null_stream : s; }
static void drain(emu_stream *s)
{
  while (!s->work.empty()) {
    job j = std::move(s->work.front());
    s->work.pop_front();
    j();
  }
}
static void drain_all()
{
  for (emu_stream *s : streams) drain(s);
  drain(&null_stream);
}

/* A call that may not stand inside a capture ends it. */
static bool breaks_capture()
{
  bool any = false;
  for (emu_stream *s : streams)
    if (s->capture) s->invalid = any = true;
  if (any) fprintf(stderr, "emu: a call that waits or allocates while a stream is captured\n");
  return any;
}
#define OUTSIDE_CAPTURE() do { if (breaks_capture()) return give(cudaErrorStreamCaptureUnsupported); } while (0)

cudaError_t stream_push(cudaStream_t handle, job j)
{
  emu_stream *s = stream_of(handle);
  if (s == &null_stream) {                           /* the null stream keeps order with all others */
    if (breaks_capture()) return cudaErrorStreamCaptureUnsupported;
    for (emu_stream *o : streams) drain(o);
  } else {
    if (!streams.count(s)) return cudaErrorInvalidResourceHandle;
    drain(&null_stream);
  }
  if (s->invalid) return cudaErrorStreamCaptureInvalidated;
  if (s->capture) s->capture->node.push_back(std::move(j));
  else s->work.push_back(std::move(j));
  return cudaSuccess;
}

static double now()
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

extern "C" {
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned)
{
  if (ready()) return last_error;
  streams.insert(*s = new emu_stream());
  return cudaSuccess;
}
cudaError_t cudaStreamCreate(cudaStream_t *s) { return cudaStreamCreateWithFlags(s, 0); }
cudaError_t cudaStreamDestroy(cudaStream_t s)
{
  if (!streams.count(s)) return give(cudaErrorInvalidResourceHandle);
  drain(s);
  streams.erase(s);
  delete s;
  return cudaSuccess;
}
cudaError_t cudaStreamSynchronize(cudaStream_t h)
{
  emu_stream *s = stream_of(h);
  if (s->capture) return s->invalid = true, give(cudaErrorStreamCaptureUnsupported);
  if (s == &null_stream) drain_all();
  drain(s);
  return give(broken);
}
cudaError_t cudaStreamQuery(cudaStream_t s) { return stream_of(s)->work.empty() ? cudaSuccess : (drain(stream_of(s)), cudaErrorNotReady); }
cudaError_t cudaDeviceSynchronize(void)
{
  OUTSIDE_CAPTURE();
  return drain_all(), ready();
}
cudaError_t cudaDeviceReset(void) { return drain_all(), cudaSuccess; }

/* ---- events ---- */
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned)
{
  if (ready()) return last_error;
  *e = new emu_event();
  return cudaSuccess;
}
cudaError_t cudaEventCreate(cudaEvent_t *e) { return cudaEventCreateWithFlags(e, 0); }
static void finish(emu_event *e, uint64_t until)
{
  while (e->done < until && e->on && !e->on->work.empty()) {
    job j = std::move(e->on->work.front());
    e->on->work.pop_front();
    j();
  }
}
cudaError_t cudaEventDestroy(cudaEvent_t e)
{
  finish(e, e->asked);
  delete e;
  return cudaSuccess;
}
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t h)
{
  emu_stream *s = stream_of(h);
  if (s->capture) {
    e->captured = s->capture;
    return give(s->invalid ? cudaErrorStreamCaptureInvalidated : cudaSuccess);
  }
  e->captured = nullptr, e->on = s;
  const uint64_t n = ++e->asked;
  return give(stream_push(h, [=] { e->done = n, e->when = now(); }));
}
cudaError_t cudaEventSynchronize(cudaEvent_t e)
{
  if (e->captured) return give(cudaErrorInvalidResourceHandle);
  return finish(e, e->asked), give(broken);
}
cudaError_t cudaEventQuery(cudaEvent_t e) { return e->done == e->asked ? cudaSuccess : (finish(e, e->asked), cudaErrorNotReady); }
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t a, cudaEvent_t b)
{
  if (!a->asked || !b->asked) return give(cudaErrorInvalidResourceHandle);
  if (a->done < a->asked || b->done < b->asked) return give(cudaErrorNotReady);
  *ms = (float)(1e3 * (b->when - a->when));
  return cudaSuccess;
}
cudaError_t cudaStreamWaitEvent(cudaStream_t h, cudaEvent_t e, unsigned)
{
  emu_stream *s = stream_of(h);
  if (e->captured) {                                 /* the stream joins the capture: calls come in a valid order */
    if (!s->capture) s->capture = e->captured;
    return cudaSuccess;
  }
  const uint64_t n = e->asked;
  return give(stream_push(h, [=] { finish(e, n); }));
}

/* ---- graphs ---- */
cudaError_t cudaStreamBeginCapture(cudaStream_t s, enum cudaStreamCaptureMode)
{
  if (!streams.count(s) || s->capture) return give(cudaErrorStreamCaptureUnsupported);
  s->capture = new emu_graph(), s->origin = true, s->invalid = false;
  return cudaSuccess;
}
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g)
{
  *g = nullptr;
  if (!streams.count(s) || !s->capture || !s->origin) return give(cudaErrorInvalidValue);
  emu_graph *captured = s->capture;
  bool invalid = false;
  for (emu_stream *o : streams)
    if (o->capture == captured) invalid |= o->invalid, o->capture = nullptr, o->origin = o->invalid = false;
  if (invalid) {
    delete captured;
    return give(cudaErrorStreamCaptureInvalidated);
  }
  *g = captured;
  return cudaSuccess;
}
cudaError_t cudaStreamIsCapturing(cudaStream_t s, enum cudaStreamCaptureStatus *status)
{
  emu_stream *o = stream_of(s);
  *status = o->invalid ? cudaStreamCaptureStatusInvalidated : o->capture ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
  return cudaSuccess;
}
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *x, cudaGraph_t g, unsigned long long)
{
  *x = new emu_graph_exec();
  (*x)->node = g->node;
  return cudaSuccess;
}
cudaError_t cudaGraphLaunch(cudaGraphExec_t x, cudaStream_t s)
{
  std::vector<job> node = x->node;
  return give(stream_push(s, [node] { for (const job &j : node) j(); }));
}
cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return cudaSuccess; }
cudaError_t cudaGraphGetNodes(cudaGraph_t g, cudaGraphNode_t *, size_t *count) { return *count = g->node.size(), cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t x) { return delete x, cudaSuccess; }
cudaError_t cudaGraphDestroy(cudaGraph_t g) { return delete g, cudaSuccess; }

/* ---- memory ---- */
static cudaError_t take(void **p, size_t bytes, bool host)
{
  *p = nullptr;
  calls[host]++;
  if (ready()) return last_error;
  OUTSIDE_CAPTURE();
  if (!bytes) return cudaSuccess;
  allocation a = { {}, host };
  if ((!host && used + bytes > memory_bytes()) || !room_make(&a.r, bytes, host ? 64 : 256)) return give(cudaErrorMemoryAllocation);
  if (!host) used += bytes;
  const size_t poisoned = bytes < 1 << 20 ? bytes : 256 << 10;       /* of larger ones both ends; the rest costs no pages */
  memset(a.r.data, EMU_POISON, poisoned);
  memset(a.r.data + bytes - poisoned, EMU_POISON, poisoned);
  memory[(uintptr_t)a.r.data] = a;
  *p = a.r.data;
  return cudaSuccess;
}
static cudaError_t release(void *p, bool host)
{
  if (!p) return cudaSuccess;
  OUTSIDE_CAPTURE();
  auto found = memory.find((uintptr_t)p);
  if (found == memory.end() || found->second.host != host) return complain(cudaErrorInvalidValue, "a free", p);
  drain_all();
  if (!room_intact(&found->second.r)) emu::fail("somebody wrote outside an allocation of %zu bytes", found->second.r.bytes);
  if (!host) used -= found->second.r.bytes;
  room_free(&found->second.r);
  memory.erase(found);
  return cudaSuccess;
}
cudaError_t cudaMalloc(void **p, size_t bytes) { return take(p, bytes, false); }
cudaError_t cudaFree(void *p) { return release(p, false); }
cudaError_t cudaMallocHost(void **p, size_t bytes) { return take(p, bytes, true); }
cudaError_t cudaHostAlloc(void **p, size_t bytes, unsigned) { return take(p, bytes, true); }
cudaError_t cudaFreeHost(void *p) { return release(p, true); }
cudaError_t cudaHostRegister(void *, size_t, unsigned) { return ready(); }
cudaError_t cudaHostUnregister(void *) { return ready(); }

/* Is [p, p + bytes) one allocation's? */
static bool whole(const void *p, size_t bytes)
{
  const allocation *a = allocation_of(p);
  return a && (const unsigned char *)p + bytes <= a->r.data + a->r.bytes;
}
static bool device_side(const void *p) { const allocation *a = allocation_of(p); return a && !a->host; }

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t s)
{
  if (!bytes) return cudaSuccess;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice || (kind == cudaMemcpyDefault && device_side(to));
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice || (kind == cudaMemcpyDefault && device_side(from));
  if (to_device ? !whole(to, bytes) : device_side(to)) return complain(cudaErrorInvalidValue, "a copy to", (char *)to + bytes - 1);
  if (from_device ? !whole(from, bytes) : device_side(from)) return complain(cudaErrorInvalidValue, "a copy from", (const char *)from + bytes - 1);
  const bool captured = stream_of(s)->capture;
  if (to_device && !from_device && !allocation_of(from) && !captured) {      /* pageable: read before the call returns */
    std::vector<char> kept((const char *)from, (const char *)from + bytes);
    return give(stream_push(s, [=] { memcpy(to, kept.data(), bytes); }));
  }
  cudaError_t e = stream_push(s, [=] { memcpy(to, from, bytes); });
  if (!e && !to_device && !allocation_of(to) && !captured) drain(stream_of(s));       /* pageable: written before the call returns */
  return give(e ? e : broken);
}
cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind)
{
  OUTSIDE_CAPTURE();
  cudaError_t e = cudaMemcpyAsync(to, from, bytes, kind, NULL);
  return drain(&null_stream), e;
}
cudaError_t cudaMemsetAsync(void *p, int value, size_t bytes, cudaStream_t s)
{
  if (!bytes) return cudaSuccess;
  if (!whole(p, bytes)) return complain(cudaErrorInvalidValue, "a memset", (char *)p + bytes - 1);
  return give(stream_push(s, [=] { memset(p, value, bytes); }));
}
cudaError_t cudaMemset(void *p, int value, size_t bytes)
{
  OUTSIDE_CAPTURE();
  cudaError_t e = cudaMemsetAsync(p, value, bytes, NULL);
  return drain(&null_stream), e;
}

cudaError_t cudaFuncSetAttribute(const void *kernel, enum cudaFuncAttribute a, int value)
{
  if (a != cudaFuncAttributeMaxDynamicSharedMemorySize) return cudaSuccess;
  if (value < 0 || (size_t)value > shared_most()) return give(cudaErrorInvalidValue);
  shared_allowed[kernel] = (size_t)value > 48 << 10 ? (size_t)value : 48 << 10;
  return cudaSuccess;
}
}

/* For tests, by dlsym: how often device memory and pinned memory were asked for, and cuBLAS opened. */
extern "C" const long *emu_calls(void) { return calls; }

/* ---- cuBLAS ---- */
struct emu_cublas { cudaStream_t stream; cublasMath_t math; };

static float as_tf32(float x) { return __uint_as_float((__float_as_uint(x) + 0x1000) & 0xffffe000); }

extern "C" {
cublasStatus_t cublasCreate(cublasHandle_t *h)
{
  calls[2]++;
  if (ready()) return CUBLAS_STATUS_NOT_INITIALIZED;
  *h = new emu_cublas();
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy(cublasHandle_t h) { return delete h, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasGetVersion(cublasHandle_t, int *v) { return *v = 120800, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetStream(cublasHandle_t h, cudaStream_t s) { return h->stream = s, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetWorkspace(cublasHandle_t, void *p, size_t bytes)
{
  return !p || whole(p, bytes) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
cublasStatus_t cublasSetMathMode(cublasHandle_t h, cublasMath_t m) { return h->math = m, CUBLAS_STATUS_SUCCESS; }
cublasStatus_t cublasSetPointerMode(cublasHandle_t, cublasPointerMode_t m)
{
  return m == CUBLAS_POINTER_MODE_HOST ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_NOT_SUPPORTED;
}
cublasStatus_t cublasSetAtomicsMode(cublasHandle_t, cublasAtomicsMode_t) { return CUBLAS_STATUS_SUCCESS; }
const char *cublasGetStatusName(cublasStatus_t s)
{
  return s == CUBLAS_STATUS_SUCCESS ? "CUBLAS_STATUS_SUCCESS" : s == CUBLAS_STATUS_NOT_INITIALIZED ? "CUBLAS_STATUS_NOT_INITIALIZED"
       : s == CUBLAS_STATUS_INVALID_VALUE ? "CUBLAS_STATUS_INVALID_VALUE" : "CUBLAS_STATUS_NOT_SUPPORTED";
}
const char *cublasGetStatusString(cublasStatus_t s) { return cublasGetStatusName(s); }

/* The operand as a row-major float matrix, rounded for TF32. */
static std::vector<float> rows_of(const void *p, cudaDataType type, int rows, int columns, int ld, bool turned, bool tf32)
{
  std::vector<float> m((size_t)rows * (size_t)columns);
  for (int r = 0; r < rows; r++)
    for (int c = 0; c < columns; c++) {
      const size_t at = turned ? (size_t)r * (size_t)ld + (size_t)c : (size_t)c * (size_t)ld + (size_t)r;
      const float v = type == CUDA_R_32F ? ((const float *)p)[at] : __uint_as_float((unsigned)((const uint16_t *)p)[at] << 16);
      m[(size_t)r * (size_t)columns + (size_t)c] = tf32 ? as_tf32(v) : v;
    }
  return m;
}

/* The sum of k products as tensor cores make it, eight in an instruction. */
static float sum_in_pieces(const float *left, const float *right, size_t stride, int k)
{
  float sum = 0;
  for (int p = 0; p < k; p += 8) {
    double product[8];
    const int count = k - p < 8 ? k - p : 8;
    for (int i = 0; i < count; i++) product[i] = (double)left[p + i] * right[(size_t)(p + i) * stride];
    sum = emu::add_products(sum, product, count);
  }
  return sum;
}

static void product_of(bool ta, bool tb, int m, int n, int k, float alpha, const void *a, cudaDataType at, int lda, const void *b,
                       cudaDataType bt, int ldb, float beta, float *c, int ldc, bool tf32)
{
  const std::vector<float> left = rows_of(b, bt, n, k, ldb, !tb, tf32), right = rows_of(a, at, k, m, lda, !ta, tf32);
  std::vector<float> sum((size_t)m);
  emu::read_sum_rule();
  const bool pieces = tf32 && emu::rule != emu::NEAREST;
  for (int j = 0; j < n; j++) {
    std::fill(sum.begin(), sum.end(), 0.0f);
    for (int i = 0; i < m && pieces; i++) sum[(size_t)i] = sum_in_pieces(&left[(size_t)j * (size_t)k], &right[(size_t)i], (size_t)m, k);
    for (int p = 0; p < k && !pieces; p++) {
      const float v = left[(size_t)j * (size_t)k + (size_t)p], *row = &right[(size_t)p * (size_t)m];
      for (int i = 0; i < m; i++) sum[(size_t)i] += v * row[i];
    }
    float *to = c + (size_t)j * (size_t)ldc;
    for (int i = 0; i < m; i++) to[i] = beta == 0 ? alpha * sum[(size_t)i] : alpha * sum[(size_t)i] + beta * to[i];
  }
}

cublasStatus_t cublasGemmEx(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const void *alpha,
                            const void *a, cudaDataType at, int lda, const void *b, cudaDataType bt, int ldb, const void *beta, void *c,
                            cudaDataType ct, int ldc, cublasComputeType_t compute, cublasGemmAlgo_t)
{
  const bool turn_a = ta == CUBLAS_OP_T, turn_b = tb == CUBLAS_OP_T;
  if (ct != CUDA_R_32F || (at != CUDA_R_32F && at != CUDA_R_16BF) || at != bt) return CUBLAS_STATUS_NOT_SUPPORTED;
  if (m < 0 || n < 0 || k < 0 || lda < (turn_a ? k : m) || ldb < (turn_b ? n : k) || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  if (!m || !n) return CUBLAS_STATUS_SUCCESS;
  auto bytes = [](int rows, int columns, int ld, cudaDataType t) {
    return ((size_t)(columns - 1) * (size_t)ld + (size_t)rows) * (t == CUDA_R_32F ? 4 : 2);
  };
  if (k && (!whole(a, bytes(turn_a ? k : m, turn_a ? m : k, lda, at)) || !whole(b, bytes(turn_b ? n : k, turn_b ? k : n, ldb, bt))))
    emu::fail("a matrix product (%d, %d, %d) reads out of bounds: %s; %s", m, n, k, address_story(a).c_str(), address_story(b).c_str());
  if (!whole(c, bytes(m, n, ldc, ct))) emu::fail("a matrix product (%d, %d, %d) writes out of bounds: %s", m, n, k, address_story(c).c_str());
  const float x = *(const float *)alpha, y = *(const float *)beta;
  const bool tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32 || (compute == CUBLAS_COMPUTE_32F && h->math == CUBLAS_TF32_TENSOR_OP_MATH);
  return stream_push(h->stream, [=] { product_of(turn_a, turn_b, m, n, k, x, a, at, lda, b, bt, ldb, y, (float *)c, ldc, tf32); })
       ? CUBLAS_STATUS_EXECUTION_FAILED : CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k, const float *alpha,
                           const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
  return cublasGemmEx(h, ta, tb, m, n, k, alpha, a, CUDA_R_32F, lda, b, CUDA_R_32F, ldb, beta, c, CUDA_R_32F, ldc, CUBLAS_COMPUTE_32F,
                      CUBLAS_GEMM_DEFAULT);
}
cublasStatus_t cublasSgemv(cublasHandle_t h, cublasOperation_t t, int m, int n, const float *alpha, const float *a, int lda, const float *x,
                           int incx, const float *beta, float *y, int incy)
{
  if (incx != 1 || incy != 1) return CUBLAS_STATUS_NOT_SUPPORTED;
  const int rows = t == CUBLAS_OP_T ? n : m, sum = t == CUBLAS_OP_T ? m : n;
  return cublasSgemm(h, t, CUBLAS_OP_N, rows, 1, sum, alpha, a, lda, x, sum, beta, y, rows);
}
}
