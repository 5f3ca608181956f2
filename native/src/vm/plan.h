// A program with memory for its registers: everything of it that depends on the sizes of a call is worked out once, and
// kept until other sizes come.
#pragma once

#include "code/code.h"
#include "platform/memory.h"
#include "program/tables.h"
#include "vm/model.h"

namespace um {

// Why a program does not take some inputs.
struct Misfit {
  enum Kind { kNone, kCount, kDtype, kRank, kDim, kCheck, kOverflow, kDivision, kPlan };
  Kind kind = kNone;
  uint32_t at = 0;     // input; check; formula; tensor register or instruction
  int32_t axis = 0;    // kDim
  int64_t wanted = 0;  // kDim: the size that it should have
};

// A buffer pointer that the caller's input or output number `index` fills in at each call, or a loop's row.
struct Patch {
  void** slot;
  uint32_t index;
};

// An instruction with its operands resolved.
struct Step {
  format::Opcode opcode;
  uint32_t expected;
  uint32_t message;
  KernelFunction function;
  void** buffers;
  int64_t* ints;
  int64_t extent;  // of a call; the turns of a loop
  size_t bytes;     // copied by a copy
  uint32_t target;  // where a jump goes
  int64_t turn;     // that a loop has reached
  Span<Patch> rows;  // of a loop: the buffer pointers that its row number `index` fills in at each turn
};

// Do count, dtypes, ranks and fixed dims of the inputs fit, each for itself?
Misfit CheckInputs(const Program& program, const um_tensor* inputs, size_t count);

class Plan {
 public:
  Plan(const Tables& tables, const format::ProgramRow& row) : program_(tables, row) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Takes the memory that it will ever need. False where there is none.
  [[nodiscard]] bool Allocate();

  // Do the inputs have the dtypes and sizes for which everything is worked out?
  bool IsSizedFor(const um_tensor* inputs, size_t count) const;
  // Works everything out for these inputs, but for addresses. CheckInputs has passed. kNone: the program takes them.
  Misfit SetSizes(const um_tensor* inputs, size_t count);
  // Fills in the addresses of weights and arena.
  void Resolve(const um_model& model, uint8_t* arena);

  const Program& program() const { return program_; }
  size_t arena_bytes() const { return static_cast<size_t>(ints_[program_.row.arena]); }
  int64_t flops() const { return ints_[program_.row.flops]; }
  int64_t traffic() const { return ints_[program_.row.traffic]; }
  const uint8_t* arena() const { return arena_; }
  bool resolved() const { return resolved_; }

  size_t input_bytes(size_t k) const { return input_bytes_[k]; }
  size_t output_bytes(size_t k) const { return output_bytes_[k]; }
  const int64_t* output_shape(size_t k) const { return output_shapes_[k]; }
  // Where the call's inputs and outputs are; to be set before a run.
  const void** inputs() const { return inputs_; }
  void** outputs() const { return outputs_; }
  Span<const Patch> input_patches() const { return {input_patches_, input_patch_count_}; }
  Span<const Patch> output_patches() const { return {output_patches_, output_patch_count_}; }
  Span<Step> steps() const { return {steps_, program_.code.size()}; }

 private:
  struct Mover {  // the loop that moves a row register
    uint32_t loop;
    uint32_t row;
  };
  class Carver;
  void Carve(Carver* carver);
  Misfit Evaluate();
  bool EvaluateOne(const format::FormulaRow& formula, int64_t* result) const;
  Misfit CheckTensors();
  bool TensorFits(uint32_t number);
  bool StepFits(uint32_t number);
  bool RowsFit(const format::InstructionRow& loop, Step* step);
  void PatchRows();
  bool ElementBytes(const format::TensorRow& tensor, size_t* bytes) const;

  const Program program_;
  Block memory_;
  bool sized_ = false;
  bool resolved_ = false;
  const uint8_t* arena_ = nullptr;
  int64_t* ints_ = nullptr;
  int64_t** input_shapes_ = nullptr;  // one per input, and so on
  size_t* input_bytes_ = nullptr;
  const void** inputs_ = nullptr;
  void** outputs_ = nullptr;
  int64_t** output_shapes_ = nullptr;
  size_t* output_bytes_ = nullptr;
  Step* steps_ = nullptr;
  Patch* input_patches_ = nullptr;
  size_t input_patch_count_ = 0;
  Patch* output_patches_ = nullptr;
  size_t output_patch_count_ = 0;
  Mover* movers_ = nullptr;  // one per tensor register
  Patch* row_patches_ = nullptr;
};

}  // namespace um
