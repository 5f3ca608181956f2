// A program with memory for its registers: everything of it that depends on the sizes of a call is worked out once, and
// kept until other sizes come.
#pragma once

#include "builtin/builtin.h"
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
  int64_t wanted = 0;  // kDim: the size that it should have; kCheck: the left side as it is
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
  void** helper_buffers;  // for each helping thread, where each needs local buffers of its own; else null
  int64_t extent;         // of a call; the turns of a loop
  int64_t grain;          // turns of a piece; 0 where the call is not cut
  size_t bytes;           // copied by a copy
  uint32_t target;        // where a jump goes
  const format::BuiltinInfo* builtin;
  GivingFunction gives;  // of a builtin that finds numbers; else null, and `function` is called
  uint32_t run;          // of such a builtin: which run of int registers it sets
  int64_t turn;          // that a loop has reached
  Span<Patch> rows;      // of a loop: the buffer pointers that its row number `index` fills in at each turn
};

// Do count, dtypes, ranks and fixed dims of the inputs fit, each for itself?
Misfit CheckInputs(const Program& program, const um_tensor* inputs, size_t count);

class Plan {
 public:
  // `helpers` threads may do pieces of its calls besides the session's own.
  Plan(const Tables& tables, const format::ProgramRow& row, size_t helpers) : program_(tables, row), helpers_(helpers) {}
  Plan(const Plan&) = delete;
  Plan& operator=(const Plan&) = delete;

  // Takes the memory that it will ever need. False where there is none.
  [[nodiscard]] bool Allocate();

  // Do the inputs have the dtypes and sizes for which everything is worked out?
  bool IsSizedFor(const um_tensor* inputs, size_t count) const;
  // Works everything out for these inputs, but for addresses. CheckInputs has passed. kNone: the program takes them.
  Misfit SetSizes(const um_tensor* inputs, size_t count);
  // Sets the int registers of a builtin that has run, and works out what depends on them.
  Misfit Give(const Step& step, const int64_t* numbers);
  // Dims that a call will find are unknown again.
  void ForgetGiven();
  // Fills in the addresses of weights, arena, and the helping threads' local buffers.
  void Resolve(const um_model& model, uint8_t* arena, uint8_t* scratch);

  const Program& program() const { return program_; }
  size_t arena_bytes() const { return static_cast<size_t>(ints_[program_.row.arena]); }
  int64_t flops() const { return ints_[program_.row.flops]; }
  int64_t traffic() const { return ints_[program_.row.traffic]; }
  // For the local buffers of all helping threads.
  size_t scratch_bytes() const { return helpers_ * scratch_bytes_; }
  bool IsResolvedFor(const uint8_t* arena, const uint8_t* scratch) const {
    return resolved_ && arena == arena_ && scratch == scratch_;
  }

  size_t input_bytes(size_t k) const { return input_bytes_[k]; }
  // What output number k may take, and does take: they differ where a call finds its dims, which until then are -1.
  size_t output_bytes(size_t k) const { return output_bytes_[k]; }
  size_t output_used(size_t k) const { return output_used_[k]; }
  bool is_found(size_t k) const { return IsLate(program_.tensors[program_.inputs.size() + k]); }
  bool finds_outputs() const { return finds_outputs_; }
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
  Misfit EvaluateRun(uint32_t first, uint32_t end, const int64_t* numbers);
  bool EvaluateOne(const format::FormulaRow& formula, const int64_t* numbers, int64_t* result) const;
  Misfit CheckTensors();
  bool TensorFits(uint32_t number);
  bool PlaceFits(uint32_t number);
  bool StepFits(uint32_t number);
  bool CopyFits(const format::InstructionRow& i, Step* step) const;
  bool BuiltinFits(const format::InstructionRow& i, Step* step) const;
  bool RowsFit(const format::InstructionRow& loop, Step* step) const;
  bool Overlap(const format::TensorRow& a, const format::TensorRow& b) const;
  void CarveBuiltin(const format::InstructionRow& i, Step* step);
  void PatchRows();
  // What an operand of an instruction names: of a loop, the tensor whose rows it moves.
  const format::TensorRow& Named(const format::InstructionRow& i, uint32_t number) const {
    const bool loops = static_cast<format::Opcode>(i.opcode) == format::Opcode::kLoop;
    return program_.tensors[loops ? program_.tensors[number].index : number];
  }
  void ListLate();
  uint32_t LateRegister(const format::TensorRow& tensor) const;
  uint32_t LateRegister(const format::InstructionRow& i) const;
  bool IsLate(const format::TensorRow& tensor) const { return LateRegister(tensor) >= early_; }
  bool ElementBytes(const format::TensorRow& tensor, size_t* bytes) const;
  bool CallFits(const format::InstructionRow& i, Step* step);
  size_t RoundedBytes(const format::TensorRow& tensor) const {
    return (static_cast<size_t>(ints_[tensor.bytes]) + kBlockAlignment - 1) / kBlockAlignment * kBlockAlignment;
  }
  bool IsLocal(const format::InstructionRow& i, size_t operand) const;
  void** SlotOf(const Step& step, size_t operands, size_t worker, size_t operand) const;
  void ResolveOperand(const um_model& model, const format::TensorRow& tensor, void** slot, uint8_t* arena);

  const Program program_;
  const size_t helpers_;
  Block memory_;
  bool sized_ = false;
  bool asks_contiguity_ = false;  // does a formula read whether an input is contiguous?
  bool resolved_ = false;
  const uint8_t* arena_ = nullptr;
  const uint8_t* scratch_ = nullptr;
  size_t scratch_bytes_ = 0;  // for one thread
  int64_t* ints_ = nullptr;
  int64_t** input_shapes_ = nullptr;  // one per input, and so on; behind the sizes, whether it is contiguous
  size_t* input_bytes_ = nullptr;
  const void** inputs_ = nullptr;
  void** outputs_ = nullptr;
  int64_t** output_shapes_ = nullptr;
  size_t* output_bytes_ = nullptr;
  size_t* output_used_ = nullptr;
  // Int registers from early_ on are set by builtins, run by run. What depends on them, by run: run k has the entries
  // [late_starts_[k], late_starts_[k + 1]) of late_, each a tensor register or, from tensors.size() on, a step.
  uint32_t early_ = 0;
  uint32_t runs_ = 0;
  uint32_t* run_of_ = nullptr;  // by int register, less early_
  uint32_t* late_starts_ = nullptr;
  uint32_t* late_ = nullptr;
  bool finds_outputs_ = false;
  Step* steps_ = nullptr;
  Patch* input_patches_ = nullptr;
  size_t input_patch_count_ = 0;
  Patch* output_patches_ = nullptr;
  size_t output_patch_count_ = 0;
  Mover* movers_ = nullptr;  // one per tensor register
  Patch* row_patches_ = nullptr;
};

}  // namespace um
