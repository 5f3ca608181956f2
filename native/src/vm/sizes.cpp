// Works out what depends on sizes: formulas, checks, and where each tensor lies; nothing may leave its memory.
#include <string.h>

#include "base/checked.h"
#include "vm/pack.h"
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
    if (asks_contiguity_) input_shapes_[k][program_.inputs[k].dim_count] = IsContiguous(inputs[k]);
  }
  Misfit misfit = Evaluate();
  if (misfit.kind != Misfit::kNone) return misfit;
  misfit = CheckTensors();
  sized_ = misfit.kind == Misfit::kNone;
  return misfit;
}

bool Plan::EvaluateOne(const format::FormulaRow& f, const int64_t* numbers, int64_t* result) const {
  if (static_cast<FormulaOp>(f.op) == FormulaOp::kConst) {
    *result = f.a;
    return true;
  }
  if (static_cast<FormulaOp>(f.op) == FormulaOp::kDim) {
    *result = input_shapes_[f.a][f.b];
    return true;
  }
  if (static_cast<FormulaOp>(f.op) == FormulaOp::kContiguous) {
    *result = input_shapes_[f.a][program_.inputs[static_cast<size_t>(f.a)].dim_count];
    return true;
  }
  if (static_cast<FormulaOp>(f.op) == FormulaOp::kGiven) {
    *result = numbers[f.a];
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

Misfit Plan::EvaluateRun(uint32_t first, uint32_t end, const int64_t* numbers) {
  for (uint32_t k = first; k < end; ++k) {
    const format::FormulaRow& f = program_.formulas[k];
    if (EvaluateOne(f, numbers, &ints_[k])) continue;
    const FormulaOp op = static_cast<FormulaOp>(f.op);
    const bool divides = op == FormulaOp::kFloordiv || op == FormulaOp::kMod;
    return {divides && ints_[f.b] == 0 ? Misfit::kDivision : Misfit::kOverflow, k};
  }
  return {};
}

Misfit Plan::Evaluate() {
  const Misfit misfit = EvaluateRun(0, early_, nullptr);
  if (misfit.kind != Misfit::kNone) return misfit;
  for (uint32_t k = 0; k < program_.inputs.size(); ++k) {  // one symbol, one size
    const Span<const format::RegisterRow> dims = program_.dims(program_.tensors[k]);
    for (uint32_t axis = 0; axis < dims.size(); ++axis) {
      const int64_t wanted = ints_[dims[axis].number];
      if (input_shapes_[k][axis] != wanted) return {Misfit::kDim, k, static_cast<int32_t>(axis), wanted};
    }
  }
  for (uint32_t k = 0; k < program_.checks.size(); ++k) {
    const format::CheckRow& c = program_.checks[k];
    if (!Holds(static_cast<CheckOp>(c.op), ints_[c.left], ints_[c.right])) return {Misfit::kCheck, k, 0, ints_[c.left]};
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
    if (IsLate(program_.tensors[k])) {
      if (!PlaceFits(k)) return {Misfit::kPlan, k};
      continue;
    }
    if (!ElementBytes(program_.tensors[k], &bytes)) return {Misfit::kOverflow, program_.tensors[k].bytes};
    if (!TensorFits(k)) return {Misfit::kPlan, k};
  }
  scratch_bytes_ = 0;
  for (uint32_t k = 0; k < program_.code.size(); ++k) {
    if (LateRegister(program_.code[k]) < early_ && !StepFits(k)) return {Misfit::kPlan, k};
  }
  ForgetGiven();
  return {};
}

// -- what a call finds ----------------------------------------------------------------------------------------
Misfit Plan::Give(const Step& step, const int64_t* numbers) {
  const format::InstructionRow& i = program_.code[static_cast<size_t>(&step - steps_)];
  const Misfit misfit = EvaluateRun(i.extent, i.extent + i.expected, numbers);
  if (misfit.kind != Misfit::kNone) return misfit;
  const uint32_t tensors = static_cast<uint32_t>(program_.tensors.size());
  for (uint32_t at = late_starts_[step.run]; at < late_starts_[step.run + 1]; ++at) {
    const uint32_t k = late_[at];
    if (k < tensors ? !TensorFits(k) : !StepFits(k - tensors)) return {Misfit::kPlan, k < tensors ? k : k - tensors};
  }
  return {};
}

void Plan::ForgetGiven() {
  for (uint32_t k = 0; finds_outputs_ && k < program_.outputs.size(); ++k) {
    if (!is_found(k)) continue;
    const Span<const format::RegisterRow> dims = program_.dims(program_.tensors[program_.inputs.size() + k]);
    for (size_t axis = 0; axis < dims.size(); ++axis) {
      output_shapes_[k][axis] = dims[axis].number < early_ ? ints_[dims[axis].number] : -1;
    }
    output_used_[k] = output_bytes_[k];
  }
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

// A tensor whose dims are known: its elements fit into its bytes, and those into the memory that it is in.
bool Plan::TensorFits(uint32_t number) {
  const format::TensorRow& tensor = program_.tensors[number];
  size_t elements = 0;
  if (!ElementBytes(tensor, &elements) || ints_[tensor.bytes] < 0) return false;
  if (static_cast<uint64_t>(ints_[tensor.bytes]) < elements) return false;
  if (number < program_.inputs.size()) input_bytes_[number] = elements;
  if (number >= program_.inputs.size() && number < program_.row.spec_count) {
    output_used_[tensor.index] = elements;
    const Span<const format::RegisterRow> dims = program_.dims(tensor);
    for (size_t axis = 0; axis < dims.size(); ++axis) output_shapes_[tensor.index][axis] = ints_[dims[axis].number];
    if (!IsLate(tensor)) output_bytes_[tensor.index] = elements;
  }
  return PlaceFits(number);
}

bool Plan::PlaceFits(uint32_t number) {
  const format::TensorRow& tensor = program_.tensors[number];
  if (ints_[tensor.bytes] < 0 || static_cast<uint64_t>(ints_[tensor.bytes]) > SIZE_MAX / 2) return false;
  const uint64_t bytes = static_cast<uint64_t>(ints_[tensor.bytes]);
  switch (static_cast<Place>(tensor.place)) {
    case Place::kInput:
      return bytes <= input_bytes_[tensor.index];
    case Place::kOutput:
      if (number < program_.row.spec_count && IsLate(tensor)) output_bytes_[tensor.index] = static_cast<size_t>(bytes);
      return bytes <= output_bytes_[tensor.index];
    case Place::kWeight:
      return bytes <= program_.tables.weights[tensor.index].bytes;
    case Place::kArena: {
      const int64_t offset = ints_[tensor.index];
      const uint64_t arena = static_cast<uint64_t>(ints_[program_.row.arena]);
      return offset >= 0 && static_cast<size_t>(offset) % kBlockAlignment == 0 &&
             static_cast<uint64_t>(offset) <= arena && bytes <= arena - static_cast<uint64_t>(offset);
    }
    case Place::kRow: {  // its loop checks that the turns' rows are the whole
      size_t elements = 0;
      return ElementBytes(tensor, &elements) && bytes == elements;
    }
  }
  return false;
}

bool Plan::StepFits(uint32_t number) {
  const format::InstructionRow& i = program_.code[number];
  Step& step = steps_[number];
  if (step.opcode == Opcode::kCall) return CallFits(i, &step);
  if (step.opcode == Opcode::kCopy) return CopyFits(i, &step);
  if (step.opcode == Opcode::kBuiltin) return BuiltinFits(i, &step);
  if (step.opcode == Opcode::kLoop) return RowsFit(i, &step);
  return true;
}

bool Plan::CopyFits(const format::InstructionRow& i, Step* step) const {
  const Span<const format::RegisterRow> operands = program_.operands(i);
  size_t target = 0, source = 0;
  if (!ElementBytes(program_.tensors[operands[0].number], &target) ||
      !ElementBytes(program_.tensors[operands[1].number], &source)) {
    return false;
  }
  step->bytes = target;
  return target == source;
}

// A builtin trusts its ints and buffers: here is where they are checked.
bool Plan::BuiltinFits(const format::InstructionRow& i, Step* step) const {
  const format::BuiltinInfo& builtin = *step->builtin;
  const Span<const format::RegisterRow> ints = program_.ints(i), operands = program_.operands(i);
  for (uint32_t n = 0; n < builtin.int_count; ++n) step->ints[n] = ints_[ints[n].number];
  for (uint32_t n = 0; n < builtin.int_count; ++n) {
    const format::BuiltinInt& rule = builtin.ints[n];
    const int64_t value = step->ints[n];
    if (value < rule.least || value > rule.most || (rule.within >= 0 && value > step->ints[rule.within])) return false;
  }
  bool writes = false;
  for (uint32_t k = 0; k < builtin.buffer_count; ++k) {
    const format::TensorRow& tensor = program_.tensors[operands[k].number];
    bool empty = false, fits = true;
    uint64_t bytes = uint64_t{DtypeSize(tensor.dtype)} * builtin.buffers[k].times;
    for (uint32_t rest = builtin.buffers[k].sizes; rest != 0; rest >>= 4) {
      const uint32_t n = (rest & 15) - 1;
      empty = empty || step->ints[n] == 0;
      fits = fits && Multiply(bytes, static_cast<uint64_t>(step->ints[n]), &bytes);
    }
    writes = writes || (!empty && builtin.buffers[k].role == 1);
    if (!empty && (!fits || bytes > static_cast<uint64_t>(ints_[tensor.bytes]))) return false;
    for (uint32_t other = 0; other < k; ++other) {
      const bool both_read = builtin.buffers[k].role == 0 && builtin.buffers[other].role == 0;
      if (!both_read && Overlap(tensor, program_.tensors[operands[other].number])) return false;
    }
  }
  step->extent = writes ? step->ints[0] : 0;
  return true;
}

// Do two registers share memory? Inputs, weights, outputs and the arena never do with each other; a row counts as the
// whole tensor.
bool Plan::Overlap(const format::TensorRow& a, const format::TensorRow& b) const {
  if (static_cast<Place>(a.place) == Place::kRow) return Overlap(program_.tensors[a.index], b);
  if (static_cast<Place>(b.place) == Place::kRow) return Overlap(a, program_.tensors[b.index]);
  if (a.place != b.place) return false;
  if (static_cast<Place>(a.place) != Place::kArena) return a.index == b.index;
  const int64_t x = ints_[a.index], y = ints_[b.index];
  return x < y + ints_[b.bytes] && y < x + ints_[a.bytes];
}

bool Plan::CallFits(const format::InstructionRow& i, Step* step) {
  step->extent = ints_[i.extent];
  step->grain = i.expected != 0 ? ints_[i.expected - 1] : 0;
  const Span<const format::RegisterRow> ints = program_.ints(i);
  for (size_t n = 0; n < ints.size(); ++n) step->ints[n] = ints_[ints[n].number];
  if (step->extent < 0 || step->grain < 0) return false;
  if (step->helper_buffers == nullptr) return true;
  if (LateRegister(i) >= early_) {  // the helpers' memory was laid out before its sizes were known
    step->grain = 0;
    return true;
  }
  size_t local = 0;
  const Span<const format::RegisterRow> operands = program_.operands(i);
  for (size_t n = 0; n < operands.size(); ++n) {
    if (IsLocal(i, n) && !Add(local, RoundedBytes(program_.tensors[operands[n].number]), &local)) return false;
  }
  if (local > scratch_bytes_) scratch_bytes_ = local;
  return local <= SIZE_MAX / 2 / (helpers_ + 1);
}

// Each tensor has exactly as many rows as there are turns.
bool Plan::RowsFit(const format::InstructionRow& loop, Step* step) const {
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
