/* The machine code in the tests' files: `kernels.inc` is this, compiled. See `make_kernels.sh`. */
#include <stdint.h>

typedef void *const *buffers;

/* in x : f32, out y : f32 */
void double_it(buffers b, const int64_t *ints, int64_t begin, int64_t end) {
  (void)ints;
  for (int64_t i = begin; i < end; ++i) ((float *)b[1])[i] = 2 * ((const float *)b[0])[i];
}

/* in x : f32, in w : f32, out y : f32, ints (columns) */
void add_row(buffers b, const int64_t *ints, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = 0; j < ints[0]; ++j) {
      ((float *)b[2])[i * ints[0] + j] = ((const float *)b[0])[i * ints[0] + j] + ((const float *)b[1])[j];
    }
  }
}

/* in x : f32, out y : f32, local t : f32, ints (columns): each row the other way round, by way of t */
void turn_rows(buffers b, const int64_t *ints, int64_t begin, int64_t end) {
  const int64_t n = ints[0];
  volatile float *t = b[2]; /* another worker's writes would show */
  for (int64_t i = begin; i < end; ++i) {
    for (int64_t j = 0; j < n; ++j) t[j] = ((const float *)b[0])[i * n + j];
    for (int64_t j = 0; j < n; ++j) ((float *)b[1])[i * n + j] = t[n - 1 - j];
  }
}

/* in x : f32, out c : bool, ints (n): is the sum above zero? */
void is_positive(buffers b, const int64_t *ints, int64_t begin, int64_t end) {
  float sum = 0;
  for (int64_t i = 0; i < ints[0]; ++i) sum += ((const float *)b[0])[i];
  if (begin < end) *(uint8_t *)b[1] = sum > (float)(begin & 0);
}
