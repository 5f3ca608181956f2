// Asks the processor by cpuid, and by xgetbv whether the operating system saves its wide registers.
#include "base/cpu.h"

#include <stdint.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace um {

#if defined(__x86_64__)

namespace {

struct Leaf {
  uint32_t a = 0, b = 0, c = 0, d = 0;
};

// On a virtual machine each question costs microseconds.
Leaf Ask(uint32_t leaf) {
  Leaf r;
  __cpuid_count(leaf, 0, r.a, r.b, r.c, r.d);
  return r;
}

uint64_t EnabledState() {
  uint32_t low = 0, high = 0;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return static_cast<uint64_t>(high) << 32 | low;
}

constexpr bool Has(uint32_t word, uint32_t bits) { return (word & bits) == bits; }

}  // namespace

Cpu DetectCpu() {
  const Leaf one = Ask(1), seven = Ask(0).a >= 7 ? Ask(7) : Leaf(), extended = Ask(0x80000001u);
  Cpu cpu;
  cpu.sha = Has(seven.b, 1u << 29) && Has(one.c, bit_SSE4_1 | bit_SSSE3);
  if (!Has(one.c, bit_OSXSAVE)) return cpu;
  const uint64_t state = EnabledState();
  const uint32_t lzcnt = 1u << 5;  // of leaf 0x80000001, ecx
  cpu.x86_64_v3 = (state & 0x6) == 0x6 &&
                  Has(one.c, bit_SSE3 | bit_SSSE3 | bit_SSE4_1 | bit_SSE4_2 | bit_POPCNT | bit_CMPXCHG16B | bit_AVX |
                                 bit_FMA | bit_F16C | bit_MOVBE) &&
                  Has(seven.b, bit_AVX2 | bit_BMI | bit_BMI2) && Has(extended.c, lzcnt | bit_LAHF_LM);
  cpu.x86_64_v4 = cpu.x86_64_v3 && (state & 0xE6) == 0xE6 &&
                  Has(seven.b, bit_AVX512F | bit_AVX512DQ | bit_AVX512CD | bit_AVX512BW | bit_AVX512VL);
  return cpu;
}

const char* CpuName(const Cpu& cpu) { return cpu.x86_64_v4 ? "x86-64-v4" : cpu.x86_64_v3 ? "x86-64-v3" : "x86-64"; }

#else

Cpu DetectCpu() { return Cpu(); }

const char* CpuName(const Cpu&) {
#if defined(__aarch64__)
  return "aarch64";
#else
  return "of an architecture that files have no code for yet";
#endif
}

#endif

}  // namespace um
