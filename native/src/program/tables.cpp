// Views of an archive's sections as tables.
#include "program/tables.h"

#include <string.h>

namespace um {

using format::SectionKind;

namespace {

template <class Row>
Span<const Row> Rows(const Archive& archive, SectionKind kind) {
  const Span<const uint8_t> bytes = archive.section(kind);
  return {reinterpret_cast<const Row*>(bytes.data()), bytes.size() / sizeof(Row)};
}

// The rows of a program, which stand together.
template <class Row>
Span<const Row> RowsOf(const Tables& tables, const format::ProgramRow& program, Table<Row> rows) {
  const size_t number = static_cast<size_t>(&program - tables.programs.data());
  size_t first = 0;
  while (first < rows.size() && rows[first].program != number) ++first;
  size_t end = first;
  while (end < rows.size() && rows[end].program == number) ++end;
  return {rows.data() + first, end - first};
}

}  // namespace

uint32_t FindBuiltin(const char* name) {
  uint32_t number = 0;
  while (number < format::kBuiltinCount && strcmp(name, format::kBuiltinTable[number].name) != 0) ++number;
  return number;
}

Tables::Tables(const Archive& archive)
    : strings(Rows<format::StringRow>(archive, SectionKind::kStrings)),
      string_bytes(Rows<char>(archive, SectionKind::kStringBytes)),
      names(Rows<format::NameRow>(archive, SectionKind::kNames)),
      methods(Rows<format::MethodRow>(archive, SectionKind::kMethods)),
      constants(Rows<format::ConstantRow>(archive, SectionKind::kConstants)),
      graphs(archive.section(SectionKind::kGraphs)),
      programs(Rows<format::ProgramRow>(archive, SectionKind::kPrograms)),
      specs(Rows<format::SpecRow>(archive, SectionKind::kSpecs)),
      dims(Rows<format::DimRow>(archive, SectionKind::kDims)),
      relations(Rows<format::RelationRow>(archive, SectionKind::kRelations)),
      formulas(Rows<format::FormulaRow>(archive, SectionKind::kFormulas)),
      checks(Rows<format::CheckRow>(archive, SectionKind::kChecks)),
      tensors(Rows<format::TensorRow>(archive, SectionKind::kTensors)),
      instructions(Rows<format::InstructionRow>(archive, SectionKind::kInstructions)),
      registers(Rows<format::RegisterRow>(archive, SectionKind::kRegisters)),
      messages(Rows<format::MessageRow>(archive, SectionKind::kMessages)),
      sources(Rows<format::SourceRow>(archive, SectionKind::kSources)),
      kernels(Rows<format::KernelRow>(archive, SectionKind::kKernels)),
      buffers(Rows<format::BufferRow>(archive, SectionKind::kBuffers)),
      kernel_texts(archive.section(SectionKind::kKernelTexts)),
      weights(Rows<format::WeightRow>(archive, SectionKind::kWeights)),
      shapes(Rows<format::ShapeRow>(archive, SectionKind::kShapes)),
      states(Rows<format::StateRow>(archive, SectionKind::kStates)),
      state_inputs(Rows<format::StateInputRow>(archive, SectionKind::kStateInputs)),
      updates(Rows<format::UpdateRow>(archive, SectionKind::kUpdates)),
      builtins(Rows<format::BuiltinRow>(archive, SectionKind::kBuiltins)),
      examples(Rows<format::ExampleRow>(archive, SectionKind::kExamples)),
      example_tensors(Rows<format::ExampleTensorRow>(archive, SectionKind::kExampleTensors)),
      example_data(archive.section(SectionKind::kExampleData)) {}

Program::Program(const Tables& tables_in, const format::ProgramRow& row_in)
    : tables(tables_in),
      row(row_in),
      inputs(tables.specs.part(row.first_spec, row.input_count)),
      outputs(tables.specs.part(row.first_spec + row.input_count, row.output_count)),
      formulas(tables.formulas.part(row.first_formula, row.formula_count)),
      checks(tables.checks.part(row.first_check, row.check_count)),
      tensors(tables.tensors.part(row.first_tensor, row.tensor_count)),
      code(tables.instructions.part(row.first_instruction, row.instruction_count)),
      messages(tables.messages.part(row.first_message, row.message_count)),
      state_inputs(RowsOf(tables, row, tables.state_inputs)),
      updates(RowsOf(tables, row, tables.updates)) {}

}  // namespace um
