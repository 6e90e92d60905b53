#include "engines/simd.h"
#if defined __x86_64__
#include <immintrin.h>
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif
#define VL 8
#define ROWS 6
#define COLUMNS 2
#define OUTER_ROWS 4
#define OUTER_BLOCKS 1
#define FMA(a, b, c) ((vec)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define SIMD_NAME simd_avx2
#define SIMD_TEXT "AVX2"
#include "engines/simd_body.h"
#if defined __clang__
#pragma clang attribute pop
#endif
#endif
