// Works out what depends on sizes: formulas, checks, and where each tensor lies; nothing may leave its memory.
#include <string.h>

#include "base/checked.h"
#include "vm/plan.h"

namespace um {

using format::CheckOp;
using format::FormulaOp;
using format::Opcode;
using format::Place;

namespace {

bool Holds(CheckOp op, int64_t left, int64_t right) {
  switch (op) {
    case CheckOp::kEq:
      return left == right;
    case CheckOp::kNe:
      return left != right;
    case CheckOp::kLe:
      return left <= right;
    case CheckOp::kLt:
      return left < right;
  }
  return false;
}

}  // namespace

Misfit CheckInputs(const Program& program, const um_tensor* inputs, size_t count) {
  if (count != program.inputs.size()) return {Misfit::kCount};
  for (uint32_t k = 0; k < count; ++k) {
    const format::SpecRow& spec = program.inputs[k];
    if (static_cast<uint32_t>(inputs[k].dtype) != spec.dtype) return {Misfit::kDtype, k};
    if (static_cast<uint32_t>(inputs[k].rank) != spec.dim_count) return {Misfit::kRank, k};
    const Span<const format::DimRow> dims = program.dims(spec);
    for (uint32_t axis = 0; axis < spec.dim_count; ++axis) {
      const bool fixed = static_cast<format::DimKind>(dims[axis].kind) == format::DimKind::kFixed;
      if (fixed && inputs[k].shape[axis] != dims[axis].value) {
        return {Misfit::kDim, k, static_cast<int32_t>(axis), dims[axis].value};
      }
    }
  }
  return {};
}

Misfit Plan::SetSizes(const um_tensor* inputs, size_t count) {
  sized_ = false;
  resolved_ = false;
  for (size_t k = 0; k < count; ++k) {
    for (uint32_t axis = 0; axis < program_.inputs[k].dim_count; ++axis) {
      input_shapes_[k][axis] = inputs[k].shape[axis];
    }
  }
  Misfit misfit = Evaluate();
  if (misfit.kind != Misfit::kNone) return misfit;
  misfit = CheckTensors();
  sized_ = misfit.kind == Misfit::kNone;
  return misfit;
}

bool Plan::EvaluateOne(const format::FormulaRow& f, int64_t* result) const {
  if (static_cast<FormulaOp>(f.op) == FormulaOp::kConst) {
    *result = f.a;
    return true;
  }
  if (static_cast<FormulaOp>(f.op) == FormulaOp::kDim) {
    *result = input_shapes_[f.a][f.b];
    return true;
  }
  const int64_t a = ints_[f.a], b = ints_[f.b];
  switch (static_cast<FormulaOp>(f.op)) {
    case FormulaOp::kAdd:
      return Add(a, b, result);
    case FormulaOp::kSub:
      return Subtract(a, b, result);
    case FormulaOp::kMul:
      return Multiply(a, b, result);
    case FormulaOp::kFloordiv:
      return b != 0 && FloorDivide(a, b, result);
    case FormulaOp::kMod:
      *result = b != 0 ? FloorModulo(a, b) : 0;
      return b != 0;
    case FormulaOp::kMin:
      *result = a < b ? a : b;
      return true;
    case FormulaOp::kMax:
      *result = a > b ? a : b;
      return true;
    default:
      return false;
  }
}

Misfit Plan::Evaluate() {
  for (uint32_t k = 0; k < program_.formulas.size(); ++k) {
    const format::FormulaRow& f = program_.formulas[k];
    if (EvaluateOne(f, &ints_[k])) continue;
    const FormulaOp op = static_cast<FormulaOp>(f.op);
    const bool divides = op == FormulaOp::kFloordiv || op == FormulaOp::kMod;
    return {divides && ints_[f.b] == 0 ? Misfit::kDivision : Misfit::kOverflow, k};
  }
  for (uint32_t k = 0; k < program_.inputs.size(); ++k) {  // one symbol, one size
    const Span<const format::RegisterRow> dims = program_.dims(program_.tensors[k]);
    for (uint32_t axis = 0; axis < dims.size(); ++axis) {
      const int64_t wanted = ints_[dims[axis].number];
      if (input_shapes_[k][axis] != wanted) return {Misfit::kDim, k, static_cast<int32_t>(axis), wanted};
    }
  }
  for (uint32_t k = 0; k < program_.checks.size(); ++k) {
    const format::CheckRow& c = program_.checks[k];
    if (!Holds(static_cast<CheckOp>(c.op), ints_[c.left], ints_[c.right])) return {Misfit::kCheck, k};
  }
  return {};
}

// -- memory ---------------------------------------------------------------------------------------------------
Misfit Plan::CheckTensors() {
  if (ints_[program_.row.arena] < 0 || static_cast<uint64_t>(ints_[program_.row.arena]) > SIZE_MAX / 2) {
    return {Misfit::kOverflow, program_.row.arena};
  }
  for (uint32_t k = 0; k < program_.tensors.size(); ++k) {
    size_t bytes = 0;
    if (!ElementBytes(program_.tensors[k], &bytes)) return {Misfit::kOverflow, program_.tensors[k].bytes};
    if (!TensorFits(k)) return {Misfit::kPlan, k};
  }
  for (uint32_t k = 0; k < program_.code.size(); ++k) {
    if (!StepFits(k)) return {Misfit::kPlan, k};
  }
  return {};
}

// Bytes of a tensor's elements; false where a dim is negative or the product too large.
bool Plan::ElementBytes(const format::TensorRow& tensor, size_t* bytes) const {
  uint64_t total = DtypeSize(tensor.dtype);
  bool fits = true, empty = false;
  for (const format::RegisterRow& d : program_.dims(tensor)) {
    const int64_t size = ints_[d.number];
    if (size < 0) return false;
    empty = empty || size == 0;
    fits = fits && Multiply<uint64_t>(total, static_cast<uint64_t>(size), &total);
  }
  *bytes = empty ? 0 : static_cast<size_t>(total);
  return empty || (fits && total <= SIZE_MAX / 2);
}

bool Plan::TensorFits(uint32_t number) {
  const format::TensorRow& tensor = program_.tensors[number];
  size_t elements = 0;
  if (!ElementBytes(tensor, &elements) || ints_[tensor.bytes] < 0) return false;
  const uint64_t bytes = static_cast<uint64_t>(ints_[tensor.bytes]);
  if (bytes < elements) return false;
  switch (static_cast<Place>(tensor.place)) {
    case Place::kInput:
      if (number == tensor.index) input_bytes_[number] = elements;
      return bytes <= input_bytes_[tensor.index];
    case Place::kOutput:
      if (number == program_.inputs.size() + tensor.index) {
        output_bytes_[tensor.index] = elements;
        const Span<const format::RegisterRow> dims = program_.dims(tensor);
        for (size_t axis = 0; axis < dims.size(); ++axis) output_shapes_[tensor.index][axis] = ints_[dims[axis].number];
      }
      return bytes <= output_bytes_[tensor.index];
    case Place::kWeight:
      return bytes <= program_.tables.weights[tensor.index].bytes;
    case Place::kArena: {
      const int64_t offset = ints_[tensor.index];
      const uint64_t arena = static_cast<uint64_t>(ints_[program_.row.arena]);
      return offset >= 0 && static_cast<size_t>(offset) % kBlockAlignment == 0 &&
             static_cast<uint64_t>(offset) <= arena && bytes <= arena - static_cast<uint64_t>(offset);
    }
    case Place::kRow:  // its loop checks that the turns' rows are the whole
      return bytes == elements;
  }
  return false;
}

bool Plan::StepFits(uint32_t number) {
  const format::InstructionRow& i = program_.code[number];
  Step& step = steps_[number];
  if (step.opcode == Opcode::kCall) {
    step.extent = ints_[i.extent];
    const Span<const format::RegisterRow> ints = program_.ints(i);
    for (size_t n = 0; n < ints.size(); ++n) step.ints[n] = ints_[ints[n].number];
    return step.extent >= 0;
  }
  if (step.opcode == Opcode::kLoop) return RowsFit(i, &step);
  if (step.opcode == Opcode::kCopy) {
    const Span<const format::RegisterRow> operands = program_.operands(i);
    size_t target = 0, source = 0;
    if (!ElementBytes(program_.tensors[operands[0].number], &target) ||
        !ElementBytes(program_.tensors[operands[1].number], &source)) {
      return false;
    }
    step.bytes = target;
    return target == source;
  }
  return true;
}

// Each tensor has exactly as many rows as there are turns.
bool Plan::RowsFit(const format::InstructionRow& loop, Step* step) {
  step->extent = ints_[loop.extent];
  if (step->extent < 0) return false;
  const Span<const format::RegisterRow> rows = program_.operands(loop);
  for (size_t n = 0; n < rows.size(); ++n) {
    const format::TensorRow& row = program_.tensors[rows[n].number];
    size_t whole = 0, bytes = 0, all = 0;
    if (!ElementBytes(program_.tensors[row.index], &whole) || !ElementBytes(row, &bytes) ||
        !Multiply(bytes, static_cast<size_t>(step->extent), &all) || all != whole) {
      return false;
    }
    step->ints[n] = static_cast<int64_t>(bytes);
  }
  return true;
}

}  // namespace um
