// Integer arithmetic that says when it overflows, and rounding to alignments.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace um {

// Each returns false where the exact result does not fit into *result.
template <class T>
[[nodiscard]] inline bool Add(T a, T b, T* result) {
  return !__builtin_add_overflow(a, b, result);
}
template <class T>
[[nodiscard]] inline bool Subtract(T a, T b, T* result) {
  return !__builtin_sub_overflow(a, b, result);
}
template <class T>
[[nodiscard]] inline bool Multiply(T a, T b, T* result) {
  return !__builtin_mul_overflow(a, b, result);
}
// The quotient rounded down. b must not be 0.
[[nodiscard]] inline bool FloorDivide(int64_t a, int64_t b, int64_t* result) {
  if (b == -1) return Subtract<int64_t>(0, a, result);
  *result = a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
  return true;
}
// The remainder with the divisor's sign. b must not be 0.
inline int64_t FloorModulo(int64_t a, int64_t b) {
  if (b == -1) return 0;
  const int64_t r = a % b;
  return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
// `alignment` is a power of two.
template <class T>
[[nodiscard]] inline bool RoundUp(T value, T alignment, T* result) {
  if (!Add<T>(value, alignment - 1, result)) return false;
  *result &= ~static_cast<T>(alignment - 1);
  return true;
}
inline bool IsAligned(const void* pointer, size_t alignment) {
  return (reinterpret_cast<uintptr_t>(pointer) & (alignment - 1)) == 0;
}

}  // namespace um
