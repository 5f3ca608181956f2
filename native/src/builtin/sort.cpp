// Sorts rows: insertion for short ones, else by digits from the least on (radix), which keeps equal elements in order.
#include "builtin/builtin.h"
#include "builtin/keys.h"

namespace um {

namespace {

constexpr size_t kShort = 32;   // elements; up to here insertion is faster
constexpr size_t kLong = 2048;  // from here on wide digits save a pass
constexpr int kWideDigit = 11;  // bits
constexpr int kDigit = 8;
constexpr int kMostPasses = 8;

// Where the elements of each digit's values go, for all digits at once; and whether all elements share one value.
struct Histograms {
  uint32_t counts[kMostPasses << kDigit > 6 << kWideDigit ? kMostPasses << kDigit : 6 << kWideDigit];
  int width;
  int passes;

  uint32_t* of(int pass) { return counts + (static_cast<size_t>(pass) << width); }
  uint64_t mask() const { return (uint64_t{1} << width) - 1; }

  template <class KeyAt>
  void Count(size_t n, int bits, KeyAt key) {
    width = n < kLong ? kDigit : kWideDigit;
    passes = (bits + width - 1) / width;
    memset(counts, 0, (static_cast<size_t>(passes) << width) * sizeof counts[0]);
    for (size_t i = 0; i < n; ++i) {
      uint64_t rest = key(i);
      for (int pass = 0; pass < passes; ++pass, rest >>= width) ++of(pass)[rest & mask()];
    }
  }
  // Counts become first places. False where the pass moves nothing.
  bool Start(int pass, size_t n, uint64_t any_key) {
    uint32_t* table = of(pass);
    if (table[any_key >> (pass * width) & mask()] == n) return false;
    uint32_t next = 0;
    for (size_t k = 0; k <= mask(); ++k) {
      const uint32_t count = table[k];
      table[k] = next;
      next += count;
    }
    return true;
  }
};

// Keys with places in one word each; `a` has them, `b` is as large. Returns where the sorted ones are.
uint64_t* SortPacked(uint64_t* a, uint64_t* b, size_t n, int bits) {
  if (n <= kShort) {
    for (size_t i = 1; i < n; ++i) {
      const uint64_t moved = a[i];
      size_t at = i;
      for (; at > 0 && a[at - 1] > moved; --at) a[at] = a[at - 1];
      a[at] = moved;
    }
    return a;
  }
  Histograms h;
  h.Count(n, bits, [a](size_t i) { return a[i] >> kPlaceBits; });
  for (int pass = 0; pass < h.passes; ++pass) {
    if (!h.Start(pass, n, a[0] >> kPlaceBits)) continue;
    uint32_t* next = h.of(pass);
    const int shift = kPlaceBits + pass * h.width;
    for (size_t i = 0; i < n; ++i) b[next[a[i] >> shift & h.mask()]++] = a[i];
    uint64_t* swapped = a;
    a = b;
    b = swapped;
  }
  return a;
}

// Keys of 64 bits, with places beside them.
struct Wide {
  uint64_t* keys;
  int64_t* places;
};

Wide SortWide(Wide a, Wide b, size_t n) {
  if (n <= kShort) {
    for (size_t i = 1; i < n; ++i) {
      const uint64_t key = a.keys[i];
      const int64_t place = a.places[i];
      size_t at = i;
      for (; at > 0 && a.keys[at - 1] > key; --at) {
        a.keys[at] = a.keys[at - 1];
        a.places[at] = a.places[at - 1];
      }
      a.keys[at] = key;
      a.places[at] = place;
    }
    return a;
  }
  Histograms h;
  h.Count(n, 64, [a](size_t i) { return a.keys[i]; });
  for (int pass = 0; pass < h.passes; ++pass) {
    if (!h.Start(pass, n, a.keys[0])) continue;
    uint32_t* next = h.of(pass);
    for (size_t i = 0; i < n; ++i) {
      const uint32_t to = next[a.keys[i] >> (pass * h.width) & h.mask()]++;
      b.keys[to] = a.keys[i];
      b.places[to] = a.places[i];
    }
    const Wide swapped = a;
    a = b;
    b = swapped;
  }
  return a;
}

template <class K>
void SortRow(const typename K::Element* x, typename K::Element* values, int64_t* places, typename K::Element* keys,
             int64_t* order, size_t n, typename K::Key flip) {
  if constexpr (sizeof(typename K::Key) == 8) {
    const Wide a = {reinterpret_cast<uint64_t*>(values), places}, b = {reinterpret_cast<uint64_t*>(keys), order};
    for (size_t i = 0; i < n; ++i) {
      a.keys[i] = K::Of(x[i]) ^ flip;
      a.places[i] = static_cast<int64_t>(i);
    }
    const Wide sorted = SortWide(a, b, n);
    for (size_t i = 0; i < n; ++i) {
      places[i] = sorted.places[i];
      values[i] = x[places[i]];
    }
  } else {
    uint64_t* a = reinterpret_cast<uint64_t*>(places);
    for (size_t i = 0; i < n; ++i) a[i] = Packed<K>(x[i], i, flip);
    const uint64_t* sorted = SortPacked(a, reinterpret_cast<uint64_t*>(order), n, sizeof(typename K::Key) * 8);
    for (size_t i = 0; i < n; ++i) {
      const uint32_t place = PlaceOf(sorted[i]);
      values[i] = x[place];
      places[i] = place;
    }
  }
}

template <class K>
struct Sort {
  using Element = typename K::Element;
  static void Run(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
    const int64_t n = ints[1];
    for (int64_t row = begin; row < end; ++row) {
      const int64_t at = row * n;
      SortRow<K>(static_cast<const Element*>(buffers[0]) + at, static_cast<Element*>(buffers[1]) + at,
                 static_cast<int64_t*>(buffers[2]) + at, static_cast<Element*>(buffers[3]) + at,
                 static_cast<int64_t*>(buffers[4]) + at, static_cast<size_t>(n), FlipOf<K>(ints[2]));
    }
  }
};

}  // namespace

RowFunction SortFunction(uint32_t dtype) { return ForDtype<Sort, RowFunction>(dtype); }

}  // namespace um
