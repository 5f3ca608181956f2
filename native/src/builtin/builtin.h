// The functions behind `builtin` instructions. What they may be given is checked before, by the table in codes.inc.
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "generated/codes.inc"

namespace um {

// Works on the rows [begin, end), like a kernel on the turns of its outermost loop.
using RowFunction = void (*)(void* const* buffers, const int64_t* ints, int64_t begin, int64_t end);
// Runs once, and finds numbers.
using GivingFunction = void (*)(void* const* buffers, const int64_t* ints, int64_t* gives);

// The function of one that gives nothing, for elements of a dtype; and of one that does.
RowFunction RowBuiltin(format::Builtin builtin, uint32_t dtype);
GivingFunction GivingBuiltin(format::Builtin builtin);

// By dtype; each in its own file.
RowFunction SortFunction(uint32_t dtype);
RowFunction TopkFunction(uint32_t dtype);
RowFunction KthFunction(uint32_t dtype);
RowFunction SearchFunction(uint32_t dtype);
RowFunction FftPlanFunction(uint32_t dtype);
RowFunction FftFunction(uint32_t dtype);
RowFunction LinearFunction(format::Builtin builtin, uint32_t dtype);
void Nonzero(void* const* buffers, const int64_t* ints, int64_t* gives);

}  // namespace um
