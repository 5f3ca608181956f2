// SHA-256, in plain C++ and with the SHA instructions of x86 processors.
#include "base/sha256.h"

#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace um {

namespace {

// First 32 bits of the fractional parts of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
alignas(64) constexpr uint32_t kRound[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

constexpr uint32_t Rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

uint32_t LoadBigEndian(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 24 | static_cast<uint32_t>(p[1]) << 16 | static_cast<uint32_t>(p[2]) << 8 |
         p[3];
}

void PlainBlock(uint32_t state[8], const uint8_t* data) {
  uint32_t w[64];
  for (int t = 0; t < 16; ++t) w[t] = LoadBigEndian(data + 4 * t);
  for (int t = 16; t < 64; ++t) {
    const uint32_t s0 = Rotate(w[t - 15], 7) ^ Rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
    const uint32_t s1 = Rotate(w[t - 2], 17) ^ Rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
    w[t] = w[t - 16] + s0 + w[t - 7] + s1;
  }
  uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
  uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
  for (int t = 0; t < 64; ++t) {
    const uint32_t s1 = Rotate(e, 6) ^ Rotate(e, 11) ^ Rotate(e, 25);
    const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRound[t] + w[t];
    const uint32_t s0 = Rotate(a, 2) ^ Rotate(a, 13) ^ Rotate(a, 22);
    const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e, e = d + t1, d = c, c = b, b = a, a = t1 + t2;
  }
  const uint32_t sums[8] = {a, b, c, d, e, f, g, h};
  for (int k = 0; k < 8; ++k) state[k] += sums[k];
}

#if defined(__x86_64__)

// The instructions hold the state as (a b e f) and (c d g h), highest word first, and do two rounds each.
__attribute__((target("sha,sse4.1,ssse3"))) void AcceleratedBlocks(uint32_t state[8], const uint8_t* data,
                                                                   size_t count) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bll, 0x0405060700010203ll);
  const auto word = [state](int k) { return static_cast<int>(state[k]); };
  __m128i abef = _mm_set_epi32(word(0), word(1), word(4), word(5));
  __m128i cdgh = _mm_set_epi32(word(2), word(3), word(6), word(7));
  for (; count > 0; --count, data += 64) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int t = 0; t < 4; ++t) {
      w[t] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 16 * t)), swap);
    }
    for (int t = 0; t < 16; ++t) {
      const __m128i round = _mm_load_si128(reinterpret_cast<const __m128i*>(kRound + 4 * t));
      const __m128i words = _mm_add_epi32(w[t & 3], round);
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, words);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(words, 0x0E));
      if (t < 12) {  // the schedule: four new words in place of the oldest four
        const __m128i partial = _mm_sha256msg1_epu32(w[t & 3], w[(t + 1) & 3]);
        const __m128i middle = _mm_alignr_epi8(w[(t + 3) & 3], w[(t + 2) & 3], 4);
        w[t & 3] = _mm_sha256msg2_epu32(_mm_add_epi32(partial, middle), w[(t + 3) & 3]);
      }
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  alignas(16) uint32_t x[4], y[4];
  _mm_store_si128(reinterpret_cast<__m128i*>(x), abef);
  _mm_store_si128(reinterpret_cast<__m128i*>(y), cdgh);
  const uint32_t result[8] = {x[3], x[2], y[3], y[2], x[1], x[0], y[1], y[0]};
  memcpy(state, result, sizeof result);
}

#endif

}  // namespace

Sha256::Sha256(bool accelerated) : accelerated_(accelerated) {
  // First 32 bits of the fractional parts of the square roots of the first 8 primes (FIPS 180-4, 5.3.3).
  const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                               0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  memcpy(state_, initial, sizeof state_);
}

void Sha256::Blocks(const uint8_t* data, size_t count) {
#if defined(__x86_64__)
  if (accelerated_) {
    AcceleratedBlocks(state_, data, count);
    return;
  }
#endif
  for (; count > 0; --count, data += 64) PlainBlock(state_, data);
}

void Sha256::Update(const void* data, size_t bytes) {
  if (bytes == 0) return;
  const uint8_t* from = static_cast<const uint8_t*>(data);
  const size_t held = bytes_ % 64;
  bytes_ += bytes;
  if (held > 0) {
    const size_t taken = bytes < 64 - held ? bytes : 64 - held;
    memcpy(rest_ + held, from, taken);
    from += taken, bytes -= taken;
    if (held + taken < 64) return;
    Blocks(rest_, 1);
  }
  Blocks(from, bytes / 64);
  memcpy(rest_, from + bytes / 64 * 64, bytes % 64);
}

void Sha256::Finish(uint8_t digest[kDigestBytes]) {
  const uint64_t bits = bytes_ * 8;
  const uint8_t padding[64] = {0x80};
  Update(padding, 1 + (119 - bytes_ % 64) % 64);
  uint8_t length[8];
  for (int k = 0; k < 8; ++k) length[k] = static_cast<uint8_t>(bits >> (56 - 8 * k));
  Update(length, 8);
  for (size_t k = 0; k < kDigestBytes; ++k) digest[k] = static_cast<uint8_t>(state_[k / 4] >> (24 - 8 * (k % 4)));
}

void PrintDigest(const uint8_t digest[kDigestBytes], char text[kDigestText]) {
  const char* digits = "0123456789abcdef";
  memcpy(text, "sha256:", 7);
  for (size_t k = 0; k < kDigestBytes; ++k) {
    text[7 + 2 * k] = digits[digest[k] >> 4];
    text[8 + 2 * k] = digits[digest[k] & 15];
  }
  text[kDigestText - 1] = '\0';
}

namespace {

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

}  // namespace

bool ParseDigest(const char* text, uint8_t digest[kDigestBytes]) {
  if (strncmp(text, "sha256:", 7) != 0 || strlen(text) != kDigestText - 1) return false;
  for (size_t k = 0; k < kDigestBytes; ++k) {
    const int high = HexDigit(text[7 + 2 * k]), low = HexDigit(text[8 + 2 * k]);
    if (high < 0 || low < 0) return false;
    digest[k] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

}  // namespace um
