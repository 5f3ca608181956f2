// Writes the messages of refused inputs.
#include "vm/misfit.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

namespace um {

namespace {

// Text that is put together piece by piece, cut where the room ends.
class Line {
 public:
  __attribute__((format(printf, 2, 3))) void Put(const char* format, ...) {
    if (used_ >= sizeof text_ - 1) return;
    va_list arguments;
    va_start(arguments, format);
    const int wanted = vsnprintf(text_ + used_, sizeof text_ - used_, format, arguments);
    va_end(arguments);
    if (wanted > 0) used_ += static_cast<size_t>(wanted);
    if (used_ > sizeof text_ - 1) used_ = sizeof text_ - 1;
  }
  const char* text() const { return text_; }

 private:
  char text_[UM_ERROR_LENGTH] = "";
  size_t used_ = 0;
};

const char* NameOf(um_dtype dtype) {
  return IsDtype(static_cast<uint32_t>(dtype)) ? DtypeName(static_cast<uint32_t>(dtype)) : "an unknown dtype";
}

void PutTensor(const um_tensor& tensor, Line* line) {
  line->Put("%s[", NameOf(tensor.dtype));
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    line->Put("%s%" PRId64, axis > 0 ? ", " : "", tensor.shape[axis]);
  }
  line->Put("]");
}

um_status RefuseCheck(const Program& program, uint32_t check, um_error* error) {
  const Tables& t = program.tables;
  const format::MessageRow& message = program.messages[program.checks[check].message];
  if (t.text(message.file)[0] != '\0') {
    return Fail(error, UM_NOT_TRACED, "%s:%u %s", t.text(message.file), message.line, t.text(message.text));
  }
  return Fail(error, UM_WRONG_INPUT, "the inputs' sizes break what the trace assumes: %s, in the signature %s",
              t.text(message.text), t.text(program.row.signature));
}

}  // namespace

um_status RefuseInputs(const Program& program, const Misfit& misfit, const um_tensor* inputs, size_t count,
                       um_error* error) {
  const Tables& t = program.tables;
  const char* signature = t.text(program.row.signature);
  const bool about_input = misfit.kind == Misfit::kDtype || misfit.kind == Misfit::kRank || misfit.kind == Misfit::kDim;
  const char* name = about_input ? t.text(program.inputs[misfit.at].name) : "";
  switch (misfit.kind) {
    case Misfit::kCount:
      return Fail(error, UM_WRONG_INPUT, "%zu inputs were given; the signature %s has %zu", count - program.state_inputs.size(),
                  signature, program.given());
    case Misfit::kDtype:
      return Fail(error, UM_WRONG_INPUT, "input %u (%s) is of %s; the signature %s wants %s", misfit.at, name,
                  NameOf(inputs[misfit.at].dtype), signature, DtypeName(program.inputs[misfit.at].dtype));
    case Misfit::kRank:
      return Fail(error, UM_WRONG_INPUT, "input %u (%s) has %d dims; the signature %s wants %u", misfit.at, name,
                  static_cast<int>(inputs[misfit.at].rank), signature, program.inputs[misfit.at].dim_count);
    case Misfit::kDim:
      return Fail(error, UM_WRONG_INPUT, "dim %d of input %u (%s) is %" PRId64 "; the signature %s wants %" PRId64,
                  misfit.axis, misfit.at, name, inputs[misfit.at].shape[misfit.axis], signature, misfit.wanted);
    case Misfit::kCheck:
      return RefuseCheck(program, misfit.at, error);
    case Misfit::kOverflow:
      return Fail(error, UM_TOO_LARGE, "the inputs are too large: a size computed from them does not fit into 64 bits");
    case Misfit::kDivision:
      return Fail(error, UM_WRONG_INPUT, "the signature %s divides by a size that is 0 here", signature);
    default:
      return Fail(error, UM_DAMAGED,
                  "the file's memory plan does not hold for these sizes (number %u, in the signature %s): it was not "
                  "written by Unmoor, or this is a bug of Unmoor",
                  misfit.at, signature);
  }
}

um_status RefuseSignatures(const Tables& tables, const format::MethodRow& method, const um_tensor* inputs, size_t count,
                           um_error* error) {
  Line line;
  line.Put("no signature of the method %s takes (", tables.text(method.name));
  const size_t states =
      method.program_count > 0 ? Program(tables, tables.programs[method.first_program]).state_inputs.size() : 0;
  for (size_t k = 0; k + states < count; ++k) {
    if (k > 0) line.Put(", ");
    PutTensor(inputs[k], &line);
  }
  line.Put(method.program_count > 0 ? "); it has:" : "); it has none");
  for (uint32_t k = 0; k < method.program_count; ++k) {
    line.Put(" %s%s", tables.text(tables.programs[method.first_program + k].signature),
             k + 1 < method.program_count ? ";" : "");
  }
  return Fail(error, UM_WRONG_INPUT, "%s", line.text());
}

}  // namespace um
