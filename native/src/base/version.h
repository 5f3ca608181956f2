// The runtime's version, as text.
#pragma once

#include "unmoor.h"

#define UM_TEXT_OF(number) #number
#define UM_TEXT(number) UM_TEXT_OF(number)

namespace um {

// unmoor.h holds no patch level: it changes no interface.
constexpr const char* kVersion = UM_TEXT(UM_VERSION_MAJOR) "." UM_TEXT(UM_VERSION_MINOR) ".0";

}  // namespace um
