// Encodes test images, and declares the examples.
#include "image.h"

#include <string.h>

#include "base/sha256.h"
#include "kernels.inc"
#include "unmoor.h"

namespace test {

uint32_t Image::Text(const std::string& text) {
  const auto found = known_.find(text);
  if (found != known_.end()) return found->second;
  const uint32_t number = static_cast<uint32_t>(strings.size());
  strings.push_back({static_cast<uint32_t>(string_bytes.size()), static_cast<uint32_t>(text.size())});
  string_bytes += text + '\0';
  return known_[text] = number;
}

uint32_t Image::Registers(const std::vector<uint32_t>& numbers) {
  const uint32_t first = static_cast<uint32_t>(registers.size());
  for (uint32_t number : numbers) registers.push_back({number});
  return first;
}

void Image::BeginMethod(const std::string& name, const std::string& assumptions) {
  MethodRow row = {};
  row.name = Text(name);
  row.assumptions = Text(assumptions);
  row.first_parameter = static_cast<uint32_t>(names.size());
  row.first_constant = static_cast<uint32_t>(constants.size());
  row.first_program = static_cast<uint32_t>(programs.size());
  methods.push_back(row);
}

void Image::BeginProgram(const std::string& signature) {
  ProgramRow row = {};
  row.signature = Text(signature);
  row.arguments = Text("{\"tuple\":[]}");
  row.result = Text("null");
  row.first_spec = static_cast<uint32_t>(specs.size());
  row.first_symbol = static_cast<uint32_t>(names.size());
  row.first_relation = static_cast<uint32_t>(relations.size());
  row.first_formula = static_cast<uint32_t>(formulas.size());
  row.first_check = static_cast<uint32_t>(checks.size());
  row.first_tensor = static_cast<uint32_t>(tensors.size());
  row.first_instruction = static_cast<uint32_t>(instructions.size());
  row.first_message = static_cast<uint32_t>(messages.size());
  row.first_source = static_cast<uint32_t>(sources.size());
  programs.push_back(row);
  ++methods.back().program_count;
}

void Image::Spec(const std::string& name, uint32_t dtype, const std::vector<DimRow>& shape, bool is_input) {
  specs.push_back({Text(name), dtype, static_cast<uint32_t>(dims.size()), static_cast<uint32_t>(shape.size())});
  dims.insert(dims.end(), shape.begin(), shape.end());
  ++programs.back().spec_count;
  ++(is_input ? programs.back().input_count : programs.back().output_count);
}

void Image::Symbols(const std::vector<std::string>& symbols) {
  for (const std::string& symbol : symbols) names.push_back({Text(symbol)});
  programs.back().symbol_count = static_cast<uint32_t>(symbols.size());
}

uint32_t Image::Formula(FormulaOp op, int64_t a, int64_t b) {
  formulas.push_back({static_cast<uint32_t>(op), 0, a, b});
  return programs.back().formula_count++;
}

void Image::Check(CheckOp op, uint32_t left, uint32_t right, uint32_t message) {
  checks.push_back({static_cast<uint32_t>(op), left, right, message});
  ++programs.back().check_count;
}

uint32_t Image::Tensor(Place place, uint32_t index, uint32_t dtype, const std::vector<uint32_t>& shape,
                       uint32_t bytes) {
  const uint32_t first = Registers(shape);
  tensors.push_back({static_cast<uint32_t>(place), index, dtype, first, static_cast<uint32_t>(shape.size()), bytes});
  return programs.back().tensor_count++;
}

void Image::Instruction(InstructionRow row, const std::vector<uint32_t>& operands, const std::vector<uint32_t>& ints) {
  row.first_tensor = Registers(operands);
  row.tensor_count = static_cast<uint32_t>(operands.size());
  row.first_int = Registers(ints);
  row.int_count = static_cast<uint32_t>(ints.size());
  instructions.push_back(row);
  ++programs.back().instruction_count;
}

void Image::Call(uint32_t kernel, uint32_t extent, const std::vector<uint32_t>& operands,
                 const std::vector<uint32_t>& ints, uint32_t grain) {
  InstructionRow row = {};
  row.expected = grain == kWhole ? 0 : grain + 1;
  row.opcode = static_cast<uint32_t>(Opcode::kCall);
  row.kernel = kernel;
  row.extent = extent;
  Instruction(row, operands, ints);
}

void Image::Copy(uint32_t to, uint32_t from) {
  InstructionRow row = {};
  row.opcode = static_cast<uint32_t>(Opcode::kCopy);
  Instruction(row, {to, from}, {});
}

void Image::Guard(uint32_t tensor, bool expected, uint32_t message) {
  InstructionRow row = {};
  row.opcode = static_cast<uint32_t>(Opcode::kGuard);
  row.expected = expected;
  row.message = message;
  Instruction(row, {tensor}, {});
}

void Image::Raise(uint32_t message) {
  InstructionRow row = {};
  row.opcode = static_cast<uint32_t>(Opcode::kRaise);
  row.message = message;
  Instruction(row, {}, {});
}

void Image::Return() {
  InstructionRow row = {};
  row.opcode = static_cast<uint32_t>(Opcode::kReturn);
  Instruction(row, {}, {});
}

void Image::Message(const std::string& text, const std::string& file, uint32_t line) {
  messages.push_back({Text(text), Text(file), line, 0, 0});
  ++programs.back().message_count;
}

uint32_t Image::Kernel(const std::string& name, const std::vector<BufferRow>& operands, uint32_t ints, uint64_t entry) {
  const std::string text = "kernel " + name;
  kernels.push_back({Text(name), static_cast<uint32_t>(kernel_texts.size()), static_cast<uint32_t>(text.size()),
                     static_cast<uint32_t>(buffers.size()), static_cast<uint32_t>(operands.size()), ints});
  kernel_texts += text;
  buffers.insert(buffers.end(), operands.begin(), operands.end());
  entries.push_back({entry});
  return static_cast<uint32_t>(kernels.size() - 1);
}

uint32_t Image::Weight(const std::string& name, const std::vector<float>& values) {
  while (weight_data.size() % kWeightAlignment != 0) weight_data.push_back(0);
  WeightRow row = {};
  row.name = Text(name);
  row.dtype = UM_F32;
  row.first_dim = static_cast<uint32_t>(shapes.size());
  row.dim_count = 1;
  row.offset = weight_data.size();
  row.bytes = 4 * values.size();
  shapes.push_back({static_cast<int64_t>(values.size())});
  weights.push_back(row);
  weight_data.resize(row.offset + row.bytes);
  if (!values.empty()) memcpy(weight_data.data() + row.offset, values.data(), row.bytes);
  return static_cast<uint32_t>(weights.size() - 1);
}

namespace {

struct Part {
  SectionKind kind;
  uint32_t detail;
  Bytes bytes;
};

template <class Rows>
Bytes BytesOf(const Rows& rows) {
  const uint8_t* start = reinterpret_cast<const uint8_t*>(rows.data());
  return Bytes(start, start + rows.size() * sizeof(*rows.data()));
}

}  // namespace

void Image::BeginExample(uint32_t method) {
  examples.push_back({method, static_cast<uint32_t>(example_tensors.size()), 0});
}

void Image::Tensor(const std::vector<float>& values, double tolerance) {
  while (example_data.size() % kExampleAlignment != 0) example_data.push_back(0);
  const size_t bytes = values.size() * sizeof(float), at = example_data.size();
  example_data.resize(at + bytes);
  if (bytes > 0) memcpy(example_data.data() + at, values.data(), bytes);
  example_tensors.push_back({UM_F32, static_cast<uint32_t>(shapes.size()), 1, 0, at, bytes, tolerance});
  shapes.push_back({static_cast<int64_t>(values.size())});
  ++examples.back().tensor_count;
}

Bytes Image::Encode() const {
  std::vector<Part> parts = {{SectionKind::kStrings, 0, BytesOf(strings)},
                             {SectionKind::kStringBytes, 0, BytesOf(string_bytes)},
                             {SectionKind::kNames, 0, BytesOf(names)},
                             {SectionKind::kMethods, 0, BytesOf(methods)},
                             {SectionKind::kConstants, 0, BytesOf(constants)},
                             {SectionKind::kPrograms, 0, BytesOf(programs)},
                             {SectionKind::kSpecs, 0, BytesOf(specs)},
                             {SectionKind::kDims, 0, BytesOf(dims)},
                             {SectionKind::kRelations, 0, BytesOf(relations)},
                             {SectionKind::kFormulas, 0, BytesOf(formulas)},
                             {SectionKind::kChecks, 0, BytesOf(checks)},
                             {SectionKind::kTensors, 0, BytesOf(tensors)},
                             {SectionKind::kInstructions, 0, BytesOf(instructions)},
                             {SectionKind::kRegisters, 0, BytesOf(registers)},
                             {SectionKind::kMessages, 0, BytesOf(messages)},
                             {SectionKind::kSources, 0, BytesOf(sources)},
                             {SectionKind::kKernels, 0, BytesOf(kernels)},
                             {SectionKind::kBuffers, 0, BytesOf(buffers)},
                             {SectionKind::kKernelTexts, 0, BytesOf(kernel_texts)},
                             {SectionKind::kWeights, 0, BytesOf(weights)},
                             {SectionKind::kShapes, 0, BytesOf(shapes)}};
  for (uint32_t target : targets) parts.push_back({SectionKind::kCodeEntries, target, BytesOf(entries)});
  for (uint32_t target : targets) parts.push_back({SectionKind::kMachineCode, target, code});
  if (!examples.empty()) {
    parts.push_back({SectionKind::kExamples, 0, BytesOf(examples)});
    parts.push_back({SectionKind::kExampleTensors, 0, BytesOf(example_tensors)});
    parts.push_back({SectionKind::kExampleData, 0, example_data});
  }
  parts.push_back({SectionKind::kWeightData, 0, weight_data});

  std::vector<SectionEntry> table;
  Bytes body;
  const size_t start = sizeof(Header) + parts.size() * sizeof(SectionEntry);
  for (const Part& part : parts) {
    SectionEntry entry = {};
    entry.kind = static_cast<uint32_t>(part.kind);
    entry.detail = part.detail;
    entry.bytes = part.bytes.size();
    const bool is_weights = part.kind == SectionKind::kWeightData;
    if (is_weights && weights_apart) {
      entry.flags = kSectionApart;
    } else {
      const size_t alignment = is_weights ? kWeightsAlignment : kSectionAlignment;
      while ((start + body.size()) % alignment != 0) body.push_back(0);
      entry.offset = start + body.size();
      body.insert(body.end(), part.bytes.begin(), part.bytes.end());
    }
    table.push_back(entry);
  }
  Header header = {};
  memcpy(header.magic, kMagic, sizeof kMagic);
  header.writer = oldest_reader;
  header.oldest_reader = oldest_reader;
  header.file_bytes = start + body.size();
  header.section_count = static_cast<uint32_t>(table.size());
  const uint8_t* head = reinterpret_cast<const uint8_t*>(&header);
  Bytes file(head, head + sizeof header);
  const Bytes rows = BytesOf(table);
  file.insert(file.end(), rows.begin(), rows.end());
  file.insert(file.end(), body.begin(), body.end());
  MakeDigestsRight(&file);
  return file;
}

void MakeDigestsRight(Bytes* file) {
  if (file->size() < sizeof(Header)) return;
  Header header;
  memcpy(&header, file->data(), sizeof header);
  const size_t room = (file->size() - sizeof header) / sizeof(SectionEntry);
  const size_t count = header.section_count < room ? header.section_count : room;
  for (size_t k = 0; k < count; ++k) {
    uint8_t* at = file->data() + sizeof header + k * sizeof(SectionEntry);
    SectionEntry entry;
    memcpy(&entry, at, sizeof entry);
    if (entry.flags != 0 || entry.offset > file->size() || entry.bytes > file->size() - entry.offset) continue;
    um::Sha256 sha(false);
    sha.Update(file->data() + entry.offset, static_cast<size_t>(entry.bytes));
    sha.Finish(at + offsetof(SectionEntry, digest));
  }
  um::Sha256 sha(false);
  sha.Update(file->data(), kDigestedHeaderBytes);
  sha.Update(file->data() + sizeof header, count * sizeof(SectionEntry));
  sha.Finish(file->data() + offsetof(Header, digest));
}

// -- examples -------------------------------------------------------------------------------------------------
namespace {

constexpr BufferRow kInF32 = {static_cast<uint32_t>(Role::kIn), UM_F32, 0};
constexpr BufferRow kOutF32 = {static_cast<uint32_t>(Role::kOut), UM_F32, 0};
constexpr BufferRow kLocalF32 = {static_cast<uint32_t>(Role::kLocal), UM_F32, 0};
constexpr BufferRow kOutBool = {static_cast<uint32_t>(Role::kOut), UM_BOOL, 0};

// y = 4 x, through the arena.
void AddTwice(Image* image, uint32_t double_it) {
  image->BeginProgram("(x: f32[s0]) -> (f32[s0])");
  image->Input("x", UM_F32, {Symbol(0)});
  image->Output("y", UM_F32, {Symbol(0)});
  image->Symbols({"s0"});
  const uint32_t n = image->Dim(0, 0), four = image->Const(4), bytes = image->Formula(FormulaOp::kMul, n, four);
  const uint32_t zero = image->Const(0);
  image->Arena(bytes);
  const uint32_t x = image->Tensor(Place::kInput, 0, UM_F32, {n}, bytes);
  const uint32_t y = image->Tensor(Place::kOutput, 0, UM_F32, {n}, bytes);
  const uint32_t t = image->Tensor(Place::kArena, zero, UM_F32, {n}, bytes);
  image->Call(double_it, n, {x, t});
  image->Call(double_it, n, {t, y});
  image->Return();
}

// y = x + w for rows of three.
void AddRows(Image* image, uint32_t add_row, uint32_t weight) {
  image->BeginProgram("(x: f32[s0, 3]) -> (f32[s0, 3])");
  image->Input("x", UM_F32, {Symbol(0), Fixed(3)});
  image->Output("y", UM_F32, {Symbol(0), Fixed(3)});
  image->Symbols({"s0"});
  const uint32_t n = image->Dim(0, 0), three = image->Const(3), twelve = image->Const(12);
  const uint32_t bytes = image->Formula(FormulaOp::kMul, n, twelve);
  image->Arena(image->Const(0));
  const uint32_t x = image->Tensor(Place::kInput, 0, UM_F32, {n, three}, bytes);
  const uint32_t y = image->Tensor(Place::kOutput, 0, UM_F32, {n, three}, bytes);
  const uint32_t w = image->Tensor(Place::kWeight, weight, UM_F32, {three}, twelve);
  image->Call(add_row, n, {x, w, y}, {three});
  image->Return();
}

// y = 2 x where the sum of x is above zero.
void AddGuarded(Image* image, uint32_t double_it, uint32_t is_positive) {
  image->BeginProgram("(x: f32[s0]) -> (f32[s0])");
  image->Input("x", UM_F32, {Symbol(0)});
  image->Output("y", UM_F32, {Symbol(0)});
  image->Symbols({"s0"});
  const uint32_t n = image->Dim(0, 0), four = image->Const(4), bytes = image->Formula(FormulaOp::kMul, n, four);
  const uint32_t zero = image->Const(0), one = image->Const(1);
  image->Arena(image->Const(64));
  const uint32_t x = image->Tensor(Place::kInput, 0, UM_F32, {n}, bytes);
  const uint32_t y = image->Tensor(Place::kOutput, 0, UM_F32, {n}, bytes);
  const uint32_t c = image->Tensor(Place::kArena, zero, UM_BOOL, {}, one);
  image->Call(is_positive, one, {x, c}, {n});
  image->Guard(c, true, 0);
  image->Call(double_it, n, {x, y});
  image->Return();
  image->Message("took the branch `x.sum() > 0` in every example; here it is False", "net.py", 7);
}

// The result is b; a must be as long as b.
void AddSecond(Image* image) {
  image->BeginProgram("(a: f32[s0], b: f32[s1]) -> (f32[s1]) where s0 == s1");
  image->Input("a", UM_F32, {Symbol(0)});
  image->Input("b", UM_F32, {Symbol(1)});
  image->Output("y", UM_F32, {Symbol(1)});
  image->Symbols({"s0", "s1"});
  const uint32_t n = image->Dim(0, 0), m = image->Dim(1, 0), four = image->Const(4);
  const uint32_t n_bytes = image->Formula(FormulaOp::kMul, n, four), m_bytes = image->Formula(FormulaOp::kMul, m, four);
  image->Arena(image->Const(0));
  image->Check(CheckOp::kEq, n, m, 0);
  image->Tensor(Place::kInput, 0, UM_F32, {n}, n_bytes);
  const uint32_t b = image->Tensor(Place::kInput, 1, UM_F32, {m}, m_bytes);
  const uint32_t y = image->Tensor(Place::kOutput, 0, UM_F32, {m}, m_bytes);
  image->Copy(y, b);
  image->Return();
  image->Message("s0 == s1");
}

void AddSame(Image* image) {
  image->BeginMethod("same");
  image->BeginProgram("(x: f32[s0]) -> (f32[s0])");
  image->Input("x", UM_F32, {Symbol(0)});
  image->Output("y", UM_F32, {Symbol(0)});
  image->Symbols({"s0"});
  const uint32_t n = image->Dim(0, 0), four = image->Const(4), bytes = image->Formula(FormulaOp::kMul, n, four);
  image->Arena(image->Const(0));
  const uint32_t x = image->Tensor(Place::kInput, 0, UM_F32, {n}, bytes);
  const uint32_t y = image->Tensor(Place::kOutput, 0, UM_F32, {n}, bytes);
  image->Copy(y, x);
  image->Return();
}

}  // namespace

Image Example() {
  Image image;
  image.code.assign(kKernelCode, kKernelCode + sizeof kKernelCode);
  image.targets = {3};
  const uint32_t double_it = image.Kernel("double_it", {kInF32, kOutF32}, 0, k_double_it);
  const uint32_t add_row = image.Kernel("add_row", {kInF32, kInF32, kOutF32}, 1, k_add_row);
  const uint32_t is_positive = image.Kernel("is_positive", {kInF32, kOutBool}, 1, k_is_positive);
  const uint32_t weight = image.Weight("parameter w", {10, 20, 30});
  image.BeginMethod("forward", "model.py:3 the mode is eval");
  AddTwice(&image, double_it);
  AddRows(&image, add_row, weight);
  image.BeginMethod("guarded");
  AddGuarded(&image, double_it, is_positive);
  image.BeginMethod("second");
  AddSecond(&image);
  AddSame(&image);
  image.BeginMethod("never");
  image.BeginProgram("() -> ()");
  image.Arena(image.Const(0));
  image.Raise(0);
  image.Message("this path was never traced", "net.py", 9);
  return image;
}

Image Verifiable(float expected) {
  Image image = Example();
  image.oldest_reader = 4;
  image.BeginExample(0);
  image.Tensor({1, 2, 3});
  image.Tensor({4, expected, 12}, 0.125);
  image.BeginExample(3);
  image.Tensor({__builtin_nanf(""), __builtin_inff()});
  image.Tensor({__builtin_nanf(""), __builtin_inff()}, 0.125);
  return image;
}

Image Cut(int64_t grain) {
  Image image;
  image.oldest_reader = 3;
  image.code.assign(kKernelCode, kKernelCode + sizeof kKernelCode);
  image.targets = {3};
  const uint32_t double_it = image.Kernel("double_it", {kInF32, kOutF32}, 0, k_double_it);
  const uint32_t turn_rows = image.Kernel("turn_rows", {kInF32, kOutF32, kLocalF32}, 1, k_turn_rows);
  image.BeginMethod("turn");
  image.BeginProgram("(x: f32[s0, s1]) -> (f32[s0, s1])");
  image.Input("x", UM_F32, {Symbol(0), Symbol(1)});
  image.Output("y", UM_F32, {Symbol(0), Symbol(1)});
  image.Symbols({"s0", "s1"});
  const uint32_t n = image.Dim(0, 0), m = image.Dim(0, 1), four = image.Const(4), zero = image.Const(0);
  const uint32_t all = image.Formula(FormulaOp::kMul, n, m), bytes = image.Formula(FormulaOp::kMul, all, four);
  const uint32_t row = image.Formula(FormulaOp::kMul, m, four), sixty_four = image.Const(64);
  const uint32_t more = image.Formula(FormulaOp::kAdd, bytes, image.Const(63));
  const uint32_t blocks = image.Formula(FormulaOp::kFloordiv, more, sixty_four);
  const uint32_t above = image.Formula(FormulaOp::kMul, blocks, sixty_four);
  const uint32_t rows = image.Const(grain), elements = image.Formula(FormulaOp::kMul, rows, m);
  image.Arena(image.Formula(FormulaOp::kAdd, above, row));
  const uint32_t x = image.Tensor(Place::kInput, 0, UM_F32, {n, m}, bytes);
  const uint32_t y = image.Tensor(Place::kOutput, 0, UM_F32, {n, m}, bytes);
  const uint32_t doubled = image.Tensor(Place::kArena, zero, UM_F32, {n, m}, bytes);
  const uint32_t local = image.Tensor(Place::kArena, above, UM_F32, {m}, row);
  image.Call(double_it, all, {x, doubled}, {}, elements);
  image.Call(turn_rows, n, {doubled, y, local}, {m}, rows);
  image.Return();
  return image;
}

Image NoKernels() {
  Image image;
  AddSame(&image);
  return image;
}

}  // namespace test
