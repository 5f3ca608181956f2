// Checks strings, and that the tables are owned row by row: every row once, in order, none left over.
#include <string.h>

#include <initializer_list>

#include "program/verify.h"

namespace um {

namespace {

um_status Damaged(const char* what, uint32_t number, um_error* error) {
  return Fail(error, UM_DAMAGED, "the file is damaged: %s %u breaks the rules of the format", what, number);
}

bool IsUtf8(const unsigned char* text, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    const unsigned char lead = text[at];
    if (lead == 0) return false;
    const size_t length = lead < 0x80 ? 1 : lead < 0xC2 ? 0 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
    if (length == 0 || length > bytes - at) return false;
    for (size_t k = 1; k < length; ++k) {
      if ((text[at + k] & 0xC0) != 0x80) return false;
    }
    const unsigned char second = length > 2 ? text[at + 1] : 0x80;
    if ((lead == 0xE0 && second < 0xA0) || (lead == 0xED && second > 0x9F) ||  // overlong; surrogates
        (lead == 0xF0 && second < 0x90) || (lead == 0xF4 && second > 0x8F)) {  // overlong; beyond U+10FFFF
      return false;
    }
    at += length;
  }
  return true;
}

// Hands out the rows of a table in order. Rows that two owners share, or that nobody owns, are refused: so checking is
// linear in the size of the file, and nothing is hidden in it.
class Owned {
 public:
  explicit Owned(size_t rows) : rows_(rows) {}

  bool Take(uint32_t first, uint32_t count) {
    if (first != next_ || count > rows_ - next_) return false;
    next_ += count;
    return true;
  }
  bool AllTaken() const { return next_ == rows_; }

 private:
  size_t rows_;
  size_t next_ = 0;
};

// A walk over all owners in the order in which the writer wrote them.
class SpanWalk {
 public:
  explicit SpanWalk(const Tables& t)
      : t_(t),
        names_(t.names.size()),
        constants_(t.constants.size()),
        graphs_(t.graphs.size()),
        programs_(t.programs.size()),
        specs_(t.specs.size()),
        dims_(t.dims.size()),
        relations_(t.relations.size()),
        formulas_(t.formulas.size()),
        checks_(t.checks.size()),
        tensors_(t.tensors.size()),
        instructions_(t.instructions.size()),
        registers_(t.registers.size()),
        messages_(t.messages.size()),
        sources_(t.sources.size()),
        buffers_(t.buffers.size()),
        kernel_texts_(t.kernel_texts.size()),
        shapes_(t.shapes.size()),
        example_tensors_(t.example_tensors.size()) {}

  um_status Run(um_error* error) {
    for (uint32_t k = 0; k < t_.methods.size(); ++k) {
      const format::MethodRow& m = t_.methods[k];
      if (!graphs_.Take(m.graph_offset, m.graph_bytes) || !names_.Take(m.first_parameter, m.parameter_count) ||
          !constants_.Take(m.first_constant, m.constant_count) || !programs_.Take(m.first_program, m.program_count)) {
        return Damaged("the method", k, error);
      }
      for (uint32_t p = m.first_program; p < m.first_program + m.program_count; ++p) {
        if (!TakeProgram(t_.programs[p])) return Damaged("the program", p, error);
      }
    }
    for (uint32_t k = 0; k < t_.kernels.size(); ++k) {
      const format::KernelRow& kernel = t_.kernels[k];
      if (!kernel_texts_.Take(kernel.text_offset, kernel.text_bytes) ||
          !buffers_.Take(kernel.first_buffer, kernel.buffer_count)) {
        return Damaged("the kernel", k, error);
      }
    }
    for (uint32_t k = 0; k < t_.weights.size(); ++k) {
      if (!shapes_.Take(t_.weights[k].first_dim, t_.weights[k].dim_count)) return Damaged("the weight", k, error);
    }
    for (uint32_t k = 0; k < t_.examples.size(); ++k) {
      if (!TakeExample(t_.examples[k])) return Damaged("the example", k, error);
    }
    for (const Owned* table :
         {&names_, &constants_, &graphs_, &programs_, &specs_, &dims_, &relations_, &formulas_, &checks_, &tensors_,
          &instructions_, &registers_, &messages_, &sources_, &buffers_, &kernel_texts_, &shapes_,
          &example_tensors_}) {
      if (!table->AllTaken()) return Fail(error, UM_DAMAGED, "the file is damaged: it has rows that nothing uses");
    }
    return UM_OK;
  }

 private:
  bool TakeProgram(const format::ProgramRow& p) {
    if (!specs_.Take(p.first_spec, p.spec_count)) return false;
    if (uint64_t{p.input_count} + p.output_count != p.spec_count || p.spec_count > p.tensor_count) return false;
    for (const format::SpecRow& spec : t_.specs.part(p.first_spec, p.spec_count)) {
      if (!dims_.Take(spec.first_dim, spec.dim_count)) return false;
    }
    if (!names_.Take(p.first_symbol, p.symbol_count) || !relations_.Take(p.first_relation, p.relation_count) ||
        !formulas_.Take(p.first_formula, p.formula_count) || !checks_.Take(p.first_check, p.check_count) ||
        !tensors_.Take(p.first_tensor, p.tensor_count) ||
        !instructions_.Take(p.first_instruction, p.instruction_count) ||
        !messages_.Take(p.first_message, p.message_count) || !sources_.Take(p.first_source, p.source_count)) {
      return false;
    }
    for (const format::TensorRow& tensor : t_.tensors.part(p.first_tensor, p.tensor_count)) {
      if (!registers_.Take(tensor.first_dim, tensor.dim_count)) return false;
    }
    for (const format::InstructionRow& i : t_.instructions.part(p.first_instruction, p.instruction_count)) {
      if (!registers_.Take(i.first_tensor, i.tensor_count) || !registers_.Take(i.first_int, i.int_count)) return false;
    }
    return true;
  }

  bool TakeExample(const format::ExampleRow& example) {
    if (!example_tensors_.Take(example.first_tensor, example.tensor_count)) return false;
    for (const format::ExampleTensorRow& row : t_.example_tensors.part(example.first_tensor, example.tensor_count)) {
      if (!shapes_.Take(row.first_dim, row.dim_count)) return false;
    }
    return true;
  }

  const Tables& t_;
  Owned names_, constants_, graphs_, programs_, specs_, dims_, relations_, formulas_, checks_, tensors_, instructions_,
      registers_, messages_, sources_, buffers_, kernel_texts_, shapes_, example_tensors_;
};

}  // namespace

um_status VerifyStrings(const Tables& tables, um_error* error) {
  const size_t bytes = tables.string_bytes.size();
  size_t end = 0;
  for (uint32_t k = 0; k < tables.strings.size(); ++k) {
    const format::StringRow& row = tables.strings[k];
    if (row.offset != end || row.bytes >= bytes - end || tables.string_bytes[end + row.bytes] != '\0' ||
        !IsUtf8(reinterpret_cast<const unsigned char*>(tables.string_bytes.data()) + end, row.bytes)) {
      return Damaged("the string", k, error);
    }
    end += size_t{row.bytes} + 1;
  }
  if (end != bytes || tables.strings.size() == 0 || tables.strings[0].bytes != 0) {
    return Fail(error, UM_DAMAGED, "the file is damaged: its strings do not fill their section");
  }
  return UM_OK;
}

um_status VerifySpans(const Tables& tables, um_error* error) { return SpanWalk(tables).Run(error); }

}  // namespace um
