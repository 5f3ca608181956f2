// A growing array of plain values. The command line ends where there is no memory left.
#pragma once

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace tool {

[[noreturn]] inline void EndWithoutMemory() {
  fputs("um: out of memory\n", stderr);
  exit(1);
}

// Memory that lives until the command ends.
inline void* Take(size_t bytes) {
  struct alignas(16) Kept {
    Kept* before;
  };
  static Kept* last = nullptr;
  Kept* kept = static_cast<Kept*>(malloc(sizeof(Kept) + bytes));
  if (kept == nullptr) EndWithoutMemory();
  kept->before = last;
  last = kept;
  return kept + 1;
}

template <class T>
class List {
 public:
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { free(data_); }

  void Add(const T& value) {
    if (size_ == room_) Grow(room_ * 2 + 8);
    data_[size_++] = value;
  }
  // Adds elements with any contents, and returns the first.
  T* AddMany(size_t count) {
    if (count > room_ - size_) Grow(size_ + count);
    size_ += count;
    return data_ + size_ - count;
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t k) { return data_[k]; }
  const T& operator[](size_t k) const { return data_[k]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }

 private:
  void Grow(size_t room) {
    data_ = static_cast<T*>(realloc(static_cast<void*>(data_), room * sizeof(T)));
    if (data_ == nullptr) EndWithoutMemory();
    room_ = room;
  }

  T* data_ = nullptr;
  size_t size_ = 0;
  size_t room_ = 0;
};

}  // namespace tool
