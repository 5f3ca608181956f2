// The ground: digests, arithmetic, messages.
#include <string.h>

#include <string>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/sha256.h"
#include "base/status.h"
#include "doctest.h"

namespace {

std::string DigestOf(const std::string& text, bool accelerated, size_t step) {
  um::Sha256 sha(accelerated);
  for (size_t at = 0; at < text.size(); at += step) {
    sha.Update(text.data() + at, text.size() - at < step ? text.size() - at : step);
  }
  uint8_t digest[um::kDigestBytes];
  sha.Finish(digest);
  char printed[um::kDigestText];
  um::PrintDigest(digest, printed);
  return printed;
}

}  // namespace

TEST_CASE("SHA-256 gives the digests of FIPS 180-4, plain and accelerated") {
  const std::string million(1000000, 'a');
  const std::string two_blocks = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
  for (int accelerated = 0; accelerated <= (um::DetectCpu().sha ? 1 : 0); ++accelerated) {
    for (size_t step : {size_t{1}, size_t{63}, size_t{64}, size_t{100}, size_t{1000000}}) {
      CHECK(DigestOf("", accelerated, step) ==
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
      CHECK(DigestOf("abc", accelerated, step) ==
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
      CHECK(DigestOf(two_blocks, accelerated, step) ==
            "sha256:248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
      CHECK(DigestOf(million, accelerated, step) ==
            "sha256:cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    }
  }
}

TEST_CASE("digests are read back, and nothing else is") {
  uint8_t digest[um::kDigestBytes];
  const std::string text = "sha256:" + std::string(63, 'a') + "F";
  REQUIRE(um::ParseDigest(text.c_str(), digest));
  CHECK(digest[0] == 0xaa);
  CHECK(digest[31] == 0xaf);
  CHECK_FALSE(um::ParseDigest(text.substr(1).c_str(), digest));
  CHECK_FALSE(um::ParseDigest((text + "0").c_str(), digest));
  CHECK_FALSE(um::ParseDigest(("sha256:" + std::string(64, 'g')).c_str(), digest));
  CHECK_FALSE(um::ParseDigest("", digest));
}

TEST_CASE("division rounds down, and overflow is told") {
  const int64_t pairs[][4] = {{7, 2, 3, 1},    {-7, 2, -4, 1}, {7, -2, -4, -1},
                              {-7, -2, 3, -1}, {6, 3, 2, 0},   {INT64_MIN, 1, INT64_MIN, 0},
                              {5, -1, -5, 0}};
  for (const auto& p : pairs) {
    int64_t quotient = 0;
    REQUIRE(um::FloorDivide(p[0], p[1], &quotient));
    CHECK(quotient == p[2]);
    CHECK(um::FloorModulo(p[0], p[1]) == p[3]);
  }
  int64_t result = 0;
  CHECK_FALSE(um::FloorDivide(INT64_MIN, -1, &result));
  CHECK(um::FloorModulo(INT64_MIN, -1) == 0);
  CHECK_FALSE(um::Add<int64_t>(INT64_MAX, 1, &result));
  CHECK_FALSE(um::Multiply<int64_t>(INT64_MAX, 2, &result));
  size_t rounded = 0;
  REQUIRE(um::RoundUp<size_t>(65, 64, &rounded));
  CHECK(rounded == 128);
  CHECK_FALSE(um::RoundUp<size_t>(SIZE_MAX, 64, &rounded));
}

TEST_CASE("a message that is too long ends with a whole character") {
  um_error error;
  for (size_t shift = 0; shift < 4; ++shift) {
    const std::string text = std::string(shift, 'x') + [] {
      std::string many;
      for (int k = 0; k < 600; ++k) many += "\xE2\x82\xAC";  // the euro sign
      return many;
    }();
    CHECK(um::Fail(&error, UM_DAMAGED, "%s", text.c_str()) == UM_DAMAGED);
    const std::string said = error.message;
    CHECK(said.size() > UM_ERROR_LENGTH - 5);
    CHECK((said.size() - shift) % 3 == 0);
  }
  CHECK(um::Fail(nullptr, UM_TOO_LARGE, "nobody listens") == UM_TOO_LARGE);
}
