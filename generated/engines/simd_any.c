#include "engines/simd.h"
#define VL 4
#define COLUMNS 4
#define OUTER_BLOCKS 1
#if defined __aarch64__
#include <arm_neon.h>
#define ROWS 6
#define OUTER_ROWS 4
#define FMA(a, b, c) ((vec)vfmaq_f32((float32x4_t)(c), (float32x4_t)(a), (float32x4_t)(b)))
#define SIMD_TEXT "Neon"
#else
#define ROWS 3
#define OUTER_ROWS 2
#define FMA(a, b, c) ((a) * (b) + (c))
#define SIMD_TEXT "128-bit vectors"
#endif
#define SIMD_NAME simd_any
#include "engines/simd_body.h"

/* choose the widest vectors */
const simd *simd_forced;
bool simd_direct;

#if defined __x86_64__
extern const simd simd_avx512, simd_avx2;
#endif

const simd *const *simd_all(void)
{
  static const simd *have[4];
  int n = 0;
#if defined __x86_64__
  const bool fma = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  if (fma && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
      && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw"))
    have[n++] = &simd_avx512;
  if (fma) have[n++] = &simd_avx2;
#endif
  have[n++] = &simd_any, have[n] = NULL;
  return have;
}

const simd *simd_best(void) { return simd_forced ? simd_forced : simd_all()[0]; }
