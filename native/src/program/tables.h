// The file's tables by name: views of the archive's sections. Rows may be trusted once `Verify` has passed them.
#pragma once

#include "archive/archive.h"
#include "base/span.h"
#include "base/status.h"
#include "generated/codes.inc"
#include "generated/layout.inc"

namespace um {

template <class Row>
using Table = Span<const Row>;

struct Tables {
  explicit Tables(const Archive& archive);

  // The zero-terminated text of a string.
  const char* text(uint32_t string) const { return string_bytes.data() + strings[string].offset; }

  Table<format::StringRow> strings;
  Span<const char> string_bytes;
  Table<format::NameRow> names;
  Table<format::MethodRow> methods;
  Table<format::ConstantRow> constants;
  Span<const uint8_t> graphs;
  Table<format::ProgramRow> programs;
  Table<format::SpecRow> specs;
  Table<format::DimRow> dims;
  Table<format::RelationRow> relations;
  Table<format::FormulaRow> formulas;
  Table<format::CheckRow> checks;
  Table<format::TensorRow> tensors;
  Table<format::InstructionRow> instructions;
  Table<format::RegisterRow> registers;
  Table<format::MessageRow> messages;
  Table<format::SourceRow> sources;
  Table<format::KernelRow> kernels;
  Table<format::BufferRow> buffers;
  Span<const uint8_t> kernel_texts;
  Table<format::WeightRow> weights;
  Table<format::ShapeRow> shapes;
  Table<format::StateRow> states;
  Table<format::StateInputRow> state_inputs;
  Table<format::UpdateRow> updates;
  Table<format::BuiltinRow> builtins;
  Table<format::ExampleRow> examples;
  Table<format::ExampleTensorRow> example_tensors;
  Span<const uint8_t> example_data;
};

// One program: its rows of the tables.
struct Program {
  Program(const Tables& tables, const format::ProgramRow& row);

  const Tables& tables;
  const format::ProgramRow& row;
  Span<const format::SpecRow> inputs;
  Span<const format::SpecRow> outputs;
  Span<const format::FormulaRow> formulas;
  Span<const format::CheckRow> checks;
  Span<const format::TensorRow> tensors;
  Span<const format::InstructionRow> code;
  Span<const format::MessageRow> messages;
  Span<const format::StateInputRow> state_inputs;  // one for each of the last inputs
  Span<const format::UpdateRow> updates;           // one for each of the last outputs

  // How many int registers are known before the code runs: they come first. Negative in a file that is damaged.
  int64_t early() const {
    int64_t count = static_cast<int64_t>(formulas.size());
    for (const format::InstructionRow& i : code) {
      if (static_cast<format::Opcode>(i.opcode) == format::Opcode::kBuiltin) count -= i.expected;
    }
    return count;
  }

  // What the caller gives and gets.
  size_t given() const { return inputs.size() - state_inputs.size(); }
  size_t returned() const { return outputs.size() - updates.size(); }

  Span<const format::DimRow> dims(const format::SpecRow& spec) const {
    return tables.dims.part(spec.first_dim, spec.dim_count);
  }
  Span<const format::RegisterRow> dims(const format::TensorRow& tensor) const {
    return tables.registers.part(tensor.first_dim, tensor.dim_count);
  }
  Span<const format::RegisterRow> operands(const format::InstructionRow& i) const {
    return tables.registers.part(i.first_tensor, i.tensor_count);
  }
  Span<const format::RegisterRow> ints(const format::InstructionRow& i) const {
    return tables.registers.part(i.first_int, i.int_count);
  }
};

// The number of a builtin in format::kBuiltinTable; kBuiltinCount where this runtime lacks it.
uint32_t FindBuiltin(const char* name);

// Bytes of an element, and the name; the dtype must be known.
inline uint32_t DtypeSize(uint32_t dtype) { return format::kDtypes[dtype - 1].size; }
inline const char* DtypeName(uint32_t dtype) { return format::kDtypes[dtype - 1].name; }
inline bool IsDtype(uint32_t dtype) { return dtype >= 1 && dtype <= format::kDtypeCount; }

}  // namespace um
