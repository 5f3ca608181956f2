// Copies strided tensors into contiguous memory, and back.
#pragma once

#include "unmoor.h"

namespace um {

// Are the elements contiguous, the last axis fastest? Strides of axes of one element, or of no elements, do not matter.
bool IsContiguous(const um_tensor& tensor);

// Copies the elements, of `size` bytes each (1, 2, 4 or 8), in row-major order. Strides may be zero or negative.
void Pack(const um_tensor& tensor, size_t size, void* to);

// The other way: fills the tensor with the elements at `from`. No two of its elements share memory.
void Unpack(const void* from, size_t size, const um_tensor& tensor);

}  // namespace um
