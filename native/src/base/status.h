// How a function of the runtime fails: a status, and a sentence for the person who will read it.
#pragma once

#include "unmoor.h"

namespace um {

// Writes the message into `error` (which may be null) and returns `status`.
um_status Fail(um_error* error, um_status status, const char* format, ...) __attribute__((format(printf, 3, 4), cold));

[[nodiscard]] um_status OutOfMemory(um_error* error, size_t bytes);

}  // namespace um

// Hands a failure on to the caller.
#define UM_TRY(call)                                \
  do {                                              \
    const um_status try_status = (call);            \
    if (__builtin_expect(try_status != UM_OK, 0)) { \
      return try_status;                            \
    }                                               \
  } while (0)
