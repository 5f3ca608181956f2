// Writes the messages of refused calls.
#include "vm/misfit.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

// What a guard's message has where it does not know what is met: `here it is another`.
constexpr const char kAnother[] = "is another";

// A number as text.
struct Digits {
  char text[40];
};

Digits DigitsOf(int64_t whole) {
  Digits digits;
  snprintf(digits.text, sizeof digits.text, "%" PRId64, whole);
  return digits;
}

// The fewest digits that read back as the same number, written as Python writes them: 2.0, 0.0001, 1e+16, nan.
Digits DigitsOf(double real) {
  Digits digits;
  if (!isfinite(real)) {
    snprintf(digits.text, sizeof digits.text, "%s", isnan(real) ? "nan" : real < 0 ? "-inf" : "inf");
    return digits;
  }
  int behind = 0;  // the point
  for (; behind < 17; ++behind) {
    snprintf(digits.text, sizeof digits.text, "%.*e", behind, real);
    const double back = strtod(digits.text, nullptr);
    if (!(back < real) && !(back > real)) break;
  }
  const int exponent = atoi(strchr(digits.text, 'e') + 1);
  if (exponent < -4 || exponent >= 16) return digits;
  const int places = behind - exponent;
  snprintf(digits.text, sizeof digits.text, places > 0 ? "%.*f" : "%.*f.0", places > 0 ? places : 0, real);
  return digits;
}

Digits DigitsOf(bool truth) {
  Digits digits;
  snprintf(digits.text, sizeof digits.text, "%s", truth ? "True" : "False");
  return digits;
}

// NotTraced, as a guard says it. `now` is the number that it asks for, or null where that is not known.
um_status RefuseGuard(const Tables& t, const format::MessageRow& message, const char* now, um_error* error) {
  Line line;
  if (t.text(message.file)[0] != '\0') line.Put("%s:%u ", t.text(message.file), message.line);
  const char* text = t.text(message.text);
  for (const char* found = strstr(text, kAnother); now != nullptr && found != nullptr; found = strstr(text, kAnother)) {
    line.Put("%.*sis %s", static_cast<int>(found - text), text, now);
    text = found + sizeof kAnother - 1;
  }
  line.Put("%s", text);
  return Fail(error, UM_NOT_TRACED, "%s", line.text());
}

um_status RefuseCheck(const Program& program, const Misfit& misfit, um_error* error) {
  const Tables& t = program.tables;
  const format::MessageRow& message = program.messages[program.checks[misfit.at].message];
  if (t.text(message.file)[0] != '\0') return RefuseGuard(t, message, DigitsOf(misfit.wanted).text, error);
  return Fail(error, UM_WRONG_INPUT, "the inputs' sizes break what the trace assumes: %s, in the signature %s",
              t.text(message.text), t.text(program.row.signature));
}

// A dim that does not fit: a guard fixed it where a check of it names a line; else an op of the program did.
um_status RefuseDim(const Program& program, const Misfit& misfit, const um_tensor* inputs, um_error* error) {
  const Tables& t = program.tables;
  const int64_t now = inputs[misfit.at].shape[misfit.axis];
  for (const format::CheckRow& check : program.checks) {
    const format::FormulaRow& f = program.formulas[check.left];
    const format::MessageRow& message = program.messages[check.message];
    const bool is_dim = static_cast<format::FormulaOp>(f.op) == format::FormulaOp::kDim && f.a == misfit.at &&
                        f.b == misfit.axis && static_cast<format::CheckOp>(check.op) == format::CheckOp::kEq;
    if (is_dim && t.text(message.file)[0] != '\0') return RefuseGuard(t, message, DigitsOf(now).text, error);
  }
  return Fail(error, UM_WRONG_INPUT, "dim %d of input %u (%s) is %" PRId64 "; the signature %s wants %" PRId64,
              misfit.axis, misfit.at, t.text(program.inputs[misfit.at].name), now, t.text(program.row.signature),
              misfit.wanted);
}

}  // namespace

um_status RefuseInputs(const Program& program, const Misfit& misfit, const um_tensor* inputs, size_t count,
                       um_error* error) {
  const Tables& t = program.tables;
  const char* signature = t.text(program.row.signature);
  const bool about_input = misfit.kind == Misfit::kDtype || misfit.kind == Misfit::kRank;
  const char* name = about_input ? t.text(program.inputs[misfit.at].name) : "";
  switch (misfit.kind) {
    case Misfit::kCount:
      return Fail(error, UM_WRONG_INPUT, "%zu input%s given; the signature %s has %zu",
                  count - program.state_inputs.size(), count - program.state_inputs.size() == 1 ? " was" : "s were",
                  signature, program.given());
    case Misfit::kDtype:
      return Fail(error, UM_WRONG_INPUT, "input %u (%s) is of %s; the signature %s wants %s", misfit.at, name,
                  NameOf(inputs[misfit.at].dtype), signature, DtypeName(program.inputs[misfit.at].dtype));
    case Misfit::kRank:
      return Fail(error, UM_WRONG_INPUT, "input %u (%s) has %d dims; the signature %s wants %u", misfit.at, name,
                  static_cast<int>(inputs[misfit.at].rank), signature, program.inputs[misfit.at].dim_count);
    case Misfit::kDim:
      return RefuseDim(program, misfit, inputs, error);
    case Misfit::kCheck:
      return RefuseCheck(program, misfit, error);
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

um_status RefuseState(const char* name, const um_tensor& own, const um_tensor& value, um_error* error) {
  Line line;
  line.Put("the state %s is ", name);
  PutTensor(own, &line);
  line.Put("; the value given is ");
  if (value.shape != nullptr || value.rank == 0)
    PutTensor(value, &line);
  else
    line.Put("without a shape");
  return Fail(error, UM_WRONG_INPUT, "%s", line.text());
}

um_status RefusePath(const Program& program, const format::InstructionRow& i, void* const* buffers, um_error* error) {
  const format::MessageRow& message = program.messages[i.message];
  const uint32_t first = static_cast<format::Opcode>(i.opcode) == format::Opcode::kGuard ? 1 : 0;
  if (i.tensor_count == first) return RefuseGuard(program.tables, message, nullptr, error);
  const void* told = buffers[first];
  Digits now;
  switch (program.tensors[program.operands(i)[first].number].dtype) {
    case UM_I64: {
      int64_t whole;
      memcpy(&whole, told, sizeof whole);
      now = DigitsOf(whole);
      break;
    }
    case UM_F64: {
      double real;
      memcpy(&real, told, sizeof real);
      now = DigitsOf(real);
      break;
    }
    default:
      now = DigitsOf(*static_cast<const uint8_t*>(told) != 0);
  }
  return RefuseGuard(program.tables, message, now.text, error);
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
