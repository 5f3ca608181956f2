// Prints tensors for people.
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

constexpr int64_t kShowAll = 1000;  // elements; of more, only the edges are shown
constexpr int64_t kEdge = 3;

template <class T>
T Load(const uint8_t* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

double HalfToDouble(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  const double fraction = bits & 1023;
  const double size = exponent == 31  ? (fraction > 0 ? static_cast<double>(NAN) : static_cast<double>(INFINITY))
                      : exponent == 0 ? ldexp(fraction, -24)
                                      : ldexp(fraction + 1024, exponent - 25);
  return bits & 0x8000 ? -size : size;
}

// The shortest digits that read back as the same number.
void PrintReal(double value, bool is_single) {
  char text[40];
  if (isnan(value)) {
    fputs("nan", stdout);
    return;
  }
  for (int digits = 1; digits <= 17; ++digits) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    const double back = is_single ? static_cast<double>(strtof(text, nullptr)) : strtod(text, nullptr);
    if (!(back < value) && !(back > value)) break;
  }
  fputs(text, stdout);
  if (strpbrk(text, ".ein") == nullptr) fputs(".0", stdout);
}

void PrintElement(const um_tensor& tensor, const uint8_t* at) {
  switch (tensor.dtype) {
    case UM_BOOL:
      fputs(*at != 0 ? "true" : "false", stdout);
      return;
    case UM_U8:
      printf("%u", *at);
      return;
    case UM_I8:
      printf("%d", Load<int8_t>(at));
      return;
    case UM_I16:
      printf("%d", Load<int16_t>(at));
      return;
    case UM_I32:
      printf("%" PRId32, Load<int32_t>(at));
      return;
    case UM_I64:
      printf("%" PRId64, Load<int64_t>(at));
      return;
    case UM_F16:
      PrintReal(HalfToDouble(Load<uint16_t>(at)), true);
      return;
    case UM_BF16: {
      const uint32_t bits = static_cast<uint32_t>(Load<uint16_t>(at)) << 16;
      PrintReal(static_cast<double>(Load<float>(reinterpret_cast<const uint8_t*>(&bits))), true);
      return;
    }
    case UM_F32:
      PrintReal(static_cast<double>(Load<float>(at)), true);
      return;
    case UM_F64:
      PrintReal(Load<double>(at), false);
      return;
  }
}

// One axis, whose elements are `bytes` apart in all: numbers on a line, lists below each other.
const uint8_t* PrintAxis(const um_tensor& tensor, int32_t axis, const uint8_t* at, bool all) {
  if (axis == tensor.rank) {
    PrintElement(tensor, at);
    return at + um_dtype_size(tensor.dtype);
  }
  const int64_t count = tensor.shape[axis];
  size_t step = um_dtype_size(tensor.dtype);
  for (int32_t k = axis + 1; k < tensor.rank; ++k) step *= static_cast<size_t>(tensor.shape[k]);
  putchar('[');
  for (int64_t k = 0; k < count; ++k) {
    if (k > 0) {
      putchar(',');
      if (axis + 1 == tensor.rank)
        putchar(' ');
      else
        printf("\n%*s", axis + 1, "");
    }
    if (!all && count > 2 * kEdge && k == kEdge) {
      fputs("...", stdout);
      at += step * static_cast<size_t>(count - 2 * kEdge);
      k = count - kEdge - 1;
      continue;
    }
    PrintAxis(tensor, axis + 1, at, all);
    at += step;
  }
  putchar(']');
  return at;
}

}  // namespace

void PrintTensor(const char* name, const um_tensor& tensor) {
  int64_t count = 1;
  printf("%s: %s[", name, um_dtype_name(tensor.dtype));
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    printf("%s%" PRId64, axis > 0 ? ", " : "", tensor.shape[axis]);
    count *= tensor.shape[axis];
  }
  fputs(tensor.rank > 1 && count > 0 ? "] =\n" : "] = ", stdout);
  PrintAxis(tensor, 0, static_cast<const uint8_t*>(tensor.data), count <= kShowAll);
  putchar('\n');
}

}  // namespace tool
