// A run of elements that somebody else owns.
#pragma once

#include <stddef.h>

namespace um {

template <class T>
class Span {
 public:
  constexpr Span() = default;
  constexpr Span(T* data, size_t size) : data_(data), size_(size) {}

  T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t k) const { return data_[k]; }
  T* begin() const { return data_; }
  T* end() const { return data_ + size_; }
  Span part(size_t first, size_t count) const { return Span(data_ + first, count); }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace um
