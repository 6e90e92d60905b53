#include "simd.h"
#if defined __x86_64__
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma,prefer-vector-width=512")
#include <immintrin.h>
#define VL 16
#define ROWS 14
#define COLUMNS 2
#define OUTER_ROWS 8
#define OUTER_BLOCKS 3
#define FMA(a, b, c) ((vec)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define SIMD_NAME simd_avx512
#define SIMD_TEXT "AVX-512"
#include "simd_body.h"
#endif
