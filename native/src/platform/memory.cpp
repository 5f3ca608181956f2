// Blocks of memory, from aligned_alloc; large ones ask for huge pages.
#include "platform/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"

namespace um {

namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

bool Block::Allocate(size_t bytes) {
  Free();
  const size_t alignment = bytes >= 2 * kHugePage ? kHugePage : kBlockAlignment;
  size_t rounded = 0;
  if (!RoundUp<size_t>(bytes == 0 ? 1 : bytes, alignment, &rounded)) return false;
  void* memory = aligned_alloc(alignment, rounded);
  if (memory == nullptr) return false;
#if defined(MADV_HUGEPAGE)
  if (alignment == kHugePage) madvise(memory, rounded, MADV_HUGEPAGE);  // a wish: it may be refused
#endif
  data_ = static_cast<uint8_t*>(memory);
  bytes_ = bytes;
  return true;
}

bool Block::AllocateZeroed(size_t bytes) {
  if (!Allocate(bytes)) return false;
  memset(data_, 0, bytes);
  return true;
}

void Block::Free() {
  free(data_);
  data_ = nullptr;
  bytes_ = 0;
}

uint8_t* Block::Release() {
  uint8_t* data = data_;
  data_ = nullptr;
  bytes_ = 0;
  return data;
}

void Block::Adopt(uint8_t* data, size_t bytes) {
  Free();
  data_ = data;
  bytes_ = bytes;
}

}  // namespace um
