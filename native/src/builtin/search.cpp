// Finds places: of values in sorted rows, and where a mask holds.
#include "builtin/builtin.h"
#include "builtin/keys.h"

namespace um {

namespace {

// PyTorch's search halves by comparisons of floats, which NaN fails: what it gives among NaN follows from that.
template <class K>
bool Reaches(typename K::Element element, typename K::Element value, bool beyond) {
  const typename K::Key a = K::Of(element), b = K::Of(value);
  if (K::IsNan(element) || K::IsNan(value)) return false;
  return beyond ? a > b : a >= b;
}

template <class K>
struct Search {
  using Element = typename K::Element;
  static void Run(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end) {
    const int64_t n = ints[1], m = ints[2];
    const bool right = ints[3] != 0;
    for (int64_t row = begin; row < end; ++row) {
      const Element* sorted = static_cast<const Element*>(buffers[0]) + row * n;
      const Element* values = static_cast<const Element*>(buffers[1]) + row * m;
      int64_t* places = static_cast<int64_t*>(buffers[2]) + row * m;
      for (int64_t i = 0; i < m; ++i) {
        int64_t low = 0, high = n;
        while (low < high) {
          const int64_t middle = low + (high - low) / 2;
          if (Reaches<K>(sorted[middle], values[i], right)) {
            high = middle;
          } else {
            low = middle + 1;
          }
        }
        places[i] = low;
      }
    }
  }
};

}  // namespace

RowFunction SearchFunction(uint32_t dtype) { return ForDtype<Search, RowFunction>(dtype); }

void Nonzero(void* const* buffers, const int64_t* ints, int64_t* gives) {
  const uint8_t* mask = static_cast<const uint8_t*>(buffers[0]);
  int64_t* places = static_cast<int64_t*>(buffers[1]);
  const int64_t n = ints[0];
  int64_t count = 0;
  for (int64_t i = 0; i < n; ++i) {  // always written, at most at i, and written over where the mask does not hold
    places[count] = i;
    count += mask[i] != 0;
  }
  *gives = count;
}

}  // namespace um
