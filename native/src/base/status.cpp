// Writes error messages.
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

namespace um {

namespace {

// Cuts an incomplete UTF-8 character off the end of a message that filled its room.
void CutAtCharacter(char* text, size_t length) {
  size_t start = length;
  while (start > 0 && length - start < 4 && (text[start - 1] & 0xC0) == 0x80) --start;
  if (start == 0) return;
  const unsigned char lead = static_cast<unsigned char>(text[start - 1]);
  const size_t wanted = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC0 ? 2 : 1;
  if (wanted > 1 && length - (start - 1) < wanted) text[start - 1] = '\0';
}

}  // namespace

um_status Fail(um_error* error, um_status status, const char* format, ...) {
  if (error == nullptr) return status;
  error->status = status;
  va_list arguments;
  va_start(arguments, format);
  const int wanted = vsnprintf(error->message, sizeof error->message, format, arguments);
  va_end(arguments);
  if (wanted < 0) {
    error->message[0] = '\0';
  } else if (static_cast<size_t>(wanted) >= sizeof error->message) {
    CutAtCharacter(error->message, sizeof error->message - 1);
  }
  return status;
}

um_status OutOfMemory(um_error* error, size_t bytes) {
  return Fail(error, UM_OUT_OF_MEMORY, "out of memory: %zu bytes were asked for", bytes);
}

}  // namespace um
