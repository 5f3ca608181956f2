// Says in words why no program takes some inputs, or why one goes no further with them.
#pragma once

#include "vm/plan.h"

namespace um {

// For a method with one signature, or where one came close: what is wrong with which input.
um_status RefuseInputs(const Program& program, const Misfit& misfit, const um_tensor* inputs, size_t count,
                       um_error* error);
// For a method with several: what came, and what there is.
um_status RefuseSignatures(const Tables& tables, const format::MethodRow& method, const um_tensor* inputs, size_t count,
                           um_error* error);

// For a value whose dtype or shape is not the state's.
um_status RefuseState(const char* name, const um_tensor& own, const um_tensor& value, um_error* error);
// For a guard that does not hold, or a path that was never traced. `buffers` are the instruction's operands.
um_status RefusePath(const Program& program, const format::InstructionRow& i, void* const* buffers, um_error* error);

}  // namespace um
