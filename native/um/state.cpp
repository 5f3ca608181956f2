// The state of a session: read from a file and written to one, and the seed of its random numbers.
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

// The number of the state of that name; false: a message is written.
bool FindState(um_model* model, const char* path, const char* name, size_t* number) {
  const size_t count = um_state_count(model);
  for (size_t k = 0; k < count && name != nullptr; ++k) {
    *number = k;
    if (strcmp(um_state_name(model, k), name) == 0) return true;
  }
  if (count == 0) {
    Complain("%s: the model keeps no state", path);
  } else {
    Complain("%s: the model has no state %s; it has %zu, the first is %s", path, name != nullptr ? name : "without a name",
             count, um_state_name(model, 0));
  }
  return false;
}

}  // namespace

bool SetState(um_model* model, const Options& options, um_session* session) {
  um_error error;
  List<Value> values;
  if (options.state != nullptr && !ReadNpzFile(options.state, &values)) return false;
  for (Value& value : values) {
    size_t number = 0;
    if (!FindState(model, options.state, value.name, &number)) return false;
    um_tensor tensor = {};
    tensor.dtype = value.dtype;
    tensor.rank = value.rank;
    tensor.shape = value.shape;
    tensor.strides = value.strides;
    tensor.bytes = value.bytes;
    tensor.data = value.data;
    if (um_session_set_state(session, number, &tensor, &error) != UM_OK) {
      Complain("%s: %s", options.state, error.message);
      return false;
    }
  }
  if (options.seeded && um_session_seed(session, options.seed, &error) != UM_OK) {
    Complain("--seed: %s", error.message);
    return false;
  }
  return true;
}

bool KeepState(um_model* model, const Options& options, um_session* session) {
  if (options.state_out == nullptr) return true;
  um_error error;
  List<Named> states;
  const size_t count = um_state_count(model);
  if (count == 0) {
    Complain("--state-out: the model keeps no state");
    return false;
  }
  for (size_t k = 0; k < count; ++k) {
    Named state = {um_state_name(model, k), {}};
    if (um_session_state(session, k, &state.tensor, &error) != UM_OK) {
      Complain("%s", error.message);
      return false;
    }
    states.Add(state);
  }
  return WriteNpz(options.state_out, states);
}

}  // namespace tool
