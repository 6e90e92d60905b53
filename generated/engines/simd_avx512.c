#include "engines/simd.h"
#if defined __x86_64__
#include <immintrin.h>
#if defined __clang__
#pragma clang attribute push(__attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")
#endif
#define VL 16
#define ROWS 14
#define COLUMNS 2
#define OUTER_ROWS 8
#define OUTER_BLOCKS 3
#define FMA(a, b, c) ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define SIMD_NAME simd_avx512
#define SIMD_TEXT "AVX-512"
#include "engines/simd_body.h"
#if defined __clang__
#pragma clang attribute pop
#endif
#endif
