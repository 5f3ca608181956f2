// What a session keeps from call to call, and what its calls change: states, and the caller's inputs.
#include <string.h>

#include "base/checked.h"
#include "vm/misfit.h"
#include "vm/pack.h"
#include "vm/session.h"

using um::Destination;
using um::Fail;
using um::format::StateInputRow;
using um::format::UpdateRow;
using um::format::WeightRow;

namespace {

const WeightRow& WeightOf(const um::Tables& t, size_t state) { return t.weights[t.states[state].weight]; }

// The elements from the lowest to the highest address.
struct Range {
  uintptr_t begin, end;
  bool Overlaps(const Range& other) const { return begin < other.end && other.begin < end; }
};

Range RangeOf(const void* data, const int64_t* shape, const int64_t* strides, int32_t rank, size_t size) {
  int64_t low = 0, high = 0, contiguous = 1;
  for (int32_t axis = rank - 1; axis >= 0; --axis) {
    if (shape[axis] == 0) return {0, 0};
    const int64_t reach = (shape[axis] - 1) * (strides != nullptr ? strides[axis] : contiguous);
    (reach < 0 ? low : high) += reach;
    contiguous *= shape[axis];
  }
  const int64_t width = static_cast<int64_t>(size);
  const uintptr_t base = reinterpret_cast<uintptr_t>(data);
  return {base + static_cast<uintptr_t>(low * width), base + static_cast<uintptr_t>((high + 1) * width)};
}

Range RangeOf(const um_tensor& t) {
  return RangeOf(t.data, t.shape, t.strides, t.rank, um::DtypeSize(static_cast<uint32_t>(t.dtype)));
}

int64_t Magnitude(int64_t n) { return n < 0 ? -n : n; }

// May two elements share memory? Each axis, from the smallest stride up, must step over all that the smaller ones span.
bool OverlapsItself(const um_tensor& t) {
  if (t.strides == nullptr) return false;
  bool done[UM_MAX_RANK] = {};
  int64_t span = 0;
  for (int32_t n = 0; n < t.rank; ++n) {
    int32_t next = -1;
    for (int32_t axis = 0; axis < t.rank; ++axis) {
      if (t.shape[axis] == 0) return false;
      if (done[axis]) continue;
      if (next < 0 || Magnitude(t.strides[axis]) < Magnitude(t.strides[next])) next = axis;
    }
    done[next] = true;
    if (t.shape[next] == 1) continue;
    if (Magnitude(t.strides[next]) <= span) return true;
    span += (t.shape[next] - 1) * Magnitude(t.strides[next]);
  }
  return false;
}

}  // namespace

// -- the states ---------------------------------------------------------------------------------------------------
um_status um_session::AllocateState(um_error* error) {
  const um::Tables& t = model_->tables;
  if (t.states.size() == 0 && !HasEffects()) return UM_OK;
  size_t inputs = 0, outputs = 0;
  for (const um::format::ProgramRow& row : t.programs) {
    if (row.input_count > inputs) inputs = row.input_count;
    if (row.output_count > outputs) outputs = row.output_count;
  }
  const size_t pointers = t.states.size() * sizeof(uint8_t*);
  const size_t tensors = (inputs + outputs) * sizeof(um_tensor), places = outputs * sizeof(Destination);
  size_t bytes = pointers + tensors + places;
  if (!um::RoundUp(bytes, um::kBlockAlignment, &bytes)) return um::OutOfMemory(error, SIZE_MAX);
  const size_t first = bytes;
  for (size_t k = 0; k < t.states.size(); ++k) {
    size_t rounded = 0;
    if (!um::RoundUp<size_t>(WeightOf(t, k).bytes, um::kBlockAlignment, &rounded) || !um::Add(bytes, rounded, &bytes)) {
      return um::OutOfMemory(error, SIZE_MAX);
    }
  }
  if (!state_memory_.AllocateZeroed(bytes)) return um::OutOfMemory(error, bytes);
  states_ = reinterpret_cast<uint8_t**>(state_memory_.data());
  whole_inputs_ = reinterpret_cast<um_tensor*>(state_memory_.data() + pointers);
  whole_outputs_ = whole_inputs_ + inputs;
  destinations_ = reinterpret_cast<Destination*>(whole_outputs_ + outputs);
  uint8_t* at = state_memory_.data() + first;
  for (size_t k = 0; k < t.states.size(); ++k) {
    states_[k] = at;
    at += (WeightOf(t, k).bytes + um::kBlockAlignment - 1) / um::kBlockAlignment * um::kBlockAlignment;
  }
  ResetState();
  return UM_OK;
}

void um_session::ResetState() {
  const um::Tables& t = model_->tables;
  for (size_t k = 0; k < t.states.size(); ++k) {
    const WeightRow& weight = WeightOf(t, k);
    if (weight.bytes > 0) memcpy(states_[k], model_->archive.weights().data() + weight.offset, weight.bytes);
  }
}

void um_session::State(size_t state, um_tensor* tensor) const {
  const um::Tables& t = model_->tables;
  const WeightRow& weight = WeightOf(t, state);
  tensor->data = states_[state];
  tensor->bytes = weight.bytes;
  tensor->shape = weight.dim_count > 0 ? &t.shapes[weight.first_dim].size : nullptr;
  tensor->strides = nullptr;
  tensor->rank = static_cast<int32_t>(weight.dim_count);
  tensor->dtype = static_cast<um_dtype>(weight.dtype);
}

um_status um_session::SetState(size_t state, const um_tensor& value, um_error* error) {
  um_tensor own;
  State(state, &own);
  bool same = value.dtype == own.dtype && value.rank == own.rank && (value.shape != nullptr || own.rank == 0);
  for (int32_t axis = 0; same && axis < own.rank; ++axis) same = value.shape[axis] == own.shape[axis];
  const char* name = model_->tables.text(model_->tables.states[state].name);
  if (!same) {
    return um::RefuseState(name, own, value, error);
  }
  if (own.bytes == 0) return UM_OK;
  if (value.data == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "the value for the state \"%s\" is null", name);
  um::Pack(value, um::DtypeSize(static_cast<uint32_t>(own.dtype)), own.data);
  return UM_OK;
}

// -- a call's effects -----------------------------------------------------------------------------------------------
const um_tensor* um_session::WithStates(const um::Program& program, const um_tensor* inputs) const {
  const size_t given = program.given();
  for (size_t k = 0; k < given; ++k) whole_inputs_[k] = inputs[k];
  for (const StateInputRow& row : program.state_inputs) State(row.state, &whole_inputs_[row.input]);
  return whole_inputs_;
}

// Notes where the updates go. The caller's memory that is written must be nobody else's.
um_status um_session::KeepDestinations(const um_tensor* inputs, um_error* error) {
  const um::Program& program = current_->program();
  for (size_t k = 0; k < program.updates.size(); ++k) {
    const uint32_t number = program.updates[k].input;
    const um_tensor& input = inputs[number];
    Destination& to = destinations_[k];
    to.data = input.data;
    to.strides = nullptr;
    if (number >= program.given() || current_->input_bytes(number) == 0) continue;
    if (!um::IsContiguous(input)) {
      memcpy(to.kept, input.strides, sizeof *to.kept * static_cast<size_t>(input.rank));
      to.strides = to.kept;
    }
    const char* name = program.tables.text(program.inputs[number].name);
    if (OverlapsItself(input)) {
      return Fail(error, UM_WRONG_ARGUMENT,
                  "the call changes input %u (%s) in place, but several of its elements share memory: pass a copy",
                  number, name);
    }
    for (size_t other = 0; other < program.given(); ++other) {
      if (other == number || current_->input_bytes(other) == 0) continue;
      if (!RangeOf(input).Overlaps(RangeOf(inputs[other]))) continue;
      return Fail(error, UM_WRONG_ARGUMENT,
                  "the call changes input %u (%s) in place, but it overlaps input %zu (%s) in memory: pass a copy of "
                  "one of them",
                  number, name, other, program.tables.text(program.inputs[other].name));
    }
  }
  return UM_OK;
}

// The session gives the updates memory of its own, so that a call that is refused half-way changes nothing.
um_status um_session::PlaceUpdates(const um_tensor** outputs, um_error* error) {
  const um::Program& program = current_->program();
  size_t total = 0;
  for (size_t k = program.returned(); k < program.outputs.size(); ++k) {
    size_t rounded = 0;
    if (!um::RoundUp(current_->output_bytes(k), um::kBlockAlignment, &rounded) || !um::Add(total, rounded, &total)) {
      return um::OutOfMemory(error, SIZE_MAX);
    }
  }
  if ((updated_.data() == nullptr || updated_.bytes() < total) && !updated_.Allocate(total > 0 ? total : 1)) {
    return um::OutOfMemory(error, total);
  }
  uint8_t* at = updated_.data();
  for (size_t k = 0; k < program.outputs.size(); ++k) {
    whole_outputs_[k] = k < program.returned() ? (*outputs)[k] : um_tensor();
    if (k < program.returned()) continue;
    const size_t bytes = current_->output_bytes(k);
    whole_outputs_[k].data = at;
    whole_outputs_[k].bytes = bytes;
    at += (bytes + um::kBlockAlignment - 1) / um::kBlockAlignment * um::kBlockAlignment;
  }
  *outputs = whole_outputs_;
  return UM_OK;
}

um_status um_session::CheckDestinations(um_error* error) const {
  const um::Plan& plan = *current_;
  const um::Program& program = plan.program();
  for (size_t k = 0; k < program.updates.size(); ++k) {
    const UpdateRow& update = program.updates[k];
    if (update.input >= program.given() || plan.output_bytes(update.output) == 0) continue;
    const size_t size = um::DtypeSize(program.outputs[update.output].dtype);
    const int32_t rank = static_cast<int32_t>(program.outputs[update.output].dim_count);
    const Destination& to = destinations_[k];
    const Range written = RangeOf(to.data, plan.output_shape(update.output), to.strides, rank, size);
    for (size_t n = 0; n < program.outputs.size(); ++n) {
      const uintptr_t begin = reinterpret_cast<uintptr_t>(plan.outputs()[n]);
      if (!written.Overlaps({begin, begin + plan.output_bytes(n)})) continue;
      return Fail(error, UM_WRONG_ARGUMENT, "output %zu overlaps input %u in memory: give it memory of its own", n,
                  update.input);
    }
  }
  return UM_OK;
}

// The call has succeeded: what it changes gets its new values.
void um_session::Update() {
  const um::Plan& plan = *current_;
  const um::Program& program = plan.program();
  for (size_t k = 0; k < program.updates.size(); ++k) {
    const UpdateRow& update = program.updates[k];
    const size_t bytes = plan.output_bytes(update.output);
    const Destination& to = destinations_[k];
    if (bytes == 0) continue;
    const void* value = plan.outputs()[update.output];
    if (to.strides == nullptr) {
      memcpy(to.data, value, bytes);
    } else {
      um_tensor target = {};
      target.data = to.data;
      target.shape = plan.output_shape(update.output);
      target.strides = to.strides;
      target.rank = static_cast<int32_t>(program.outputs[update.output].dim_count);
      um::Unpack(value, um::DtypeSize(program.outputs[update.output].dtype), target);
    }
    // A copy of the input stays right for the next um_execute.
    void* copy = const_cast<void*>(plan.inputs()[update.input]);
    if (copy != to.data) memcpy(copy, value, bytes);
  }
}
