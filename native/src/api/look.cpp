// What a model tells about itself.
#include <stdio.h>
#include <string.h>

#include "base/version.h"
#include "vm/model.h"

namespace {

using um::format::DimKind;
using um::format::MethodRow;
using um::format::ProgramRow;
using um::format::SpecRow;

// Each is null past the end.
const MethodRow* FindMethod(const um_model* model, size_t method) {
  if (model == nullptr || method >= model->tables.methods.size()) return nullptr;
  return &model->tables.methods[method];
}

const ProgramRow* FindProgram(const um_model* model, size_t method, size_t signature) {
  const MethodRow* row = FindMethod(model, method);
  if (row == nullptr || signature >= row->program_count) return nullptr;
  return &model->tables.programs[row->first_program + signature];
}

const SpecRow* FindTensor(const um_model* model, size_t method, size_t signature, size_t tensor) {
  const ProgramRow* row = FindProgram(model, method, signature);
  if (row == nullptr) return nullptr;
  const um::Program program(model->tables, *row);
  if (tensor < program.given()) return &program.inputs[tensor];
  tensor -= program.given();
  return tensor < program.returned() ? &program.outputs[tensor] : nullptr;
}

}  // namespace

const char* um_version(void) { return um::kVersion; }

const char* um_status_name(um_status status) {
  switch (status) {
    case UM_OK:
      return "UM_OK";
    case UM_OUT_OF_MEMORY:
      return "UM_OUT_OF_MEMORY";
    case UM_CANNOT_READ:
      return "UM_CANNOT_READ";
    case UM_NOT_UNMOOR:
      return "UM_NOT_UNMOOR";
    case UM_DAMAGED:
      return "UM_DAMAGED";
    case UM_NEWER_FORMAT:
      return "UM_NEWER_FORMAT";
    case UM_NOT_TRUSTED:
      return "UM_NOT_TRUSTED";
    case UM_WRONG_DIGEST:
      return "UM_WRONG_DIGEST";
    case UM_NO_CODE_FOR_CPU:
      return "UM_NO_CODE_FOR_CPU";
    case UM_WRONG_ARGUMENT:
      return "UM_WRONG_ARGUMENT";
    case UM_WRONG_INPUT:
      return "UM_WRONG_INPUT";
    case UM_OUTPUT_TOO_SMALL:
      return "UM_OUTPUT_TOO_SMALL";
    case UM_NOT_TRACED:
      return "UM_NOT_TRACED";
    case UM_TOO_LARGE:
      return "UM_TOO_LARGE";
    case UM_WRONG_RESULT:
      return "UM_WRONG_RESULT";
  }
  return "an unknown status";
}

const char* um_dtype_name(um_dtype dtype) {
  const uint32_t code = static_cast<uint32_t>(dtype);
  return um::IsDtype(code) ? um::DtypeName(code) : "?";
}

size_t um_dtype_size(um_dtype dtype) {
  const uint32_t code = static_cast<uint32_t>(dtype);
  return um::IsDtype(code) ? um::DtypeSize(code) : 0;
}

const char* um_model_digest(const um_model* model) { return model != nullptr ? model->digest : nullptr; }

const char* um_model_engine(const um_model* model) { return model != nullptr ? model->code.engine() : nullptr; }

size_t um_target_count(const um_model* model) { return model != nullptr ? model->archive.code().size() : 0; }

const char* um_target_name(const um_model* model, size_t target) {
  if (target >= um_target_count(model)) return nullptr;
  const char* name = um::TargetName(model->archive.code()[target].target);
  return name != nullptr ? name : "?";
}

size_t um_kernel_count(const um_model* model) { return model != nullptr ? model->tables.kernels.size() : 0; }

size_t um_weight_bytes(const um_model* model) { return model != nullptr ? model->archive.weights().size() : 0; }

size_t um_method_count(const um_model* model) { return model != nullptr ? model->tables.methods.size() : 0; }

const char* um_method_name(const um_model* model, size_t method) {
  const MethodRow* row = FindMethod(model, method);
  return row != nullptr ? model->tables.text(row->name) : nullptr;
}

um_status um_method_find(const um_model* model, const char* name, size_t* method, um_error* error) {
  if (model == nullptr || name == nullptr || method == nullptr) {
    return um::Fail(error, UM_WRONG_ARGUMENT, "um_method_find: a null pointer");
  }
  const size_t count = um_method_count(model);
  for (size_t k = 0; k < count; ++k) {
    if (strcmp(um_method_name(model, k), name) != 0) continue;
    *method = k;
    return UM_OK;
  }
  char names[UM_ERROR_LENGTH] = "none";
  size_t used = 0;
  for (size_t k = 0; k < count && used < sizeof names; ++k) {
    const int put = snprintf(names + used, sizeof names - used, "%s%s", k > 0 ? ", " : "", um_method_name(model, k));
    used += put > 0 ? static_cast<size_t>(put) : 0;
  }
  return um::Fail(error, UM_WRONG_ARGUMENT, "the file has no method \"%s\"; it has %s", name, names);
}

size_t um_signature_count(const um_model* model, size_t method) {
  const MethodRow* row = FindMethod(model, method);
  return row != nullptr ? row->program_count : 0;
}

const char* um_signature_text(const um_model* model, size_t method, size_t signature) {
  const ProgramRow* row = FindProgram(model, method, signature);
  return row != nullptr ? model->tables.text(row->signature) : nullptr;
}

size_t um_input_count(const um_model* model, size_t method, size_t signature) {
  const ProgramRow* row = FindProgram(model, method, signature);
  return row != nullptr ? um::Program(model->tables, *row).given() : 0;
}

size_t um_output_count(const um_model* model, size_t method, size_t signature) {
  const ProgramRow* row = FindProgram(model, method, signature);
  return row != nullptr ? um::Program(model->tables, *row).returned() : 0;
}

const char* um_tensor_name(const um_model* model, size_t method, size_t signature, size_t tensor) {
  const SpecRow* spec = FindTensor(model, method, signature, tensor);
  return spec != nullptr ? model->tables.text(spec->name) : nullptr;
}

um_dtype um_tensor_dtype(const um_model* model, size_t method, size_t signature, size_t tensor) {
  const SpecRow* spec = FindTensor(model, method, signature, tensor);
  return spec != nullptr ? static_cast<um_dtype>(spec->dtype) : static_cast<um_dtype>(0);
}

int32_t um_tensor_rank(const um_model* model, size_t method, size_t signature, size_t tensor) {
  const SpecRow* spec = FindTensor(model, method, signature, tensor);
  return spec != nullptr ? static_cast<int32_t>(spec->dim_count) : -1;
}

int64_t um_tensor_dim(const um_model* model, size_t method, size_t signature, size_t tensor, int32_t axis) {
  const SpecRow* spec = FindTensor(model, method, signature, tensor);
  if (spec == nullptr || axis < 0 || static_cast<uint32_t>(axis) >= spec->dim_count) return -1;
  const um::format::DimRow& dim = model->tables.dims[spec->first_dim + static_cast<uint32_t>(axis)];
  return static_cast<DimKind>(dim.kind) == DimKind::kFixed ? dim.value : -1;
}

const char* um_arguments_text(const um_model* model, size_t method, size_t signature) {
  const ProgramRow* row = FindProgram(model, method, signature);
  return row != nullptr ? model->tables.text(row->arguments) : nullptr;
}

const char* um_result_text(const um_model* model, size_t method, size_t signature) {
  const ProgramRow* row = FindProgram(model, method, signature);
  return row != nullptr ? model->tables.text(row->result) : nullptr;
}

const char* um_assumptions_text(const um_model* model, size_t method) {
  const MethodRow* row = FindMethod(model, method);
  return row != nullptr ? model->tables.text(row->assumptions) : nullptr;
}

int um_input_is_changed(const um_model* model, size_t method, size_t signature, size_t input) {
  const ProgramRow* row = FindProgram(model, method, signature);
  if (row == nullptr) return 0;
  for (const um::format::UpdateRow& update : um::Program(model->tables, *row).updates) {
    if (update.input == input) return 1;
  }
  return 0;
}

size_t um_state_count(const um_model* model) { return model != nullptr ? model->tables.states.size() : 0; }

const char* um_state_name(const um_model* model, size_t state) {
  return state < um_state_count(model) ? model->tables.text(model->tables.states[state].name) : nullptr;
}
