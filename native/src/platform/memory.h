// Memory from the operating system: the only allocator of the runtime.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace um {

constexpr size_t kBlockAlignment = 64;  // a cache line, and the widest vector register

// Memory that is aligned to kBlockAlignment and owned: freed with the object.
class Block {
 public:
  Block() = default;
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  ~Block() { Free(); }

  // Drops what it holds and takes `bytes`, with any contents; false where there is no memory, and then it is empty.
  [[nodiscard]] bool Allocate(size_t bytes);
  // The same, zeroed.
  [[nodiscard]] bool AllocateZeroed(size_t bytes);
  // Allocate(bytes), unless it has room for them already.
  [[nodiscard]] bool Reserve(size_t bytes) { return bytes <= bytes_ || Allocate(bytes); }
  void Free();
  // Hands the memory to the caller, who returns it by adopting it again.
  uint8_t* Release();
  void Adopt(uint8_t* data, size_t bytes);

  uint8_t* data() const { return data_; }
  size_t bytes() const { return bytes_; }

 private:
  uint8_t* data_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace um
