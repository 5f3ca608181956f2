// What the processor that we run on can do.
#pragma once

namespace um {

// Feature levels as the x86-64 psABI defines them; all false on other processors.
struct Cpu {
  bool x86_64_v3 = false;
  bool x86_64_v4 = false;
  bool sha = false;  // instructions for SHA-256, with SSE4.1
};

Cpu DetectCpu();

// "x86-64-v4", "x86-64" (older than v3) or the architecture's name.
const char* CpuName(const Cpu& cpu);

}  // namespace um
