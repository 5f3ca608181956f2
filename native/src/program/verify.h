// Checks what the tables mean, so that whatever runs a program later may take every number in it at its word.
#pragma once

#include "program/tables.h"

namespace um {

// UM_DAMAGED names the first rule that does not hold. What depends on the sizes of a call is checked when it comes.
[[nodiscard]] um_status Verify(const Tables& tables, const Archive& archive, um_error* error);

// The parts of it, each in its own file.
[[nodiscard]] um_status VerifyStrings(const Tables& tables, um_error* error);
[[nodiscard]] um_status VerifySpans(const Tables& tables, um_error* error);
[[nodiscard]] um_status VerifyKernelsAndWeights(const Tables& tables, const Archive& archive, um_error* error);
[[nodiscard]] um_status VerifyExamples(const Tables& tables, um_error* error);
[[nodiscard]] um_status VerifyProgram(const Program& program, um_error* error);

}  // namespace um
