// What a file is that is not ours.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

namespace um {

// Fails with the best guess at what the first bytes of a file mean.
[[nodiscard]] um_status RefuseStranger(const uint8_t* head, size_t bytes, um_error* error);

}  // namespace um
