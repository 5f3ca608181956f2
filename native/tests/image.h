// Writes small files for the tests, row by row: sound ones, and ones that are sound but for what a test spoils.
#pragma once

#include <stdint.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "generated/codes.inc"
#include "generated/layout.inc"

namespace test {

using Bytes = std::vector<uint8_t>;
using namespace um::format;

// The rows of a file. What is appended to one program, method or kernel must be appended before the next is begun.
struct Image {
  Image() { Text(""); }

  uint32_t Text(const std::string& text);
  uint32_t Registers(const std::vector<uint32_t>& numbers);  // the first

  void BeginMethod(const std::string& name, const std::string& assumptions = "");
  // Then what the program has, in this order: inputs, outputs, symbols, formulas, checks, tensors, code, messages.
  void BeginProgram(const std::string& signature);
  void Input(const std::string& name, uint32_t dtype, const std::vector<DimRow>& shape) {
    Spec(name, dtype, shape, true);
  }
  void Output(const std::string& name, uint32_t dtype, const std::vector<DimRow>& shape) {
    Spec(name, dtype, shape, false);
  }
  void Symbols(const std::vector<std::string>& names);
  uint32_t Formula(FormulaOp op, int64_t a, int64_t b = 0);  // its register
  uint32_t Const(int64_t value) { return Formula(FormulaOp::kConst, value); }
  uint32_t Dim(int64_t input, int64_t axis) { return Formula(FormulaOp::kDim, input, axis); }
  void Check(CheckOp op, uint32_t left, uint32_t right, uint32_t message);
  uint32_t Tensor(Place place, uint32_t index, uint32_t dtype, const std::vector<uint32_t>& shape, uint32_t bytes);
  void Call(uint32_t kernel, uint32_t extent, const std::vector<uint32_t>& operands,
            const std::vector<uint32_t>& ints = {}, uint32_t grain = kWhole);
  static constexpr uint32_t kWhole = UINT32_MAX;  // a grain: the call is never cut
  void Copy(uint32_t to, uint32_t from);
  void Guard(uint32_t tensor, bool expected, uint32_t message);
  void Raise(uint32_t message);
  void Return();
  void Message(const std::string& text, const std::string& file = "", uint32_t line = 0);
  void Arena(uint32_t bytes) { programs.back().arena = bytes; }

  uint32_t Kernel(const std::string& name, const std::vector<BufferRow>& operands, uint32_t ints, uint64_t entry);
  uint32_t Weight(const std::string& name, const std::vector<float>& values);  // 1-D, f32

  // A call of a method: its inputs, then its outputs, all 1-D f32. After all methods and weights.
  void BeginExample(uint32_t method);
  void Tensor(const std::vector<float>& values, double tolerance = 0);

  Bytes Encode() const;

  std::vector<StringRow> strings;
  std::string string_bytes;
  std::vector<NameRow> names;
  std::vector<MethodRow> methods;
  std::vector<ConstantRow> constants;
  std::vector<ProgramRow> programs;
  std::vector<SpecRow> specs;
  std::vector<DimRow> dims;
  std::vector<RelationRow> relations;
  std::vector<FormulaRow> formulas;
  std::vector<CheckRow> checks;
  std::vector<TensorRow> tensors;
  std::vector<InstructionRow> instructions;
  std::vector<RegisterRow> registers;
  std::vector<MessageRow> messages;
  std::vector<SourceRow> sources;
  std::vector<KernelRow> kernels;
  std::vector<BufferRow> buffers;
  std::string kernel_texts;
  std::vector<WeightRow> weights;
  std::vector<ShapeRow> shapes;
  std::vector<ExampleRow> examples;
  std::vector<ExampleTensorRow> example_tensors;
  Bytes example_data;
  std::vector<CodeEntryRow> entries;
  Bytes code;
  Bytes weight_data;
  std::vector<uint32_t> targets;  // which targets the code is for
  uint32_t oldest_reader = 1;
  bool weights_apart = false;

 private:
  void Spec(const std::string& name, uint32_t dtype, const std::vector<DimRow>& shape, bool is_input);
  void Instruction(InstructionRow row, const std::vector<uint32_t>& operands, const std::vector<uint32_t>& ints);
  std::map<std::string, uint32_t> known_;
};

inline DimRow Fixed(int64_t size) { return {static_cast<uint32_t>(DimKind::kFixed), 0, size}; }
inline DimRow Symbol(int64_t number) { return {static_cast<uint32_t>(DimKind::kSymbol), 0, number}; }

// A file with all that there is: see the comments in image.cpp. Its code needs an x86-64 processor of level v3.
Image Example();
// The same with two examples, in format version 4: forward([1, 2, 3]) is [4, expected, 12], where 8 is right.
Image Verifiable(float expected);
// Calls that are cut into pieces: method "turn" doubles f32[s0, s1] and turns its rows round, through local buffers;
// pieces are of `grain` rows. In format version 3.
Image Cut(int64_t grain);
// Without kernels: method "same" gives its input f32[s0] back.
Image NoKernels();

// Sets the digests of the sections and of the file to what they should be, as far as the table makes sense.
void MakeDigestsRight(Bytes* file);

}  // namespace test
