// Files by POSIX calls.
#include "platform/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace um {

namespace {

// strerror_r has two forms: one returns the text, the other a code and writes the text into the buffer.
[[maybe_unused]] const char* Reason(const char* text, const char*) { return text; }
[[maybe_unused]] const char* Reason(int, const char* buffer) { return buffer; }

um_status CannotRead(const char* what, int code, um_error* error) {
  char buffer[128] = "";
  const char* reason = Reason(strerror_r(code, buffer, sizeof buffer), buffer);
  return Fail(error, UM_CANNOT_READ, "cannot read %s: %s", what, reason);
}

}  // namespace

Mapping::~Mapping() {
  if (base_ != nullptr) munmap(base_, length_);
}

File::~File() {
  if (descriptor_ >= 0) close(descriptor_);
}

um_status File::Open(const char* path, um_error* error) {
  do {
    descriptor_ = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // not to hang on a pipe before it is refused
  } while (descriptor_ < 0 && errno == EINTR);
  if (descriptor_ < 0) return CannotRead(path, errno, error);
  struct stat about;
  if (fstat(descriptor_, &about) != 0) return CannotRead(path, errno, error);
  if (!S_ISREG(about.st_mode)) return Fail(error, UM_CANNOT_READ, "cannot read %s: it is no regular file", path);
  bytes_ = static_cast<uint64_t>(about.st_size);
  return UM_OK;
}

um_status File::Read(uint64_t offset, void* to, size_t bytes, um_error* error) const {
  uint8_t* at = static_cast<uint8_t*>(to);
  while (bytes > 0) {
    const size_t wanted = bytes < (size_t{1} << 30) ? bytes : size_t{1} << 30;
    const ssize_t got = pread(descriptor_, at, wanted, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return CannotRead("the file", errno, error);
    if (got == 0) return Fail(error, UM_CANNOT_READ, "the file became shorter while it was read");
    at += got, offset += static_cast<uint64_t>(got), bytes -= static_cast<size_t>(got);
  }
  return UM_OK;
}

bool File::Map(uint64_t offset, size_t bytes, Mapping* mapping) const {
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t start = offset / page * page;
  const size_t length = bytes + static_cast<size_t>(offset - start);
  void* base = mmap(nullptr, length, PROT_READ, MAP_PRIVATE, descriptor_, static_cast<off_t>(start));
  if (base == MAP_FAILED) return false;
  mapping->base_ = base;
  mapping->length_ = length;
  mapping->data_ = static_cast<const uint8_t*>(base) + (offset - start);
  return true;
}

}  // namespace um
