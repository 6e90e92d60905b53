/* emu_wgmma.h: Hopper's products of a warp group on the CPU, the words of cuda_wgmma.cu with the same names and register layout.

   Checked: all lanes of a warp take part; operands lie in shared memory and were there when a product was started; a fence stands between the last use of the sums and the
   first product into them; sums are not read before they were waited for (till then they are NaN). A product reads its operands
   when it is waited for, so that a place overwritten too early is seen. Descriptors are decoded as the PTX manual says for operands
   with k contiguous and without swizzling, the only kind used: bits 0-13 address / 16, 16-29 bytes / 16 from a core matrix (8 lines
   of 16 bytes) to the next along k, 32-45 bytes / 16 to the next 8 lines, 62-63 swizzling. */
#ifndef EMU_WGMMA_H
#define EMU_WGMMA_H
#include "emu.h"
#include <map>
#include <vector>

namespace emu {
struct group_product { float *d; uint64_t a, b; int n; bool bf16; unsigned batch; };
struct group_state {
  std::vector<group_product> open;
  std::map<float *, std::vector<float>> kept;        /* the sums while products into them are under way */
  unsigned batch = 0;
  bool fenced = false;
};
inline group_state &group_of_thread()
{
  static thread_local std::map<const thread *, group_state> all;
  return all[self];
}

inline const unsigned char *operand(uint64_t descriptor, int line, int byte)
{
  if (descriptor >> 62) fail("wgmma: swizzling is not emulated");
  const size_t first = (descriptor & 0x3fff) << 4, along = (descriptor >> 16 & 0x3fff) << 4, down = (descriptor >> 32 & 0x3fff) << 4;
  const unsigned char *p = shared_room() + first + (size_t)(line / 8) * down + (size_t)(byte / 16) * along
    + (size_t)(line % 8 * 16 + byte % 16);
  if (!in_shared(p, 4)) fail("wgmma: an operand is outside of shared memory");
  return p;
}

/* k numbers of a line */
inline void operand_line(uint64_t descriptor, int line, bool bf16, float *v)
{
  for (int byte = 0; byte < 32; byte += 4) {
    uint32_t u;
    memcpy(&u, operand(descriptor, line, byte), 4);
    if (bf16) *v++ = __uint_as_float(u << 16), *v++ = __uint_as_float(u & 0xffff0000);
    else *v++ = __uint_as_float(u & 0xffffe000);     /* the tensor cores do not see the other bits */
  }
}

inline void multiply(const group_product &p, float *sum)
{
  const int lane = (int)self->lane, warp = (int)(self->id.x / 32 % 4), k = p.bf16 ? 16 : 8;
  float a[2][16], b[16];
  for (int h = 0; h < 2; h++) operand_line(p.a, 16 * warp + lane / 4 + 8 * h, p.bf16, a[h]);
  for (int j = 0; j < p.n / 8; j++)
    for (int e = 0; e < 2; e++) {
      operand_line(p.b, 8 * j + lane % 4 * 2 + e, p.bf16, b);
      for (int h = 0; h < 2; h++) {
        double product[16];
        for (int i = 0; i < k; i++) product[i] = (double)a[h][i] * b[i];
        float *to = &sum[4 * j + 2 * h + e];
        *to = add_products(*to, product, k);
      }
    }
}

/* Is an operand of n lines still on its way? `shares` lanes look at as many parts of it; this one at part `share`. */
inline bool on_its_way(uint64_t descriptor, int n, int share, int shares)
{
  for (int i = share; i < n * 8; i += shares) {
    uint32_t u;
    memcpy(&u, operand(descriptor, i / 8, i % 8 * 4), 4);
    if (u == 0xffffffffu) return true;               /* what an ordered copy leaves until it is waited for */
  }
  return false;
}

inline void meet_warp(const char *what, place at) { meet(~0u, nullptr, [](void *const *, unsigned) {}, what, at); }
inline void begin_product(group_product p, place at)
{
  group_state &s = group_of_thread();
  const int share = (int)(self->id.x % 128);
  meet_warp("wgmma", at);
  if (on_its_way(p.a, 64, share, 128) || on_its_way(p.b, p.n, share, 128))
    fail("wgmma at %s:%d: an operand has not arrived", at.file, at.line);
  if (!s.kept.count(p.d)) {
    if (!s.fenced) fail("wgmma at %s:%d: no wgmma.fence since the sums were used", at.file, at.line);
    s.kept[p.d].assign(p.d, p.d + p.n / 2);
    for (int i = 0; i < p.n / 2; i++) p.d[i] = NAN;
  }
  p.batch = s.batch;
  s.open.push_back(p);
}
}

template <precision P, int N> inline void group_multiply(float *d, uint64_t a, uint64_t b, EMU_HERE)
{
  emu::begin_product({ d, a, b, N, P == BF16, 0 }, at);
}
inline void group_fence(EMU_HERE) { emu::meet_warp("wgmma.fence", at), emu::group_of_thread().fenced = true; }
inline void group_commit(EMU_HERE) { emu::meet_warp("wgmma.commit_group", at), emu::group_of_thread().batch++; }
template <int COUNT> inline void group_hold(float (*)[COUNT]) {}        /* of interest to compilers for a device alone */
template <int PENDING> inline void group_wait(EMU_HERE)
{
  emu::group_state &s = emu::group_of_thread();
  emu::meet_warp("wgmma.wait_group", at);
  std::vector<emu::group_product> left;
  for (const emu::group_product &p : s.open)
    if (s.batch - p.batch > PENDING) emu::multiply(p, s.kept[p.d].data());
    else left.push_back(p);
  s.open = left, s.fenced = false;
  for (auto k = s.kept.begin(); k != s.kept.end();) {
    bool busy = false;
    for (const emu::group_product &p : left) busy |= p.d == k->first;
    if (busy) { ++k; continue; }
    memcpy(k->first, k->second.data(), k->second.size() * sizeof(float));
    k = s.kept.erase(k);
  }
}
template <int PENDING> inline void copy_wait_for_group() { emu::wait_copies(PENDING); }
#endif
