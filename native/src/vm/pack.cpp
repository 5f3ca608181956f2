// Copies strided tensors, and into them, the innermost axis in a loop of its own.
#include "vm/pack.h"

#include <stdint.h>
#include <string.h>

namespace um {

namespace {

template <size_t kSize>
void CopyRow(const uint8_t* from, int64_t from_stride, int64_t count, uint8_t* to, int64_t to_stride) {
  for (int64_t k = 0; k < count; ++k) {
    memcpy(to, from, kSize);
    from += from_stride, to += to_stride;
  }
}

void CopyRow(const uint8_t* from, int64_t from_stride, int64_t count, size_t size, uint8_t* to, int64_t to_stride) {
  switch (size) {
    case 1:
      return CopyRow<1>(from, from_stride, count, to, to_stride);
    case 2:
      return CopyRow<2>(from, from_stride, count, to, to_stride);
    case 4:
      return CopyRow<4>(from, from_stride, count, to, to_stride);
    default:
      return CopyRow<8>(from, from_stride, count, to, to_stride);
  }
}

// Walks the tensor row by row; `row(at, stride, count, packed)` copies one, `packed` bytes into the contiguous side.
template <class Row>
void ForEachRow(const um_tensor& tensor, size_t size, Row row) {
  uint8_t* at = static_cast<uint8_t*>(tensor.data);
  const int64_t width = static_cast<int64_t>(size);
  if (tensor.rank == 0) return row(at, width, 1, 0);
  int64_t strides[UM_MAX_RANK];
  int64_t expected = width;
  for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] == 0) return;
    strides[axis] = tensor.strides != nullptr ? tensor.strides[axis] * width : expected;
    expected *= tensor.shape[axis];
  }
  int64_t index[UM_MAX_RANK] = {};
  const int32_t inner = tensor.rank - 1;
  for (int64_t packed = 0;; packed += tensor.shape[inner] * width) {
    row(at, strides[inner], tensor.shape[inner], packed);
    int32_t axis = inner - 1;
    for (; axis >= 0; --axis) {
      at += strides[axis];
      if (++index[axis] < tensor.shape[axis]) break;
      at -= strides[axis] * tensor.shape[axis];
      index[axis] = 0;
    }
    if (axis < 0) return;
  }
}

}  // namespace

bool IsContiguous(const um_tensor& tensor) {
  if (tensor.strides == nullptr) return true;
  uint64_t expected = 1;  // may wrap: the sizes are the caller's
  bool contiguous = true;
  for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
    if (tensor.shape[axis] == 0) return true;
    if (tensor.shape[axis] != 1 && static_cast<uint64_t>(tensor.strides[axis]) != expected) contiguous = false;
    expected *= static_cast<uint64_t>(tensor.shape[axis]);
  }
  return contiguous;
}

void Pack(const um_tensor& tensor, size_t size, void* to) {
  uint8_t* target = static_cast<uint8_t*>(to);
  const int64_t width = static_cast<int64_t>(size);
  ForEachRow(tensor, size, [=](const uint8_t* at, int64_t stride, int64_t count, int64_t packed) {
    CopyRow(at, stride, count, size, target + packed, width);
  });
}

void Unpack(const void* from, size_t size, const um_tensor& tensor) {
  const uint8_t* source = static_cast<const uint8_t*>(from);
  const int64_t width = static_cast<int64_t>(size);
  ForEachRow(tensor, size, [=](uint8_t* at, int64_t stride, int64_t count, int64_t packed) {
    CopyRow(source + packed, width, count, size, at, stride);
  });
}

}  // namespace um
