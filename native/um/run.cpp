// um run: gives a method its inputs, runs it, and shows or writes the outputs.
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

// Which value each input gets: those with its name, else the next without a name. False: they do not come out even.
bool Assign(um_model* model, size_t method, size_t signature, List<Value>& values, List<Value*>* assigned) {
  const size_t count = um_input_count(model, method, signature);
  size_t next = 0;
  if (values.size() != count) return false;
  for (size_t k = 0; k < count; ++k) {
    const char* name = um_tensor_name(model, method, signature, k);
    Value* found = nullptr;
    for (Value& value : values) {
      if (value.name != nullptr && strcmp(value.name, name) == 0) found = &value;
    }
    while (found == nullptr && next < values.size()) {
      if (values[next].name == nullptr) found = &values[next];
      ++next;
    }
    if (found == nullptr) return false;
    for (Value* other : *assigned) {
      if (other == found) return false;
    }
    assigned->Add(found);
  }
  return true;
}

struct Range {
  int64_t lowest, highest;
};

// The whole numbers that an integer dtype holds.
Range RangeOf(um_dtype dtype) {
  if (dtype == UM_U8) return {0, UINT8_MAX};
  if (dtype == UM_I8) return {INT8_MIN, INT8_MAX};
  if (dtype == UM_I16) return {INT16_MIN, INT16_MAX};
  return dtype == UM_I32 ? Range{INT32_MIN, INT32_MAX} : Range{INT64_MIN, INT64_MAX};
}

bool LiteralFits(const Value& value, um_dtype dtype) {
  const bool wants_float = dtype == UM_F16 || dtype == UM_BF16 || dtype == UM_F32 || dtype == UM_F64;
  const Range range = RangeOf(dtype);
  for (size_t k = 0; k < value.count; ++k) {
    const Number& n = value.numbers[k];
    if (dtype == UM_BOOL) {
      if (!n.is_bool) return false;
    } else if (!wants_float && (!n.is_whole || n.whole < range.lowest || n.whole > range.highest)) {
      return false;
    }
  }
  return true;
}

bool ValueFits(um_model* model, size_t method, size_t signature, size_t input, const Value& value) {
  const um_dtype dtype = um_tensor_dtype(model, method, signature, input);
  if (um_tensor_rank(model, method, signature, input) != value.rank) return false;
  if (value.is_literal ? !LiteralFits(value, dtype) : value.dtype != dtype) return false;
  for (int32_t axis = 0; axis < value.rank; ++axis) {
    const int64_t fixed = um_tensor_dim(model, method, signature, input, axis);
    if (fixed >= 0 && fixed != value.shape[axis]) return false;
  }
  return true;
}

uint32_t BitsOf(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

// The upper half of a float: to nearest, ties to even.
uint16_t BrainHalfOf(float x) {
  const uint32_t bits = BitsOf(x);
  if (isnan(x)) return 0x7fc0;
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A half float has 11 significant bits and no place below 2^-24: counted in its last place, to nearest, ties to even.
uint16_t HalfOf(float x) {
  const uint16_t sign = static_cast<uint16_t>(BitsOf(x) >> 16 & 0x8000);
  const float size = fabsf(x);
  if (isnan(x)) return static_cast<uint16_t>(sign | 0x7e00);
  if (size >= 65520.0f) return static_cast<uint16_t>(sign | 0x7c00);
  int exponent;
  frexpf(size, &exponent);
  const int place = exponent - 11 > -24 ? exponent - 11 : -24;
  const int significand = static_cast<int>(rintf(ldexpf(size, -place)));
  return static_cast<uint16_t>(sign | (((place + 24) << 10) + significand));
}

void Convert(const Value& value, um_dtype dtype, uint8_t* to) {
  for (size_t k = 0; k < value.count; ++k) {
    const Number& n = value.numbers[k];
    const float single = static_cast<float>(n.real);
    const uint8_t truth = n.whole != 0;
    const uint16_t half = dtype == UM_F16 ? HalfOf(single) : BrainHalfOf(single);
    switch (dtype) {
      case UM_F32:
        memcpy(to + 4 * k, &single, 4);
        break;
      case UM_F64:
        memcpy(to + 8 * k, &n.real, 8);
        break;
      case UM_F16:
      case UM_BF16:
        memcpy(to + 2 * k, &half, 2);
        break;
      case UM_U8:
      case UM_I8:
      case UM_I16:
      case UM_I32:
      case UM_I64: {
        const size_t size = um_dtype_size(dtype);
        memcpy(to + size * k, &n.whole, size);  // the low bytes: little-endian, and checked to fit
        break;
      }
      default:
        to[k] = truth;
    }
  }
}

um_tensor TensorOf(Value* value, um_dtype dtype) {
  um_tensor tensor = {};
  tensor.dtype = dtype;
  tensor.rank = value->rank;
  tensor.shape = value->shape;
  if (value->is_literal) {
    tensor.bytes = value->count * um_dtype_size(dtype);
    tensor.data = Take(tensor.bytes);
    Convert(*value, dtype, static_cast<uint8_t*>(tensor.data));
  } else {
    tensor.bytes = value->bytes;
    tensor.data = value->data;
    tensor.strides = value->strides;
  }
  return tensor;
}

um_dtype NaturalDtype(const Value& value) {
  bool whole = true, truth = true;
  for (size_t k = 0; k < value.count; ++k) {
    whole = whole && value.numbers[k].is_whole;
    truth = truth && value.numbers[k].is_bool;
  }
  return value.count == 0 ? UM_F32 : truth ? UM_BOOL : whole ? UM_I64 : UM_F32;
}

// Fits nothing exactly: the runtime then says in its own words what is wrong, from the values as they come nearest.
void TakeNearest(um_model* model, List<Value>& values, Call* call) {
  List<Value*> assigned;
  const bool even = Assign(model, call->method, 0, values, &assigned);
  for (size_t k = 0; k < values.size(); ++k) {
    Value* value = even ? assigned[k] : &values[k];
    const um_dtype wanted = um_tensor_dtype(model, call->method, 0, k);
    const bool as_wanted = even && value->is_literal && LiteralFits(*value, wanted);
    call->inputs.Add(TensorOf(value, !value->is_literal ? value->dtype : as_wanted ? wanted : NaturalDtype(*value)));
  }
}

bool CheckNames(um_model* model, size_t method, List<Value>& values) {
  const size_t inputs = um_input_count(model, method, 0);
  for (Value& value : values) {
    bool found = value.name == nullptr;
    for (size_t k = 0; k < inputs && !found; ++k) found = strcmp(value.name, um_tensor_name(model, method, 0, k)) == 0;
    if (found) continue;
    Complain("there is no input \"%s\"; the signature is %s", value.name, um_signature_text(model, method, 0));
    return false;
  }
  return true;
}

}  // namespace

bool PrepareCall(um_model* model, const Options& options, Call* call) {
  um_error error;
  if (options.method != nullptr && um_method_find(model, options.method, &call->method, &error) != UM_OK) {
    Complain("%s", error.message);
    return false;
  }
  um_session_options how = {};
  how.size = sizeof how;
  how.threads = options.threads;
  if (um_session_new(model, &how, &call->session, &error) != UM_OK) {
    Complain("%s", error.message);
    return false;
  }
  if (!SetState(model, options, call->session)) return false;
  List<Value> values;
  if (!ReadValues(options.arguments, &values)) return false;
  const size_t signatures = um_signature_count(model, call->method);
  for (size_t s = 0; s < signatures && call->inputs.size() == 0; ++s) {
    List<Value*> assigned;
    bool fits = Assign(model, call->method, s, values, &assigned);
    for (size_t k = 0; k < assigned.size() && fits; ++k) fits = ValueFits(model, call->method, s, k, *assigned[k]);
    for (size_t k = 0; k < assigned.size() && fits; ++k) {
      call->inputs.Add(TensorOf(assigned[k], um_tensor_dtype(model, call->method, s, k)));
    }
  }
  if (call->inputs.size() != values.size()) {
    if (!CheckNames(model, call->method, values)) return false;
    TakeNearest(model, values, call);
  }
  // The inputs keep pointing at the values' shapes: those live on.
  for (um_tensor& input : call->inputs) {
    int64_t* kept = static_cast<int64_t*>(Take(2 * UM_MAX_RANK * sizeof(int64_t)));
    memcpy(kept, input.shape, static_cast<size_t>(input.rank) * sizeof(int64_t));
    input.shape = kept;
    if (input.strides == nullptr) continue;
    memcpy(kept + UM_MAX_RANK, input.strides, static_cast<size_t>(input.rank) * sizeof(int64_t));
    input.strides = kept + UM_MAX_RANK;
  }
  if (um_prepare(call->session, call->method, call->inputs.data(), call->inputs.size(), nullptr, 0, &error) != UM_OK) {
    Complain("%s", error.message);
    return false;
  }
  call->signature = um_session_signature(call->session);
  const size_t outputs = um_output_count(model, call->method, call->signature);
  for (size_t k = 0; k < outputs; ++k) call->outputs.Add(um_tensor());
  return true;
}

namespace {

bool Show(um_model* model, const Options& options, Call& call) {
  if (options.outputs.size() > call.outputs.size()) {
    Complain("-o is given %zu times; the method has %zu outputs", options.outputs.size(), call.outputs.size());
    return false;
  }
  for (size_t k = 0; k < call.outputs.size(); ++k) {
    if (k < options.outputs.size()) {
      if (!WriteNpy(options.outputs[k], call.outputs[k])) return false;
    } else {
      PrintTensor(um_tensor_name(model, call.method, call.signature, call.inputs.size() + k), call.outputs[k]);
    }
  }
  return true;
}

}  // namespace

int Run(const Options& options) {
  um_model* model = Open(options);
  if (model == nullptr) return kFailed;
  Call call;
  um_error error;
  bool fine = PrepareCall(model, options, &call);
  if (fine && um_execute(call.session, call.outputs.data(), call.outputs.size(), &error) != UM_OK) {
    Complain("%s", error.message);
    fine = false;
  }
  fine = fine && Show(model, options, call) && KeepState(model, options, call.session);
  um_session_free(call.session);
  um_model_free(model);
  return fine ? kOk : kFailed;
}

}  // namespace tool
