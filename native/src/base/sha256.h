// SHA-256 (FIPS 180-4).
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace um {

constexpr size_t kDigestBytes = 32;
constexpr size_t kDigestText = 7 + 64 + 1;  // "sha256:", hex digits, a zero

class Sha256 {
 public:
  // With `accelerated`, the processor's own instructions are used: it must have them (Cpu::sha).
  explicit Sha256(bool accelerated);
  void Update(const void* data, size_t bytes);
  // Writes the digest. Afterwards the object is spent.
  void Finish(uint8_t digest[kDigestBytes]);

 private:
  void Blocks(const uint8_t* data, size_t count);

  uint32_t state_[8];
  uint64_t bytes_ = 0;
  uint8_t rest_[64];
  bool accelerated_;
};

// "sha256:..." of a digest.
void PrintDigest(const uint8_t digest[kDigestBytes], char text[kDigestText]);
// Reads that text back, in either case of letters; false for any other text.
[[nodiscard]] bool ParseDigest(const char* text, uint8_t digest[kDigestBytes]);

}  // namespace um
