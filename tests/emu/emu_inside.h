/* emu_inside.h: what the emulator's own files share; kernels and the engine do not see it. */
#ifndef EMU_INSIDE_H
#define EMU_INSIDE_H
#include "emu.h"
#include <functional>
#include <string>
#if defined __SANITIZE_ADDRESS__
#define EMU_ASAN 1
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#else
#define EMU_ASAN 0
#endif

enum { EMU_POISON = 0xff, EMU_GUARD = 0xa5 };        /* bytes of fresh memory (a NaN, as a float or a bfloat16), and beside it */
enum { EMU_MOAT = 1 << 20 };                        /* bytes around a room that nobody may touch, so that a far miss hits no other one */

/* A piece of memory between two stretches that nobody may touch; it ends as near to the second as its alignment allows. What lies
   between it and them is poisoned for the address sanitizer, and holds guard bytes that room_intact looks at. */
struct room { unsigned char *pages, *data; size_t mapped, bytes; };
bool room_make(room *, size_t bytes, size_t alignment);    /* false: no memory */
void room_place(room *, size_t bytes, size_t alignment);   /* the same pages for another size, at most the first */
bool room_intact(const room *);
void room_free(room *);

/* The device's memory: NULL when p is in no allocation. host: pinned host memory, which the device reads too. */
struct allocation { room r; bool host; };
const allocation *allocation_of(const void *p);
/* a sentence about an address, for messages */
std::string address_story(const void *p);
void check_all_rooms(const char *after);

/* Enqueue on a stream (or into the graph that it captures). */
cudaError_t stream_push(cudaStream_t, std::function<void()>);
void set_last_error(cudaError_t);
size_t shared_limit(const void *kernel);
bool kernel_breaks(const char *name);                /* by EMU_FAULT, or one before it did: it does not run */
long environment(const char *name, long otherwise);

namespace emu {
void read_sum_rule();
void run(const char *name, place, dim3 grid, dim3 block, size_t shared_bytes, const std::function<void()> &body);
}
#endif
