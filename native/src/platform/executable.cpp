// Executable memory by mmap and mprotect: never writable and executable at once.
#include "platform/executable.h"

#include <string.h>
#include <sys/mman.h>

namespace um {

Executable::~Executable() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

um_status Executable::Load(const uint8_t* code, size_t bytes, um_error* error) {
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return OutOfMemory(error, bytes);
  base_ = base;
  bytes_ = bytes;
  memcpy(base, code, bytes);
  if (mprotect(base, bytes, PROT_READ | PROT_EXEC) != 0) {
    return Fail(error, UM_NO_CODE_FOR_CPU, "the operating system does not allow this process to run new machine code");
  }
  __builtin___clear_cache(static_cast<char*>(base), static_cast<char*>(base) + bytes);
  return UM_OK;
}

}  // namespace um
