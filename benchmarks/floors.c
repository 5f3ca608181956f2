/* What the machine can do: the FMA peak of one core, in registers only. */
#include <immintrin.h>
#include <stdint.h>

/* `rounds` times 24 independent chains of fused multiply-adds; returns the operations done. */
#if defined(__AVX512F__)
typedef __m512 vec;
#define SET _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define SUM _mm512_reduce_add_ps
#define LANES 16
#else
typedef __m256 vec;
#define SET _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define SUM(v) (((float *)&(v))[0])
#define LANES 8
#endif
#define CHAINS 12

int64_t fma_rounds(int64_t rounds, float *sink) {
  vec a = SET(0.999f), b = SET(0.001f), c[CHAINS];
  for (int k = 0; k < CHAINS; k++) c[k] = SET((float)k);
  for (int64_t r = 0; r < rounds; r++)
    for (int k = 0; k < CHAINS; k++) c[k] = FMA(c[k], a, b);
  for (int k = 0; k < CHAINS; k++) *sink += SUM(c[k]);
  return rounds * CHAINS * LANES * 2;
}
