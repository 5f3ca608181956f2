// Making sessions and running them.
#include "vm/session.h"

#include <string.h>

#include <new>

using um::Fail;

namespace {

constexpr size_t kFirstSize = 2 * sizeof(size_t);  // the options as they first were: up to max_arena_bytes

um_status ReadOptions(const um_session_options* given, um_session_options* options, um_error* error) {
  memset(options, 0, sizeof *options);
  if (given == nullptr) return UM_OK;
  if (given->size != kFirstSize && given->size != sizeof *options) {
    return Fail(error, UM_WRONG_ARGUMENT, "um_session_options.size is %zu; this runtime's is %zu", given->size,
                sizeof *options);
  }
  memcpy(options, given, given->size);
  if (options->threads > um::kMostThreads) {
    return Fail(error, UM_WRONG_ARGUMENT, "um_session_options.threads is %zu; %zu are the most", options->threads,
                um::kMostThreads);
  }
  return UM_OK;
}

// The pool that the options ask for, held once for the session; null where calls use one thread.
um_status TakePool(const um_session_options& options, um::Pool** pool, um_error* error) {
  *pool = options.share != nullptr ? options.share->pool() : nullptr;
  if (*pool != nullptr) (*pool)->Hold();
  if (options.share != nullptr) return UM_OK;
  size_t workers = options.threads;
  if (workers > 1 && options.parallel_for == nullptr) {
    const size_t processors = um::UsableProcessors();
    if (processors < workers) workers = processors;
  }
  if (workers <= 1) return UM_OK;
  um::Block memory;
  if (!memory.Allocate(sizeof(um::Pool))) return um::OutOfMemory(error, sizeof(um::Pool));
  um::Pool* made = new (memory.data()) um::Pool();
  const um_status status = made->Start(workers, options.parallel_for, options.host, error);
  if (status != UM_OK) {
    made->~Pool();
    return status;
  }
  memory.Release();
  *pool = made;
  return UM_OK;
}

}  // namespace

um_status um_session_new(um_model* model, const um_session_options* given, um_session** session, um_error* error) {
  if (model == nullptr || session == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_session_new: a null pointer");
  *session = nullptr;
  um_session_options options;
  UM_TRY(ReadOptions(given, &options, error));
  UM_TRY(model->code.Check(error));
  um::Block memory;
  if (!memory.Allocate(sizeof(um_session))) return um::OutOfMemory(error, sizeof(um_session));
  um::Pool* pool = nullptr;
  UM_TRY(TakePool(options, &pool, error));
  um_session* made = new (memory.data()) um_session(model, options.max_arena_bytes, pool);
  const um_status status = made->Allocate(error);
  if (status != UM_OK) {
    made->~um_session();
    return status;
  }
  memory.Release();
  model->Hold();
  *session = made;
  return UM_OK;
}

void um_session_free(um_session* session) {
  if (session == nullptr) return;
  um_model* model = session->model();
  session->~um_session();
  um::Block memory;
  memory.Adopt(reinterpret_cast<uint8_t*>(session), sizeof(um_session));
  um_model_free(model);
}

size_t um_session_threads(const um_session* session) { return session != nullptr ? session->threads() : 0; }

um_status um_prepare(um_session* session, size_t method, const um_tensor* inputs, size_t input_count,
                     um_tensor* outputs, size_t output_count, um_error* error) {
  if (session == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_prepare: the session is a null pointer");
  UM_TRY(session->Prepare(method, inputs, input_count, error));
  if (outputs == nullptr) return UM_OK;
  if (output_count != session->output_count()) {
    return Fail(error, UM_WRONG_ARGUMENT, "there is room for %zu outputs; the call has %zu", output_count,
                session->output_count());
  }
  session->Describe(outputs);
  return UM_OK;
}

um_status um_execute(um_session* session, um_tensor* outputs, size_t output_count, um_error* error) {
  if (session == nullptr || !session->prepared()) {
    return Fail(error, UM_WRONG_ARGUMENT, "um_execute: nothing is prepared");
  }
  return session->Execute(outputs, output_count, error);
}

um_status um_run(um_session* session, size_t method, const um_tensor* inputs, size_t input_count, um_tensor* outputs,
                 size_t output_count, um_error* error) {
  if (session == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_run: the session is a null pointer");
  UM_TRY(session->Prepare(method, inputs, input_count, error));
  return session->Execute(outputs, output_count, error);
}

size_t um_session_signature(const um_session* session) { return session != nullptr ? session->signature() : 0; }

um_status um_session_state(um_session* session, size_t state, um_tensor* tensor, um_error* error) {
  if (session == nullptr || tensor == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_session_state: a null pointer");
  if (state >= um_state_count(session->model())) {
    return Fail(error, UM_WRONG_ARGUMENT, "there is no state number %zu: the file has %zu", state,
                um_state_count(session->model()));
  }
  session->State(state, tensor);
  return UM_OK;
}

um_status um_session_set_state(um_session* session, size_t state, const um_tensor* value, um_error* error) {
  if (value == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_session_set_state: a null pointer");
  um_tensor own;
  UM_TRY(um_session_state(session, state, &own, error));
  return session->SetState(state, *value, error);
}

um_status um_session_seed(um_session* session, int64_t seed, um_error* error) {
  if (session == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_session_seed: the session is a null pointer");
  const size_t count = um_state_count(session->model());
  for (size_t k = 0; k < count; ++k) {
    if (strcmp(um_state_name(session->model(), k), "random()") != 0) continue;
    const int64_t values[] = {seed, 0}, shape[] = {2};
    um_tensor value = {};
    value.data = const_cast<int64_t*>(values);
    value.shape = shape;
    value.rank = 1;
    value.dtype = UM_I64;
    return session->SetState(k, value, error);
  }
  return Fail(error, UM_WRONG_ARGUMENT, "the file draws no random numbers: there is nothing to seed");
}

um_status um_session_reset_state(um_session* session, um_error* error) {
  if (session == nullptr) return Fail(error, UM_WRONG_ARGUMENT, "um_session_reset_state: the session is a null pointer");
  session->ResetState();
  return UM_OK;
}

um_status um_session_cost(const um_session* session, int64_t* arena_bytes, int64_t* flops, int64_t* traffic) {
  if (session == nullptr || !session->prepared()) return UM_WRONG_ARGUMENT;
  const um::Plan& plan = *session->current();
  if (arena_bytes != nullptr) *arena_bytes = static_cast<int64_t>(plan.arena_bytes());
  if (flops != nullptr) *flops = plan.flops();
  if (traffic != nullptr) *traffic = plan.traffic();
  return UM_OK;
}
