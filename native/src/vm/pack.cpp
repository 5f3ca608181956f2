// Copies strided tensors, the innermost axis in a loop of its own.
#include "vm/pack.h"

#include <stdint.h>
#include <string.h>

namespace um {

namespace {

template <size_t kSize>
uint8_t* CopyRow(const uint8_t* from, int64_t stride, int64_t count, uint8_t* to) {
  for (int64_t k = 0; k < count; ++k) {
    memcpy(to, from, kSize);
    from += stride, to += kSize;
  }
  return to;
}

uint8_t* CopyRow(const uint8_t* from, int64_t stride, int64_t count, size_t size, uint8_t* to) {
  switch (size) {
    case 1:
      return CopyRow<1>(from, stride, count, to);
    case 2:
      return CopyRow<2>(from, stride, count, to);
    case 4:
      return CopyRow<4>(from, stride, count, to);
    default:
      return CopyRow<8>(from, stride, count, to);
  }
}

}  // namespace

bool IsContiguous(const um_tensor& tensor) {
  if (tensor.strides == nullptr) return true;
  int64_t expected = 1;
  bool contiguous = true;
  for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] == 0) return true;
    if (tensor.shape[axis] != 1 && tensor.strides[axis] != expected) contiguous = false;
    expected *= tensor.shape[axis];
  }
  return contiguous;
}

void Pack(const um_tensor& tensor, size_t size, void* to) {
  const uint8_t* from = static_cast<const uint8_t*>(tensor.data);
  uint8_t* at = static_cast<uint8_t*>(to);
  const int64_t width = static_cast<int64_t>(size);
  if (tensor.rank == 0) {
    memcpy(at, from, size);
    return;
  }
  int64_t strides[UM_MAX_RANK];
  int64_t expected = width;
  for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] == 0) return;
    strides[axis] = tensor.strides != nullptr ? tensor.strides[axis] * width : expected;
    expected *= tensor.shape[axis];
  }
  int64_t index[UM_MAX_RANK] = {};
  const int32_t inner = tensor.rank - 1;
  for (;;) {
    at = CopyRow(from, strides[inner], tensor.shape[inner], size, at);
    int32_t axis = inner - 1;
    for (; axis >= 0; --axis) {
      from += strides[axis];
      if (++index[axis] < tensor.shape[axis]) break;
      from -= strides[axis] * tensor.shape[axis];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

}  // namespace um
