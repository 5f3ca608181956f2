// One call of a prepared program: binds inputs and outputs, and runs the instructions.
#include <inttypes.h>
#include <string.h>

#include "base/checked.h"
#include "vm/misfit.h"
#include "vm/pack.h"
#include "vm/session.h"

using um::Fail;
using um::Plan;
using um::Step;
using um::format::Opcode;

namespace {

constexpr uint64_t kMaxTurns = uint64_t{1} << 32;  // of all the loops of a call together

// The rows of a loop name what its turn takes.
void MoveRows(const Step& loop) {
  const int64_t place = loop.expected != 0 ? loop.extent - 1 - loop.turn : loop.turn;
  for (const um::Patch& patch : loop.rows) {
    *patch.slot = static_cast<uint8_t*>(loop.buffers[patch.index]) + place * loop.ints[patch.index];
  }
}

bool Overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const uintptr_t x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return a_bytes > 0 && b_bytes > 0 && x < y + b_bytes && y < x + a_bytes;
}

bool NeedsPacking(const um_tensor& input) {
  return !um::IsContiguous(input) || !um::IsAligned(input.data, um::DtypeSize(static_cast<uint32_t>(input.dtype)));
}

}  // namespace

// -- inputs ---------------------------------------------------------------------------------------------------
um_status um_session::Bind(const um_tensor* inputs, um_error* error) {
  Plan& plan = *current_;
  bool packing = false;
  const size_t count = plan.program().inputs.size();
  for (size_t k = 0; k < count; ++k) {
    const um_tensor& input = inputs[k];
    const size_t bytes = plan.input_bytes(k);
    plan.inputs()[k] = input.data;
    if (bytes == 0) continue;
    if (input.data == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "the data of input %zu are a null pointer", k);
    if (input.bytes != 0 && input.bytes < bytes && input.strides == nullptr) {
      return Fail(error, UM_WRONG_INPUT, "input %zu has %zu bytes; its shape and dtype take %zu", k, input.bytes,
                  bytes);
    }
    packing = packing || NeedsPacking(input);
  }
  return packing ? PackInputs(inputs, error) : UM_OK;
}

// Does the session allow `block` to grow to so many bytes, beside its other memory?
um_status um_session::Allow(const um::Block& block, size_t bytes, um_error* error) const {
  if (max_arena_bytes_ == 0 || bytes <= block.bytes()) return UM_OK;
  size_t total = bytes;
  bool fits = true;
  const um::Block* const all[] = {&arena_, &scratch_, &packed_, &given_};
  for (const um::Block* held : all) {
    if (held != &block) fits = fits && um::Add(total, held->bytes(), &total);
  }
  if (fits && total <= max_arena_bytes_) return UM_OK;
  return Fail(error, UM_TOO_LARGE,
              "the call needs %zu bytes of working memory; the session allows %zu (max_arena_bytes in its options)",
              fits ? total : SIZE_MAX, max_arena_bytes_);
}

um_status um_session::Reserve(Plan* plan, um_error* error) {
  const size_t bytes = plan->arena_bytes();
  UM_TRY(Allow(arena_, bytes, error));
  if (!arena_.Reserve(bytes)) return um::OutOfMemory(error, bytes);
  UM_TRY(Allow(scratch_, plan->scratch_bytes(), error));
  if (!scratch_.Reserve(plan->scratch_bytes())) return um::OutOfMemory(error, plan->scratch_bytes());
  plan->Resolve(*model_, arena_.data(), scratch_.data());
  return UM_OK;
}

um_status um_session::PackInputs(const um_tensor* inputs, um_error* error) {
  Plan& plan = *current_;
  const size_t count = plan.program().inputs.size();
  size_t total = 0;
  for (size_t k = 0; k < count; ++k) {
    size_t rounded = 0;
    if (plan.input_bytes(k) == 0 || !NeedsPacking(inputs[k])) continue;
    if (!um::RoundUp(plan.input_bytes(k), um::kBlockAlignment, &rounded) || !um::Add(total, rounded, &total)) {
      return um::OutOfMemory(error, SIZE_MAX);
    }
  }
  UM_TRY(Allow(packed_, total, error));
  if (!packed_.Reserve(total)) return um::OutOfMemory(error, total);
  uint8_t* at = packed_.data();
  for (size_t k = 0; k < count; ++k) {
    if (plan.input_bytes(k) == 0 || !NeedsPacking(inputs[k])) continue;
    um::Pack(inputs[k], um::DtypeSize(static_cast<uint32_t>(inputs[k].dtype)), at);
    plan.inputs()[k] = at;
    at += (plan.input_bytes(k) + um::kBlockAlignment - 1) / um::kBlockAlignment * um::kBlockAlignment;
  }
  return UM_OK;
}

// -- outputs --------------------------------------------------------------------------------------------------
void um_session::Describe(um_tensor* outputs) const {
  const um::Program& program = current_->program();
  for (size_t k = 0; k < program.returned(); ++k) {
    um_tensor& output = outputs[k];
    output.dtype = static_cast<um_dtype>(program.outputs[k].dtype);
    output.rank = static_cast<int32_t>(program.outputs[k].dim_count);
    output.shape = current_->output_shape(k);
    output.bytes = current_->output_used(k);
  }
}

um_status um_session::PlaceOutputs(const um_tensor* outputs, um_error* error) {
  Plan& plan = *current_;
  const um::Program& program = plan.program();
  bool giving = false;
  for (size_t k = 0; k < program.outputs.size(); ++k) {
    const um_tensor& output = outputs[k];
    plan.outputs()[k] = output.data;
    if (IsGiven(outputs, k)) {
      giving = true;
    } else if (output.bytes < plan.output_bytes(k)) {
      return Fail(error, UM_OUTPUT_TOO_SMALL, "output %zu needs %zu bytes; there is room for %zu", k,
                  plan.output_bytes(k), output.bytes);
    } else if (!um::IsAligned(output.data, um::DtypeSize(program.outputs[k].dtype))) {
      return Fail(error, UM_WRONG_ARGUMENT, "the memory of output %zu is not aligned to its elements, %s", k,
                  um::DtypeName(program.outputs[k].dtype));
    }
  }
  if (giving) UM_TRY(GiveOutputs(outputs, error));
  UM_TRY(CheckOverlap(error));
  for (const um::Patch& patch : plan.output_patches()) *patch.slot = plan.outputs()[patch.index];
  return UM_OK;
}

// Memory of the session for outputs that came without, or with less than they may take where a call finds how much.
um_status um_session::GiveOutputs(const um_tensor* outputs, um_error* error) {
  Plan& plan = *current_;
  const size_t count = plan.program().outputs.size();
  for (size_t k = 0; k < plan.program().inputs.size(); ++k) {
    if (Overlap(plan.inputs()[k], plan.input_bytes(k), given_.data(), given_.bytes())) {
      return Fail(error, UM_WRONG_ARGUMENT,
                  "input %zu is memory that the session gave for an output, and which it needs again: copy it first",
                  k);
    }
  }
  size_t total = 0;
  for (size_t k = 0; k < count; ++k) {
    size_t rounded = 0;
    if (!IsGiven(outputs, k)) continue;
    if (!um::RoundUp(plan.output_bytes(k), um::kBlockAlignment, &rounded) || !um::Add(total, rounded, &total)) {
      return um::OutOfMemory(error, SIZE_MAX);
    }
  }
  if (given_.data() == nullptr || given_.bytes() < total) {
    UM_TRY(Allow(given_, total, error));
    if (!given_.Allocate(total)) return um::OutOfMemory(error, total);
  }
  uint8_t* at = given_.data();
  for (size_t k = 0; k < count; ++k) {
    if (!IsGiven(outputs, k)) continue;
    plan.outputs()[k] = at;
    at += (plan.output_bytes(k) + um::kBlockAlignment - 1) / um::kBlockAlignment * um::kBlockAlignment;
  }
  return UM_OK;
}

// Kernels take it that what they write is nothing else: overlapping memory would give wrong numbers silently.
um_status um_session::CheckOverlap(um_error* error) const {
  const Plan& plan = *current_;
  const size_t inputs = plan.program().inputs.size(), outputs = plan.program().outputs.size();
  for (size_t k = 0; k < outputs; ++k) {
    for (size_t n = 0; n < inputs; ++n) {
      if (Overlap(plan.outputs()[k], plan.output_bytes(k), plan.inputs()[n], plan.input_bytes(n))) {
        return Fail(error, UM_WRONG_ARGUMENT, "output %zu overlaps input %zu in memory: give it memory of its own", k,
                    n);
      }
    }
    for (size_t n = 0; n < k; ++n) {
      if (Overlap(plan.outputs()[k], plan.output_bytes(k), plan.outputs()[n], plan.output_bytes(n))) {
        return Fail(error, UM_WRONG_ARGUMENT, "the outputs %zu and %zu overlap in memory", n, k);
      }
    }
  }
  return UM_OK;
}

// -- run ------------------------------------------------------------------------------------------------------
um_status um_session::Execute(um_tensor* outputs, size_t count, um_error* error) {
  Plan& plan = *current_;
  const size_t wanted = plan.program().returned();
  if (count != wanted || (outputs == nullptr && count > 0)) {
    return Fail(error, UM_WRONG_ARGUMENT, "%zu outputs were given; the signature %s has %zu",
                outputs == nullptr ? size_t{0} : count, plan.program().tables.text(plan.program().row.signature), wanted);
  }
  if (!plan.IsResolvedFor(arena_.data(), scratch_.data()) || plan.arena_bytes() > arena_.bytes() ||
      plan.scratch_bytes() > scratch_.bytes()) {
    UM_TRY(Reserve(&plan, error));
  }
  for (const um::Patch& patch : plan.input_patches()) *patch.slot = const_cast<void*>(plan.inputs()[patch.index]);
  const bool effects = plan.program().updates.size() > 0;
  const um_tensor* whole = outputs;
  if (effects) UM_TRY(PlaceUpdates(&whole, error));
  um_status placed = PlaceOutputs(whole, error);
  if (placed == UM_OK && effects) placed = CheckDestinations(error);
  if (placed != UM_OK) {
    if (placed == UM_OUTPUT_TOO_SMALL) Describe(outputs);
    return placed;
  }
  UM_TRY(Run(error));
  if (plan.finds_outputs()) {
    const um_status fitted = FitFound(outputs, error);
    if (fitted != UM_OK) {
      Describe(outputs);
      return fitted;
    }
  }
  if (effects) Update();
  Describe(outputs);
  for (size_t k = 0; k < count; ++k) {
    if (outputs[k].data == nullptr || !plan.is_found(k)) outputs[k].data = plan.outputs()[k];
  }
  return UM_OK;
}

// Outputs whose sizes the call has found, in the caller's memory where that did not hold all that they might have taken.
um_status um_session::FitFound(const um_tensor* outputs, um_error* error) const {
  const Plan& plan = *current_;
  const size_t count = plan.program().returned();
  for (size_t k = 0; k < count; ++k) {
    if (outputs[k].data != nullptr && outputs[k].bytes < plan.output_used(k)) {
      return Fail(error, UM_OUTPUT_TOO_SMALL, "output %zu needs %zu bytes; there is room for %zu", k,
                  plan.output_used(k), outputs[k].bytes);
    }
  }
  for (size_t k = 0; k < count; ++k) {
    if (outputs[k].data != nullptr && outputs[k].data != plan.outputs()[k] && plan.output_used(k) > 0) {
      memcpy(outputs[k].data, plan.outputs()[k], plan.output_used(k));
    }
  }
  return UM_OK;
}

um_status um_session::Give(const Step& step, um_error* error) {
  int64_t numbers[4];
  step.gives(step.buffers, step.ints, numbers);
  const um::Misfit misfit = current_->Give(step, numbers);
  if (misfit.kind == um::Misfit::kNone) return UM_OK;
  return um::RefuseInputs(current_->program(), misfit, nullptr, 0, error);
}

namespace {

// One call of a kernel that is cut into pieces.
struct Cut {
  const Step* step;
  size_t operands;
};

void DoPiece(void* task, size_t worker, size_t piece) {
  const Cut& cut = *static_cast<const Cut*>(task);
  const Step& step = *cut.step;
  void** buffers = worker == 0 || step.helper_buffers == nullptr ? step.buffers
                                                                 : step.helper_buffers + (worker - 1) * cut.operands;
  const int64_t begin = static_cast<int64_t>(piece) * step.grain;
  const int64_t left = step.extent - begin;
  step.function(buffers, step.ints, begin, left < step.grain ? step.extent : begin + step.grain);
}

}  // namespace

void um_session::Call(const Step& step, size_t operands) {
  if (step.extent == 0) return;
  if (pool_ == nullptr || step.grain == 0 || step.extent <= step.grain) {
    step.function(step.buffers, step.ints, 0, step.extent);
    return;
  }
  Cut cut = {&step, operands};
  pool_->Run(static_cast<size_t>((step.extent - 1) / step.grain) + 1, DoPiece, &cut);
}

um_status um_session::Run(um_error* error) {
  const um::Program& program = current_->program();
  const um::Span<Step> steps = current_->steps();
  uint64_t turns = 0;
  for (size_t at = 0; at < steps.size(); ++at) {
    const Step& step = steps[at];
    switch (step.opcode) {
      case Opcode::kCall:
        Call(step, program.code[at].tensor_count);
        break;
      case Opcode::kBuiltin:
        if (step.gives != nullptr) {
          UM_TRY(Give(step, error));
        } else if (step.extent > 0) {
          step.function(step.buffers, step.ints, 0, step.extent);
        }
        break;
      case Opcode::kCopy:
        if (step.bytes > 0) memmove(step.buffers[0], step.buffers[1], step.bytes);
        break;
      case Opcode::kGuard:
        if ((*static_cast<const uint8_t*>(step.buffers[0]) != 0) == (step.expected != 0)) break;
        [[fallthrough]];
      case Opcode::kRaise:
        return um::RefusePath(program, program.code[at], step.buffers, error);
      case Opcode::kJumpUnless:
        if (*static_cast<const uint8_t*>(step.buffers[0]) != 0) break;
        [[fallthrough]];
      case Opcode::kJump:
        at = step.target - size_t{1};  // the loop goes on behind it
        break;
      case Opcode::kWhile:
        if (*static_cast<const uint8_t*>(step.buffers[0]) == 0) at = step.target - size_t{1};
        break;
      case Opcode::kLoop:
        steps[at].turn = 0;
        if (step.extent == 0) {
          at = step.target - size_t{1};
        } else {
          MoveRows(step);
        }
        break;
      case Opcode::kNext: {
        Step& loop = steps[step.target];
        const bool counts = loop.opcode == Opcode::kLoop;
        if (counts ? ++loop.turn == loop.extent : *static_cast<const uint8_t*>(step.buffers[0]) == 0) break;
        if (++turns > kMaxTurns) {
          return Fail(error, UM_TOO_LARGE, "the loops of a call may take %" PRIu64 " turns together; they go on",
                      kMaxTurns);
        }
        if (counts) MoveRows(loop);
        at = step.target;  // on with the first instruction of its block
        break;
      }
      case Opcode::kReturn:
        return UM_OK;
    }
  }
  return UM_OK;
}
