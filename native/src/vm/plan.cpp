// Lays out a plan's memory, and fills in the addresses of a call's operands.
#include "vm/plan.h"

#include <string.h>

#include "base/checked.h"

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
  steps_ = carver->Take<Step>(program_.code.size());
  for (size_t k = 0; k < inputs; ++k) {
    int64_t* shape = carver->Take<int64_t>(program_.inputs[k].dim_count);
    if (!carver->counts()) input_shapes_[k] = shape;
  }
  for (size_t k = 0; k < outputs; ++k) {
    int64_t* shape = carver->Take<int64_t>(program_.outputs[k].dim_count);
    if (!carver->counts()) output_shapes_[k] = shape;
  }
  size_t from_inputs = 0, from_outputs = 0, from_rows = 0;
  for (size_t k = 0; k < program_.code.size(); ++k) {
    const format::InstructionRow& i = program_.code[k];
    void** buffers = carver->Take<void*>(i.tensor_count);
    const bool loops = static_cast<Opcode>(i.opcode) == Opcode::kLoop;  // its ints are the bytes of its rows
    int64_t* ints = carver->Take<int64_t>(loops ? i.tensor_count : i.int_count);
    for (const format::RegisterRow& r : program_.operands(i)) {
      Place place = static_cast<Place>(program_.tensors[r.number].place);
      if (loops) place = static_cast<Place>(program_.tensors[program_.tensors[r.number].index].place);
      if (place == Place::kRow) ++from_rows;
      if (place == Place::kInput) ++from_inputs;
      if (place == Place::kOutput) ++from_outputs;
    }
    if (carver->counts()) continue;
    steps_[k].opcode = static_cast<Opcode>(i.opcode);
    steps_[k].expected = i.expected;
    steps_[k].message = i.message;
    steps_[k].target = i.kernel;
    steps_[k].buffers = buffers;
    steps_[k].ints = ints;
  }
  input_patches_ = carver->Take<Patch>(from_inputs);
  output_patches_ = carver->Take<Patch>(from_outputs);
  row_patches_ = carver->Take<Patch>(from_rows);
  movers_ = carver->Take<Mover>(program_.tensors.size());
  if (!carver->counts()) PatchRows();
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
      for (size_t n = 0; n < operands.size(); ++n) {
        const uint32_t number = operands[n].number;
        if (static_cast<Place>(program_.tensors[number].place) == Place::kRow) {
          visit(movers_[number], &steps_[k].buffers[n]);
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
  }
  return true;
}

void Plan::Resolve(const um_model& model, uint8_t* arena) {
  input_patch_count_ = 0;
  output_patch_count_ = 0;
  for (size_t k = 0; k < program_.code.size(); ++k) {
    const format::InstructionRow& i = program_.code[k];
    Step& step = steps_[k];
    if (step.opcode == Opcode::kCall) step.function = model.code.kernel(i.kernel);
    const Span<const format::RegisterRow> operands = program_.operands(i);
    for (size_t n = 0; n < operands.size(); ++n) {
      const format::TensorRow& named = program_.tensors[operands[n].number];
      const bool loops = step.opcode == Opcode::kLoop;  // it holds where its rows' tensors begin
      const format::TensorRow& tensor = loops ? program_.tensors[named.index] : named;
      void** slot = &step.buffers[n];
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
  }
  arena_ = arena;
  resolved_ = true;
}

}  // namespace um
