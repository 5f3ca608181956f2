// Machine code: which of the file's targets this processor can run, and the code in memory.
#pragma once

#include "archive/archive.h"
#include "base/cpu.h"
#include "platform/executable.h"

namespace um {

// `buffers` and `ints` in the order of the kernel's own; iterations [begin, end) of its outermost loop.
using KernelFunction = void (*)(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end);

class Code {
 public:
  // Chooses and loads. A file without machine code for this processor, or an untrusted one, is no failure here: `Check`
  // then says why nothing can run.
  [[nodiscard]] um_status Load(const Archive& archive, const Cpu& cpu, size_t kernels, bool trusted, um_error* error);

  // UM_OK, UM_NOT_TRUSTED or UM_NO_CODE_FOR_CPU with its message in `error`.
  [[nodiscard]] um_status Check(um_error* error) const;
  KernelFunction kernel(uint32_t number) const;
  // What `um_model_engine` says.
  const char* engine() const { return engine_; }

 private:
  void ListTargets(const Archive& archive);

  um_status status_ = UM_OK;
  bool refused_ = false;  // by the operating system
  Executable memory_;
  const format::CodeEntryRow* entries_ = nullptr;
  char targets_[160];  // of the file, for messages
  char engine_[256];
  const char* cpu_ = "";
};

// The name of a target's code; null for one that this runtime does not know.
const char* TargetName(uint32_t code);

}  // namespace um
