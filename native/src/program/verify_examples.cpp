// Checks the examples: each has the tensors of its method, and each tensor the bytes of its shape.
#include "base/checked.h"
#include "program/verify.h"

namespace um {

namespace {

bool IsFloat(uint32_t dtype) { return dtype >= UM_F16; }

// The tensors' bytes lie one after the other, with zeros between them: `end` is where the last ones ended.
bool IsSound(const Tables& t, const format::ExampleTensorRow& row, bool is_input, uint64_t* end) {
  if (row.reserved != 0 || !IsDtype(row.dtype) || row.dim_count > UM_MAX_RANK) return false;
  uint64_t bytes = DtypeSize(row.dtype), start = 0;
  bool empty = false;
  for (const format::ShapeRow& dim : t.shapes.part(row.first_dim, row.dim_count)) {
    if (dim.size < 0) return false;
    empty = empty || dim.size == 0;
    if (dim.size > 0 && !Multiply<uint64_t>(bytes, static_cast<uint64_t>(dim.size), &bytes)) return false;
  }
  if (bytes > INT64_MAX) return false;
  if (empty) bytes = 0;
  const uint64_t room = t.example_data.size();
  if (!RoundUp<uint64_t>(*end, format::kExampleAlignment, &start) || row.offset != start || start > room ||
      row.bytes != bytes || bytes > room - start) {
    return false;
  }
  for (uint64_t k = *end; k < start; ++k) {
    if (t.example_data[static_cast<size_t>(k)] != 0) return false;
  }
  *end = start + bytes;
  const bool exact = is_input || !IsFloat(row.dtype);
  return row.tolerance >= 0 && row.tolerance <= (exact ? 0 : __DBL_MAX__);
}

}  // namespace

um_status VerifyExamples(const Tables& t, um_error* error) {
  uint64_t end = 0;
  for (uint32_t k = 0; k < t.examples.size(); ++k) {
    const format::ExampleRow& example = t.examples[k];
    bool sound = example.method < t.methods.size() && t.methods[example.method].program_count > 0;
    size_t given = 0;
    for (uint32_t p = 0; sound && p < t.methods[example.method].program_count; ++p) {
      const Program program(t, t.programs[t.methods[example.method].first_program + p]);
      given = program.given();
      sound = given + program.outputs.size() == example.tensor_count;
    }
    for (uint32_t n = 0; sound && n < example.tensor_count; ++n) {
      sound = IsSound(t, t.example_tensors[example.first_tensor + n], n < given, &end);
    }
    if (!sound) return Fail(error, UM_DAMAGED, "the file is damaged: the example %u breaks the rules of the format", k);
  }
  if (end != t.example_data.size()) {
    return Fail(error, UM_DAMAGED, "the file is damaged: the tensors of its examples do not fill their section");
  }
  return UM_OK;
}

}  // namespace um
