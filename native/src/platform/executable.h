// Memory that holds machine code.
#pragma once

#include "base/status.h"

namespace um {

// A copy of machine code in memory of its own: first written, then made executable and read-only.
class Executable {
 public:
  Executable() = default;
  Executable(const Executable&) = delete;
  Executable& operator=(const Executable&) = delete;
  ~Executable();

  [[nodiscard]] um_status Load(const uint8_t* code, size_t bytes, um_error* error);
  const uint8_t* data() const { return static_cast<const uint8_t*>(base_); }

 private:
  void* base_ = nullptr;
  size_t bytes_ = 0;
};

}  // namespace um
