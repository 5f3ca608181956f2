/* What the machine can do: the FMA peak of one core, in registers only, and how fast memory is read and written. */
#include <immintrin.h>
#include <stdint.h>

/* `rounds` times CHAINS independent chains of fused multiply-adds; returns the operations done. */
#if defined(__AVX512F__)
typedef __m512 vec;
#define SET _mm512_set1_ps
#define FMA _mm512_fmadd_ps
#define SUM _mm512_reduce_add_ps
#define ADD _mm512_add_ps
#define LOAD _mm512_loadu_ps
#define STORE _mm512_storeu_ps
#define LANES 16
#else
typedef __m256 vec;
#define SET _mm256_set1_ps
#define FMA _mm256_fmadd_ps
#define SUM(v) (((float *)&(v))[0])
#define ADD _mm256_add_ps
#define LOAD _mm256_loadu_ps
#define STORE _mm256_storeu_ps
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

/* Reads `read` floats and writes `written` floats, side by side as a kernel does; both are multiples of 64. */
void move(const float *from, int64_t read, float *to, int64_t written, float *sink) {
  vec sums[4];
  for (int k = 0; k < 4; k++) sums[k] = SET(0);
  int64_t r = 0, w = 0, steps = (read > written ? read : written) / (4 * LANES);
  for (int64_t s = 1; s <= steps; s++) {
    if (r < read * s / steps)
      for (int k = 0; k < 4; k++, r += LANES) sums[k] = ADD(sums[k], LOAD(from + r));
    if (w < written * s / steps)
      for (int k = 0; k < 4; k++, w += LANES) STORE(to + w, sums[k]);
  }
  for (int k = 0; k < 4; k++) *sink += SUM(sums[k]);
}
