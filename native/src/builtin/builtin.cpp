// The functions of builtins.
#include "builtin/builtin.h"

namespace um {

using format::Builtin;

RowFunction RowBuiltin(Builtin builtin, uint32_t dtype) {
  switch (builtin) {
    case Builtin::kSort:
      return SortFunction(dtype);
    case Builtin::kTopk:
      return TopkFunction(dtype);
    case Builtin::kKth:
      return KthFunction(dtype);
    case Builtin::kSearch:
      return SearchFunction(dtype);
    case Builtin::kFftPlan:
      return FftPlanFunction(dtype);
    case Builtin::kFft:
      return FftFunction(dtype);
    case Builtin::kLu:
    case Builtin::kLuSolve:
    case Builtin::kTriangularSolve:
    case Builtin::kCholesky:
    case Builtin::kQr:
    case Builtin::kSvd:
    case Builtin::kEigenvalues:
      return LinearFunction(builtin, dtype);
    case Builtin::kNonzero:
      break;
  }
  return nullptr;
}

GivingFunction GivingBuiltin(Builtin builtin) { return builtin == Builtin::kNonzero ? Nonzero : nullptr; }

}  // namespace um
