// um_verify: runs the examples in a file, and holds what they give against what the file expects.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "vm/session.h"

using um::Fail;
using um::format::ExampleRow;
using um::format::ExampleTensorRow;

namespace {

constexpr size_t kText = 160;

template <class T>
T Load(const uint8_t* from) {
  T value;
  memcpy(&value, from, sizeof value);
  return value;
}

double HalfToDouble(uint16_t bits) {
  const int exponent = bits >> 10 & 31;
  double size = bits & 1023;
  if (exponent == 31) {
    size = size > 0 ? __builtin_nan("") : __builtin_inf();
  } else {
    if (exponent > 0) size += 1024;
    for (int k = exponent > 0 ? exponent : 1; k < 25; ++k) size /= 2;  // exact
    for (int k = 25; k < exponent; ++k) size *= 2;
  }
  return bits & 0x8000 ? -size : size;
}

// An element: whole numbers and truths as they are, floats as doubles.
struct Element {
  bool is_whole;
  int64_t whole;
  double real;
};

Element At(um_dtype dtype, const void* data, size_t k) {
  const uint8_t* at = static_cast<const uint8_t*>(data) + k * um_dtype_size(dtype);
  switch (dtype) {
    case UM_BOOL:
      return {true, *at != 0 ? 1 : 0, 0};
    case UM_U8:
      return {true, *at, 0};
    case UM_I8:
      return {true, Load<int8_t>(at), 0};
    case UM_I16:
      return {true, Load<int16_t>(at), 0};
    case UM_I32:
      return {true, Load<int32_t>(at), 0};
    case UM_I64:
      return {true, Load<int64_t>(at), 0};
    case UM_F16:
      return {false, 0, HalfToDouble(Load<uint16_t>(at))};
    case UM_BF16: {
      const uint32_t bits = static_cast<uint32_t>(Load<uint16_t>(at)) << 16;
      return {false, 0, static_cast<double>(Load<float>(reinterpret_cast<const uint8_t*>(&bits)))};
    }
    case UM_F32:
      return {false, 0, static_cast<double>(Load<float>(at))};
    case UM_F64:
      return {false, 0, Load<double>(at)};
  }
  return {true, 0, 0};
}

bool IsWithin(const Element& expected, const Element& got, double tolerance) {
  if (expected.is_whole) return expected.whole == got.whole;
  const double a = expected.real, b = got.real;
  const bool a_is_nan = __builtin_isnan(a), b_is_nan = __builtin_isnan(b);
  if (a_is_nan || b_is_nan) return a_is_nan && b_is_nan;
  if (__builtin_isinf(a) || __builtin_isinf(b)) return a <= b && a >= b;
  return a - b <= tolerance && b - a <= tolerance;
}

void Print(const Element& element, char* text) {
  if (element.is_whole) {
    snprintf(text, 32, "%" PRId64, element.whole);
  } else {
    snprintf(text, 32, "%.9g", element.real);
  }
}

// "f32[2, 3]"; with `index`, "[1, 0]".
void PrintList(const char* head, const int64_t* numbers, size_t count, char* text) {
  size_t used = static_cast<size_t>(snprintf(text, kText, "%s[", head));
  for (size_t k = 0; k < count && used < kText - 24; ++k) {
    used += static_cast<size_t>(snprintf(text + used, kText - used, "%s%" PRId64, k > 0 ? ", " : "", numbers[k]));
  }
  snprintf(text + used, kText - used, "]");
}

void PrintIndex(const um_tensor& tensor, size_t element, char* text) {
  int64_t index[UM_MAX_RANK];
  for (int32_t axis = tensor.rank - 1; axis >= 0; --axis) {
    const size_t size = static_cast<size_t>(tensor.shape[axis]);
    index[axis] = static_cast<int64_t>(element % size);
    element /= size;
  }
  PrintList("", index, static_cast<size_t>(tensor.rank), text);
}

// The examples of a model, one after the other, in one session.
class Examples {
 public:
  Examples(um_model* model, um_session* session) : model_(model), t_(model->tables), session_(session) {}

  um_status Run(um_error* error) {
    size_t inputs = 0, tensors = 0;
    for (const ExampleRow& example : t_.examples) {
      size_t bytes = 0;
      for (const ExampleTensorRow& row : Rows(example)) bytes += Rounded(row.bytes);  // within the file's size
      if (bytes > inputs) inputs = bytes;
      if (example.tensor_count > tensors) tensors = example.tensor_count;
    }
    const size_t descriptions = tensors * sizeof(um_tensor);
    if (!memory_.Allocate(inputs + Rounded(descriptions) + um::kBlockAlignment)) {
      return um::OutOfMemory(error, inputs + descriptions);
    }
    tensors_ = reinterpret_cast<um_tensor*>(memory_.data());
    copies_ = memory_.data() + Rounded(descriptions);
    for (number_ = 0; number_ < t_.examples.size(); ++number_) UM_TRY(One(t_.examples[number_], error));
    return UM_OK;
  }

 private:
  static size_t Rounded(uint64_t bytes) {
    return static_cast<size_t>((bytes + um::kBlockAlignment - 1) / um::kBlockAlignment * um::kBlockAlignment);
  }

  um::Span<const ExampleTensorRow> Rows(const ExampleRow& example) const {
    return t_.example_tensors.part(example.first_tensor, example.tensor_count);
  }

  um_tensor TensorOf(const ExampleTensorRow& row) const {
    um_tensor tensor = {};
    tensor.data = const_cast<uint8_t*>(t_.example_data.data()) + row.offset;  // only read
    tensor.bytes = static_cast<size_t>(row.bytes);
    tensor.shape = row.dim_count > 0 ? &t_.shapes[row.first_dim].size : nullptr;
    tensor.rank = static_cast<int32_t>(row.dim_count);
    tensor.dtype = static_cast<um_dtype>(row.dtype);
    return tensor;
  }

  um_status One(const ExampleRow& example, um_error* error) {
    method_ = t_.text(t_.methods[example.method].name);
    const um::Program first(t_, t_.programs[t_.methods[example.method].first_program]);
    const um::Span<const ExampleTensorRow> rows = Rows(example);
    const size_t given = first.given();
    uint8_t* at = copies_;  // a call may change its inputs, and the file stays as it is
    for (size_t k = 0; k < given; ++k) {
      tensors_[k] = TensorOf(rows[k]);
      if (tensors_[k].bytes > 0) memcpy(at, tensors_[k].data, tensors_[k].bytes);
      tensors_[k].data = at;
      at += Rounded(tensors_[k].bytes);
    }
    UM_TRY(um_session_reset_state(session_, error));
    um_error why;
    um_status status = um_prepare(session_, example.method, tensors_, given, nullptr, 0, &why);
    if (status != UM_OK) return Refused(status, why, error);
    const um::Program& program = session_->current()->program();
    um_tensor* outputs = tensors_ + given;
    const size_t returned = program.returned();
    for (size_t k = 0; k < returned; ++k) outputs[k] = um_tensor();
    session_->Describe(outputs);  // before memory is spent on them
    for (size_t k = 0; k < returned; ++k) UM_TRY(CheckType(program, k, rows[given + k], outputs[k], error));
    status = um_execute(session_, outputs, returned, &why);
    if (status != UM_OK) return Refused(status, why, error);
    for (size_t k = 0; k < returned; ++k) UM_TRY(Check(program, k, rows[given + k], outputs[k], error));
    for (const um::format::UpdateRow& update : program.updates) {
      um_tensor changed = {};
      if (update.input < given) {
        changed = tensors_[update.input];
      } else {
        UM_TRY(um_session_state(session_, program.state_inputs[update.input - given].state, &changed, error));
      }
      UM_TRY(Check(program, update.output, rows[given + update.output], changed, error));
    }
    return UM_OK;
  }

  // What the inputs of an example are refused for is the file's fault, but for what the caller's limits are.
  um_status Refused(um_status status, const um_error& why, um_error* error) const {
    const bool callers = status == UM_OUT_OF_MEMORY || status == UM_TOO_LARGE;
    return Fail(error, callers ? status : UM_WRONG_RESULT, "example %zu of the method %s is refused: %s", number_ + 1,
                method_, why.message);
  }

  // Dims that a call finds are -1 before it ran.
  um_status CheckType(const um::Program& program, size_t output, const ExampleTensorRow& row, const um_tensor& got,
                      um_error* error) const {
    const um_tensor expected = TensorOf(row);
    bool same = expected.dtype == got.dtype && expected.rank == got.rank;
    for (int32_t axis = 0; same && axis < got.rank; ++axis) {
      same = got.shape[axis] == -1 || got.shape[axis] == expected.shape[axis];
    }
    if (same) return UM_OK;
    char wanted[kText], given[kText];
    PrintList(um_dtype_name(expected.dtype), expected.shape, static_cast<size_t>(expected.rank), wanted);
    PrintList(um_dtype_name(got.dtype), got.shape, static_cast<size_t>(got.rank), given);
    return Fail(error, UM_WRONG_RESULT, "example %zu of the method %s: %s is %s; expected is %s", number_ + 1, method_,
                t_.text(program.outputs[output].name), given, wanted);
  }

  um_status Check(const um::Program& program, size_t output, const ExampleTensorRow& row, const um_tensor& got,
                  um_error* error) const {
    UM_TRY(CheckType(program, output, row, got, error));
    const um_tensor expected = TensorOf(row);
    const size_t count = expected.bytes / um_dtype_size(expected.dtype);
    for (size_t k = 0; k < count; ++k) {
      const Element a = At(expected.dtype, expected.data, k), b = At(expected.dtype, got.data, k);
      if (IsWithin(a, b, row.tolerance)) continue;
      char index[kText], wanted[32], given[32];
      PrintIndex(expected, k, index);
      Print(a, wanted);
      Print(b, given);
      return Fail(error, UM_WRONG_RESULT, "example %zu of the method %s: %s%s is %s; expected is %s (tolerance %.3g)",
                  number_ + 1, method_, t_.text(program.outputs[output].name), index, given, wanted, row.tolerance);
    }
    return UM_OK;
  }

  um_model* model_;
  const um::Tables& t_;
  um_session* session_;
  um::Block memory_;
  um_tensor* tensors_ = nullptr;  // inputs, then outputs
  uint8_t* copies_ = nullptr;
  size_t number_ = 0;
  const char* method_ = "";
};

}  // namespace

size_t um_example_count(const um_model* model) { return model != nullptr ? model->tables.examples.size() : 0; }

um_status um_verify(um_model* model, const um_session_options* options, um_error* error) {
  if (model == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_verify: the model is a null pointer");
  if (um_example_count(model) == 0) return UM_OK;
  um_session* session = nullptr;
  UM_TRY(um_session_new(model, options, &session, error));
  const um_status status = Examples(model, session).Run(error);
  um_session_free(session);
  return status;
}
