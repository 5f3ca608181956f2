// Files: reading at a position, mapping, and writing whole.
#pragma once

#include "base/status.h"

namespace um {

// Pages of a file in memory, read-only and private; unmapped with the object.
class Mapping {
 public:
  Mapping() = default;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  const uint8_t* data() const { return data_; }

 private:
  friend class File;
  void* base_ = nullptr;
  size_t length_ = 0;
  const uint8_t* data_ = nullptr;
};

// A regular file, open for reading; closed with the object.
class File {
 public:
  File() = default;
  File(const File&) = delete;
  File& operator=(const File&) = delete;
  ~File();

  [[nodiscard]] um_status Open(const char* path, um_error* error);
  uint64_t bytes() const { return bytes_; }
  // Reads exactly `bytes` bytes; fails where the file has become shorter.
  [[nodiscard]] um_status Read(uint64_t offset, void* to, size_t bytes, um_error* error) const;
  // False where the system refuses; then reading is the way. `bytes` is not 0.
  [[nodiscard]] bool Map(uint64_t offset, size_t bytes, Mapping* mapping) const;

 private:
  int descriptor_ = -1;
  uint64_t bytes_ = 0;
};

}  // namespace um
