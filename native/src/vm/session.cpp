// Finds the program of a call, and has its sizes and addresses worked out.
#include "vm/session.h"

#include <string.h>

#include <new>

#include "vm/misfit.h"

using um::Misfit;
using um::Plan;

um_session::~um_session() {
  if (pool_ != nullptr && pool_->Drop()) {
    um::Block memory;
    memory.Adopt(reinterpret_cast<uint8_t*>(pool_), sizeof(um::Pool));
    pool_->~Pool();
  }
  for (size_t k = 0; plans_ != nullptr && k < model_->tables.programs.size(); ++k) {
    if (plans_[k] == nullptr) continue;
    um::Block memory;
    memory.Adopt(reinterpret_cast<uint8_t*>(plans_[k]), sizeof(Plan));
    plans_[k]->~Plan();
  }
}

um_status um_session::Allocate(um_error* error) {
  const size_t programs = model_->tables.programs.size(), methods = model_->tables.methods.size();
  const size_t bytes = programs * sizeof(Plan*) + methods * sizeof(uint32_t);
  if (!memory_.AllocateZeroed(bytes)) return um::OutOfMemory(error, bytes);
  plans_ = reinterpret_cast<Plan**>(memory_.data());
  last_ = reinterpret_cast<uint32_t*>(memory_.data() + programs * sizeof(Plan*));
  return AllocateState(error);
}

um_status um_session::MakePlan(uint32_t program, um_error* error) {
  um::Block memory;
  if (!memory.Allocate(sizeof(Plan))) return um::OutOfMemory(error, sizeof(Plan));
  Plan* plan = new (memory.data()) Plan(model_->tables, model_->tables.programs[program], threads() - 1);
  if (!plan->Allocate()) {
    plan->~Plan();
    return um::Fail(error, UM_OUT_OF_MEMORY, "out of memory for the registers of a program");
  }
  memory.Release();
  plans_[program] = plan;
  return UM_OK;
}

um_status um_session::Prepare(size_t method, const um_tensor* inputs, size_t count, um_error* error) {
  const um::Tables& t = model_->tables;
  current_ = nullptr;
  if (method >= t.methods.size()) {
    return um::Fail(error, UM_WRONG_ARGUMENT, "there is no method number %zu: the file has %zu", method,
                    t.methods.size());
  }
  if (inputs == nullptr && count > 0) return um::Fail(error, UM_WRONG_ARGUMENT, "the inputs are a null pointer");
  const um::format::MethodRow& row = t.methods[method];
  Plan* plan = row.program_count > 0 ? plans_[row.first_program + last_[method]] : nullptr;
  if (HasEffects() && row.program_count > 0) {
    const um::Program program(t, t.programs[row.first_program]);
    const size_t states = program.state_inputs.size();
    if (count != program.given()) {
      Misfit misfit;
      misfit.kind = Misfit::kCount;
      return um::RefuseInputs(program, misfit, inputs, count + states, error);
    }
    inputs = WithStates(program, inputs);
    count += states;
  }
  if (plan != nullptr && plan->IsSizedFor(inputs, count)) {
    current_ = plan;
    signature_ = last_[method];
  } else {
    UM_TRY(Choose(method, inputs, count, error));
  }
  current_->ForgetGiven();
  um_status status = Bind(inputs, error);
  if (status == UM_OK && HasEffects()) status = KeepDestinations(inputs, error);
  if (status != UM_OK) current_ = nullptr;
  return status;
}

namespace {

um_status CheckTensor(const um_tensor& tensor, size_t number, um_error* error) {
  if (tensor.rank < 0 || tensor.rank > UM_MAX_RANK) {
    return um::Fail(error, UM_WRONG_INPUT, "input %zu has the rank %d; 0 to %d are possible", number,
                    static_cast<int>(tensor.rank), UM_MAX_RANK);
  }
  if (tensor.rank > 0 && tensor.shape == nullptr) {
    return um::Fail(error, UM_WRONG_ARGUMENT, "the shape of input %zu is a null pointer", number);
  }
  for (int32_t axis = 0; axis < tensor.rank; ++axis) {
    if (tensor.shape[axis] < 0) {
      return um::Fail(error, UM_WRONG_INPUT, "dim %d of input %zu is negative", static_cast<int>(axis), number);
    }
  }
  return UM_OK;
}

}  // namespace

// Programs whose sizes are worked out for these inputs already come first, then the others in the file's order.
um_status um_session::Choose(size_t method, const um_tensor* inputs, size_t count, um_error* error) {
  for (size_t k = 0; k < count; ++k) UM_TRY(CheckTensor(inputs[k], k, error));
  const um::Tables& t = model_->tables;
  const um::format::MethodRow& row = t.methods[method];
  for (uint32_t k = 0; k < row.program_count && current_ == nullptr; ++k) {
    Plan* plan = plans_[row.first_program + k];
    if (plan == nullptr || !plan->IsSizedFor(inputs, count)) continue;
    current_ = plan;
    signature_ = last_[method] = k;
  }
  if (current_ != nullptr) return UM_OK;
  Misfit closest;
  uint32_t closest_program = 0;
  for (uint32_t k = 0; k < row.program_count; ++k) {
    Misfit misfit;
    UM_TRY(Try(method, k, inputs, count, &misfit, error));
    if (current_ != nullptr) return UM_OK;
    if (k == 0 || (misfit.kind >= Misfit::kCheck && closest.kind < Misfit::kCheck)) {
      closest = misfit;
      closest_program = k;
    }
  }
  if (row.program_count == 1 || closest.kind >= Misfit::kCheck) {
    const um::Program program(t, t.programs[row.first_program + closest_program]);
    return um::RefuseInputs(program, closest, inputs, count, error);
  }
  return um::RefuseSignatures(t, row, inputs, count, error);
}

// Makes the program current if it takes the inputs.
um_status um_session::Try(size_t method, uint32_t number, const um_tensor* inputs, size_t count, Misfit* misfit,
                          um_error* error) {
  const uint32_t index = model_->tables.methods[method].first_program + number;
  *misfit = um::CheckInputs(um::Program(model_->tables, model_->tables.programs[index]), inputs, count);
  if (misfit->kind != Misfit::kNone) return UM_OK;
  if (plans_[index] == nullptr) UM_TRY(MakePlan(index, error));
  *misfit = plans_[index]->SetSizes(inputs, count);
  if (misfit->kind != Misfit::kNone) return UM_OK;
  current_ = plans_[index];
  signature_ = last_[method] = number;
  return UM_OK;
}
