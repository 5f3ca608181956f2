// Keys: unsigned integers in the order of the elements, so that a sort compares integers alone. NaN is the largest
// value, and -0 equals 0, as in PyTorch.
#pragma once

#include <stdint.h>
#include <string.h>

#include "unmoor.h"

namespace um {

// Integers of `Bits` bits; where they have a sign, it is turned.
template <class T, class Bits, bool kSigned>
struct IntegerKey {
  using Element = T;
  using Key = Bits;
  static bool IsNan(T) { return false; }
  static Key Of(T x) {
    return static_cast<Key>(static_cast<Bits>(x) ^ (kSigned ? Bits{1} << (sizeof(T) * 8 - 1) : Bits{0}));
  }
};

// IEEE floats, given as their bits: negative ones are turned over, NaN comes last.
template <class Bits, Bits kInfinity>
struct FloatKey {
  using Element = Bits;
  using Key = Bits;
  static constexpr Bits kSign = static_cast<Bits>(Bits{1} << (sizeof(Bits) * 8 - 1));
  // Signs come in no order that a processor could predict: no branches here.
  static Bits AllIf(bool holds) { return static_cast<Bits>(Bits{0} - static_cast<Bits>(holds)); }
  static bool IsNan(Bits x) { return (x & static_cast<Bits>(~kSign)) > kInfinity; }
  static Key Of(Bits x) {
    const Bits magnitude = static_cast<Bits>(x & static_cast<Bits>(~kSign));
    const Bits number = static_cast<Bits>(x & AllIf(magnitude != 0));
    return static_cast<Bits>((number ^ (AllIf((number & kSign) != 0) | kSign)) | AllIf(magnitude > kInfinity));
  }
};

using KeyBool = IntegerKey<uint8_t, uint8_t, false>;
using KeyI8 = IntegerKey<int8_t, uint8_t, true>;
using KeyI16 = IntegerKey<int16_t, uint16_t, true>;
using KeyI32 = IntegerKey<int32_t, uint32_t, true>;
using KeyI64 = IntegerKey<int64_t, uint64_t, true>;
using KeyF16 = FloatKey<uint16_t, 0x7C00>;
using KeyBf16 = FloatKey<uint16_t, 0x7F80>;
using KeyF32 = FloatKey<uint32_t, 0x7F800000>;
using KeyF64 = FloatKey<uint64_t, 0x7FF0000000000000>;

// A template that is instantiated for the keys of a dtype.
template <template <class> class Function, class Pointer>
Pointer ForDtype(uint32_t dtype) {
  switch (static_cast<um_dtype>(dtype)) {
    case UM_BOOL:
    case UM_U8:
      return Function<KeyBool>::Run;
    case UM_I8:
      return Function<KeyI8>::Run;
    case UM_I16:
      return Function<KeyI16>::Run;
    case UM_I32:
      return Function<KeyI32>::Run;
    case UM_I64:
      return Function<KeyI64>::Run;
    case UM_F16:
      return Function<KeyF16>::Run;
    case UM_BF16:
      return Function<KeyBf16>::Run;
    case UM_F32:
      return Function<KeyF32>::Run;
    case UM_F64:
      return Function<KeyF64>::Run;
  }
  return nullptr;
}

// A key of at most 32 bits with the place of its element: they compare as the key, then as the place.
constexpr int kPlaceBits = 32;
template <class K>
inline uint64_t Packed(typename K::Element x, uint64_t place, typename K::Key flip) {
  return uint64_t{static_cast<typename K::Key>(K::Of(x) ^ flip)} << kPlaceBits | place;
}
inline uint32_t PlaceOf(uint64_t packed) { return static_cast<uint32_t>(packed); }

// What turns an ascending order of keys into a descending one.
template <class K>
inline typename K::Key FlipOf(int64_t descending) {
  return static_cast<typename K::Key>(descending != 0 ? ~typename K::Key{0} : typename K::Key{0});
}

}  // namespace um
