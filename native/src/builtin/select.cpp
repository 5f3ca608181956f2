// The first elements of rows, or the k-th, without sorting the rest.
#include <algorithm>

#include "builtin/builtin.h"
#include "builtin/keys.h"

namespace um {

namespace {

// What candidates are, and how they compare. Short keys are packed with their places into a word; long ones are looked
// up by the place.
template <class K, bool kWide = sizeof(typename K::Key) == 8>
struct Candidates {
  const typename K::Element* x;
  typename K::Key flip;
  uint64_t Of(size_t place) const { return Packed<K>(x[place], place, flip); }
  bool operator()(uint64_t a, uint64_t b) const { return a < b; }
  static size_t Place(uint64_t candidate) { return PlaceOf(candidate); }
  typename K::Key KeyOf(uint64_t candidate) const { return static_cast<typename K::Key>(candidate >> kPlaceBits); }
};
template <class K>
struct Candidates<K, true> {
  const typename K::Element* x;
  typename K::Key flip;
  uint64_t Of(size_t place) const { return place; }
  bool operator()(uint64_t a, uint64_t b) const {
    const uint64_t first = K::Of(x[a]) ^ flip, second = K::Of(x[b]) ^ flip;
    return first != second ? first < second : a < b;
  }
  static size_t Place(uint64_t candidate) { return static_cast<size_t>(candidate); }
  typename K::Key KeyOf(uint64_t candidate) const { return K::Of(x[candidate]) ^ flip; }
};

constexpr size_t kBlock = 32;  // elements that are left together

// Does one of a block's elements stand before the limit, or with it?
template <class K>
bool AnyWithin(const typename K::Element* x, typename K::Key flip, typename K::Key limit) {
  unsigned any = 0;
  for (size_t i = 0; i < kBlock; ++i) any |= static_cast<typename K::Key>(K::Of(x[i]) ^ flip) <= limit ? 1u : 0u;
  return any != 0;
}

// Brings the first k of n elements, unordered, to the front of `room`, which holds 2 k. Most elements stand behind the
// k-th of those seen so far, and are left at once.
template <class K>
void Gather(const Candidates<K>& candidates, size_t n, size_t k, uint64_t* room) {
  size_t count = 0;
  bool limited = false;
  uint64_t limit = 0;
  for (size_t i = 0; i < n; ++i) {
    if (limited && i % kBlock == 0) {
      const typename K::Key key = candidates.KeyOf(limit);
      while (n - i > kBlock && !AnyWithin<K>(candidates.x + i, candidates.flip, key)) i += kBlock;
    }
    const uint64_t candidate = candidates.Of(i);
    if (limited && !candidates(candidate, limit)) continue;
    room[count++] = candidate;
    if (count < 2 * k) continue;
    std::nth_element(room, room + k - 1, room + count, candidates);
    count = k;
    limit = room[k - 1];
    limited = true;
  }
  if (count > k) std::nth_element(room, room + k - 1, room + count, candidates);
}

template <class K>
struct Topk {
  using Element = typename K::Element;
  static void Run(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
    const size_t n = static_cast<size_t>(ints[1]), k = static_cast<size_t>(ints[2]);
    if (k == 0) return;
    for (size_t row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
      const Candidates<K> candidates = {static_cast<const Element*>(buffers[0]) + row * n, FlipOf<K>(ints[3])};
      uint64_t* room = static_cast<uint64_t*>(buffers[3]) + row * 2 * k;
      Gather<K>(candidates, n, k, room);
      std::sort(room, room + k, candidates);
      Element* values = static_cast<Element*>(buffers[1]) + row * k;
      int64_t* places = static_cast<int64_t*>(buffers[2]) + row * k;
      for (size_t i = 0; i < k; ++i) {
        const size_t place = candidates.Place(room[i]);
        places[i] = static_cast<int64_t>(place);
        values[i] = candidates.x[place];
      }
    }
  }
};

template <class K>
struct Kth {
  using Element = typename K::Element;
  static void Run(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
    const size_t n = static_cast<size_t>(ints[1]), k = static_cast<size_t>(ints[2]);
    for (size_t row = static_cast<size_t>(begin); row < static_cast<size_t>(end); ++row) {
      const Candidates<K> candidates = {static_cast<const Element*>(buffers[0]) + row * n, FlipOf<K>(0)};
      uint64_t* room = static_cast<uint64_t*>(buffers[3]) + row * n;
      for (size_t i = 0; i < n; ++i) room[i] = candidates.Of(i);
      std::nth_element(room, room + k - 1, room + n, candidates);
      const size_t place = candidates.Place(room[k - 1]);
      static_cast<int64_t*>(buffers[2])[row] = static_cast<int64_t>(place);
      static_cast<Element*>(buffers[1])[row] = candidates.x[place];
    }
  }
};

}  // namespace

RowFunction TopkFunction(uint32_t dtype) { return ForDtype<Topk, RowFunction>(dtype); }
RowFunction KthFunction(uint32_t dtype) { return ForDtype<Kth, RowFunction>(dtype); }

}  // namespace um
