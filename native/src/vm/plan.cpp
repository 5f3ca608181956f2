// Lays out a plan's memory, and fills in the addresses of a call's operands.
#include "vm/plan.h"

#include <string.h>

#include "base/checked.h"
#include "vm/pack.h"

namespace um {

using format::Opcode;
using format::Place;

// Cuts arrays from one block. Without a block it only adds up what they take.
class Plan::Carver {
 public:
  explicit Carver(uint8_t* base) : base_(base) {}

  template <class T>
  T* Take(size_t count) {
    static_assert(alignof(T) <= 8, "arrays are aligned to 8 bytes");
    size_t bytes = 0;
    const size_t at = used_;
    fits_ =
        fits_ && Multiply(count, sizeof(T), &bytes) && RoundUp<size_t>(bytes, 8, &bytes) && Add(used_, bytes, &used_);
    return base_ != nullptr ? reinterpret_cast<T*>(base_ + at) : nullptr;
  }
  template <class T>
  T* TakeMany(size_t times, size_t count) {
    size_t total = 0;
    fits_ = fits_ && Multiply(times, count, &total);
    return Take<T>(total);
  }
  bool counts() const { return base_ == nullptr; }
  bool fits() const { return fits_; }
  size_t used() const { return used_; }

 private:
  uint8_t* base_;
  size_t used_ = 0;
  bool fits_ = true;
};

bool Plan::Allocate() {
  Carver counting(nullptr);
  Carve(&counting);
  if (!counting.fits() || !memory_.AllocateZeroed(counting.used())) return false;
  Carver carving(memory_.data());
  Carve(&carving);
  if (early_ < program_.formulas.size()) ListLate();
  return true;
}

void Plan::Carve(Carver* carver) {
  const size_t inputs = program_.inputs.size(), outputs = program_.outputs.size();
  ints_ = carver->Take<int64_t>(program_.formulas.size());
  input_shapes_ = carver->Take<int64_t*>(inputs);
  input_bytes_ = carver->Take<size_t>(inputs);
  inputs_ = carver->Take<const void*>(inputs);
  outputs_ = carver->Take<void*>(outputs);
  output_shapes_ = carver->Take<int64_t*>(outputs);
  output_bytes_ = carver->Take<size_t>(outputs);
  output_used_ = carver->Take<size_t>(outputs);
  steps_ = carver->Take<Step>(program_.code.size());
  for (size_t k = 0; k < inputs; ++k) {
    int64_t* shape = carver->Take<int64_t>(program_.inputs[k].dim_count + 1);
    if (!carver->counts()) input_shapes_[k] = shape;
  }
  for (size_t k = 0; k < outputs; ++k) {
    int64_t* shape = carver->Take<int64_t>(program_.outputs[k].dim_count);
    if (!carver->counts()) output_shapes_[k] = shape;
  }
  for (const format::FormulaRow& f : program_.formulas) {
    asks_contiguity_ = asks_contiguity_ || static_cast<format::FormulaOp>(f.op) == format::FormulaOp::kContiguous;
  }
  early_ = static_cast<uint32_t>(program_.early());
  if (early_ < program_.formulas.size()) {
    run_of_ = carver->Take<uint32_t>(program_.formulas.size() - early_);
    late_starts_ = carver->Take<uint32_t>(program_.formulas.size() - early_ + 2);  // a run has at least one register
    late_ = carver->Take<uint32_t>(program_.tensors.size() + program_.code.size());
  }
  runs_ = 0;
  size_t from_inputs = 0, from_outputs = 0, from_rows = 0, loops = 0;
  for (size_t k = 0; k < program_.code.size(); ++k) {
    const format::InstructionRow& i = program_.code[k];
    void** buffers = carver->Take<void*>(i.tensor_count);
    const bool is_loop = static_cast<Opcode>(i.opcode) == Opcode::kLoop;  // its ints are the bytes of its rows
    int64_t* ints = carver->Take<int64_t>(is_loop ? i.tensor_count : i.int_count);
    bool has_local = false;
    for (size_t n = 0; n < i.tensor_count; ++n) has_local = has_local || IsLocal(i, n);
    const size_t copies = has_local && helpers_ > 0 ? helpers_ : 0;
    void** helper_buffers = copies > 0 ? carver->TakeMany<void*>(copies, i.tensor_count) : nullptr;
    if (is_loop) ++loops;
    for (const format::RegisterRow& r : program_.operands(i)) {
      const Place place = static_cast<Place>(Named(i, r.number).place);
      if (place == Place::kRow) from_rows += 1 + copies;
      if (place == Place::kInput) from_inputs += 1 + copies;
      if (place == Place::kOutput) from_outputs += 1 + copies;
    }
    if (carver->counts()) continue;
    steps_[k].opcode = static_cast<Opcode>(i.opcode);
    steps_[k].expected = i.expected;
    steps_[k].message = i.message;
    steps_[k].target = i.kernel;
    if (steps_[k].opcode == Opcode::kBuiltin) CarveBuiltin(i, &steps_[k]);
    steps_[k].buffers = buffers;
    steps_[k].helper_buffers = helper_buffers;
    steps_[k].ints = ints;
  }
  input_patches_ = carver->Take<Patch>(from_inputs);
  output_patches_ = carver->Take<Patch>(from_outputs);
  row_patches_ = carver->Take<Patch>(from_rows);
  movers_ = carver->Take<Mover>(loops > 0 ? program_.tensors.size() : 0);
  if (!carver->counts() && loops > 0) PatchRows();
}

// Says for each loop which buffer pointers of the steps it moves.
void Plan::PatchRows() {
  const uint32_t count = static_cast<uint32_t>(program_.code.size());
  for (uint32_t k = 0; k < count; ++k) {
    const format::InstructionRow& i = program_.code[k];
    if (steps_[k].opcode != Opcode::kLoop) continue;
    const Span<const format::RegisterRow> rows = program_.operands(i);
    for (uint32_t n = 0; n < rows.size(); ++n) movers_[rows[n].number] = {k, n};
  }
  const auto each_row = [&](auto&& visit) {
    for (uint32_t k = 0; k < count; ++k) {
      if (steps_[k].opcode == Opcode::kLoop) continue;
      const Span<const format::RegisterRow> operands = program_.operands(program_.code[k]);
      const size_t copies = steps_[k].helper_buffers != nullptr ? helpers_ : 0;
      for (size_t n = 0; n < operands.size(); ++n) {
        const uint32_t number = operands[n].number;
        if (static_cast<Place>(program_.tensors[number].place) != Place::kRow) continue;
        for (size_t worker = 0; worker <= copies; ++worker) {
          if (worker == 0 || !IsLocal(program_.code[k], n)) {
            visit(movers_[number], SlotOf(steps_[k], operands.size(), worker, n));
          }
        }
      }
    }
  };
  each_row([&](const Mover& mover, void**) { ++steps_[mover.loop].turn; });  // counts them, for now
  Patch* next = row_patches_;
  for (uint32_t k = 0; k < count; ++k) {
    if (steps_[k].opcode != Opcode::kLoop) continue;
    steps_[k].rows = {next, 0};
    next += steps_[k].turn;
    steps_[k].turn = 0;
  }
  each_row([&](const Mover& mover, void** slot) {
    Step& loop = steps_[mover.loop];
    loop.rows[loop.rows.size()] = {slot, mover.row};
    loop.rows = {loop.rows.begin(), loop.rows.size() + 1};
  });
}

void Plan::CarveBuiltin(const format::InstructionRow& i, Step* step) {
  const Tables& t = program_.tables;
  const uint32_t number = FindBuiltin(t.text(t.builtins[i.kernel].name));
  const format::Builtin builtin = static_cast<format::Builtin>(number);
  step->builtin = &format::kBuiltinTable[number];
  step->gives = GivingBuiltin(builtin);
  step->function = RowBuiltin(builtin, program_.tensors[program_.operands(i)[0].number].dtype);
  if (i.expected == 0) return;
  step->run = runs_++;
  for (uint32_t r = i.extent; r < i.extent + i.expected; ++r) run_of_[r - early_] = step->run;
}

// The last int register among a tensor's dims; 0 without any.
uint32_t Plan::LateRegister(const format::TensorRow& tensor) const {
  uint32_t last = 0;
  for (const format::RegisterRow& d : program_.dims(tensor)) last = d.number > last ? d.number : last;
  return last;
}

// The last int register that what is worked out for a step depends on; 0 without any.
uint32_t Plan::LateRegister(const format::InstructionRow& i) const {
  uint32_t last = 0;
  if (static_cast<Opcode>(i.opcode) == Opcode::kCopy) {
    for (const format::RegisterRow& t : program_.operands(i)) {
      const uint32_t of = LateRegister(program_.tensors[t.number]);
      last = of > last ? of : last;
    }
  } else if (static_cast<Opcode>(i.opcode) == Opcode::kCall) {
    last = i.extent;
  }
  for (const format::RegisterRow& r : program_.ints(i)) last = r.number > last ? r.number : last;
  return last;
}

// Sorts what depends on late registers by the run that it waits for: counts, starts, entries.
void Plan::ListLate() {
  const uint32_t tensors = static_cast<uint32_t>(program_.tensors.size());
  const uint32_t all = tensors + static_cast<uint32_t>(program_.code.size());
  for (int counting = 1; counting >= 0; --counting) {
    for (uint32_t k = 0; k < all; ++k) {
      const uint32_t last = k < tensors ? LateRegister(program_.tensors[k]) : LateRegister(program_.code[k - tensors]);
      if (last < early_) continue;
      const uint32_t run = run_of_[last - early_];
      if (counting != 0) {
        ++late_starts_[run + 2];  // zeroed memory
      } else {
        late_[late_starts_[run + 1]++] = k;
      }
    }
    if (counting != 0) {
      for (uint32_t run = 0; run < runs_; ++run) late_starts_[run + 2] += late_starts_[run + 1];
    }
  }
  for (uint32_t k = 0; k < program_.outputs.size(); ++k) finds_outputs_ = finds_outputs_ || is_found(k);
}

bool Plan::IsSizedFor(const um_tensor* inputs, size_t count) const {
  if (!sized_ || count != program_.inputs.size()) return false;
  for (size_t k = 0; k < count; ++k) {
    const format::SpecRow& spec = program_.inputs[k];
    const um_tensor& input = inputs[k];
    if (static_cast<uint32_t>(input.dtype) != spec.dtype || static_cast<uint32_t>(input.rank) != spec.dim_count ||
        (input.shape == nullptr && spec.dim_count > 0)) {
      return false;
    }
    const int64_t* known = input_shapes_[k];
    for (uint32_t axis = 0; axis < spec.dim_count; ++axis) {
      if (input.shape[axis] != known[axis]) return false;
    }
    if (asks_contiguity_ && known[spec.dim_count] != IsContiguous(input)) return false;
  }
  return true;
}

bool Plan::IsLocal(const format::InstructionRow& i, size_t operand) const {
  if (static_cast<Opcode>(i.opcode) != Opcode::kCall) return false;
  const format::KernelRow& kernel = program_.tables.kernels[i.kernel];
  const format::BufferRow& buffer = program_.tables.buffers[kernel.first_buffer + operand];
  return static_cast<format::Role>(buffer.role) == format::Role::kLocal;
}

// Where a worker's pointer to an operand is: worker 0 is the session's own thread.
void** Plan::SlotOf(const Step& step, size_t operands, size_t worker, size_t operand) const {
  return worker == 0 ? &step.buffers[operand] : &step.helper_buffers[(worker - 1) * operands + operand];
}

void Plan::Resolve(const um_model& model, uint8_t* arena, uint8_t* scratch) {
  input_patch_count_ = 0;
  output_patch_count_ = 0;
  for (size_t k = 0; k < program_.code.size(); ++k) {
    const format::InstructionRow& i = program_.code[k];
    Step& step = steps_[k];
    if (step.opcode == Opcode::kCall) step.function = model.code.kernel(i.kernel);
    const Span<const format::RegisterRow> operands = program_.operands(i);
    const size_t copies = step.helper_buffers != nullptr ? helpers_ : 0;
    for (size_t worker = 0; worker <= copies; ++worker) {
      uint8_t* own = worker > 0 ? scratch + (worker - 1) * scratch_bytes_ : nullptr;
      for (size_t n = 0; n < operands.size(); ++n) {
        const format::TensorRow& tensor = Named(i, operands[n].number);
        void** slot = SlotOf(step, operands.size(), worker, n);
        if (worker == 0 || !IsLocal(i, n)) {
          ResolveOperand(model, tensor, slot, arena);
        } else {
          *slot = own;
          own += RoundedBytes(tensor);
        }
      }
    }
  }
  arena_ = arena;
  scratch_ = scratch;
  resolved_ = true;
}

void Plan::ResolveOperand(const um_model& model, const format::TensorRow& tensor, void** slot, uint8_t* arena) {
  switch (static_cast<Place>(tensor.place)) {
    case Place::kInput:
      input_patches_[input_patch_count_++] = {slot, tensor.index};
      break;
    case Place::kOutput:
      output_patches_[output_patch_count_++] = {slot, tensor.index};
      break;
    case Place::kWeight:
      // Kernels only read what they take as `in`: the verifier lets no weight be anything else.
      *slot = const_cast<uint8_t*>(model.archive.weights().data() + model.tables.weights[tensor.index].offset);
      break;
    case Place::kArena:
      *slot = arena + ints_[tensor.index];
      break;
    case Place::kRow:  // the loop says where, turn by turn
      break;
  }
}

}  // namespace um
