// A model with memory to run in: what um_session is. It belongs to one thread at a time.
#pragma once

#include "vm/plan.h"
#include "vm/pool.h"

namespace um {

// Where an update goes: the caller's memory, or a state's.
struct Destination {
  void* data;
  const int64_t* strides;  // `kept`, or null where it is contiguous
  int64_t kept[UM_MAX_RANK];
};

}  // namespace um

struct um_session {
 public:
  // The session holds one reference of the pool; none: it has no helpers.
  um_session(um_model* model, size_t max_arena_bytes, um::Pool* pool)
      : model_(model), max_arena_bytes_(max_arena_bytes), pool_(pool) {}
  um_session(const um_session&) = delete;
  um_session& operator=(const um_session&) = delete;
  ~um_session();

  [[nodiscard]] um_status Allocate(um_error* error);
  um_model* model() const { return model_; }
  um::Pool* pool() const { return pool_; }
  size_t threads() const { return pool_ != nullptr ? pool_->workers() : 1; }

  // Finds the program, works out the sizes where they are new, and binds the inputs.
  [[nodiscard]] um_status Prepare(size_t method, const um_tensor* inputs, size_t count, um_error* error);
  // Tells the outputs' dtypes, shapes and bytes. Something is prepared.
  void Describe(um_tensor* outputs) const;
  // Runs what is prepared.
  [[nodiscard]] um_status Execute(um_tensor* outputs, size_t count, um_error* error);

  bool prepared() const { return current_ != nullptr; }
  size_t output_count() const { return current_->program().returned(); }
  size_t signature() const { return signature_; }
  const um::Plan* current() const { return current_; }

  // What the session keeps from call to call (state.cpp).
  void State(size_t state, um_tensor* tensor) const;
  [[nodiscard]] um_status SetState(size_t state, const um_tensor& value, um_error* error);
  void ResetState();

 private:
  um_status Choose(size_t method, const um_tensor* inputs, size_t count, um_error* error);
  um_status Try(size_t method, uint32_t number, const um_tensor* inputs, size_t count, um::Misfit* misfit,
                um_error* error);
  um_status MakePlan(uint32_t program, um_error* error);
  um_status Allow(const um::Block& block, size_t bytes, um_error* error) const;
  um_status Reserve(um::Plan* plan, um_error* error);
  um_status Bind(const um_tensor* inputs, um_error* error);
  um_status PackInputs(const um_tensor* inputs, um_error* error);
  um_status PlaceOutputs(const um_tensor* outputs, um_error* error);
  um_status GiveOutputs(const um_tensor* outputs, um_error* error);
  um_status CheckOverlap(um_error* error) const;
  um_status Run(um_error* error);
  um_status Give(const um::Step& step, um_error* error);
  um_status FitFound(const um_tensor* outputs, um_error* error) const;
  // Is an output written into memory of the session, for want of the caller's?
  bool IsGiven(const um_tensor* outputs, size_t k) const {
    return outputs[k].data == nullptr || (current_->is_found(k) && outputs[k].bytes < current_->output_bytes(k));
  }
  void Call(const um::Step& step, size_t operands);

  // What calls keep and change (state.cpp).
  um_status AllocateState(um_error* error);
  bool HasEffects() const { return model_->tables.state_inputs.size() + model_->tables.updates.size() > 0; }
  const um_tensor* WithStates(const um::Program& program, const um_tensor* inputs) const;
  um_status KeepDestinations(const um_tensor* inputs, um_error* error);
  um_status PlaceUpdates(const um_tensor** outputs, um_error* error);
  um_status CheckDestinations(um_error* error) const;
  void Update();

  um_model* model_;
  size_t max_arena_bytes_;
  um::Pool* pool_;
  um::Block memory_;
  um::Plan** plans_ = nullptr;  // by program of the file; null until one is first tried
  uint32_t* last_ = nullptr;    // by method: the program, counted in the method, that it took last
  um::Block arena_;
  um::Block scratch_;  // the helping threads' local buffers
  um::Block packed_;  // copies of inputs that are not contiguous or aligned
  um::Block given_;   // outputs for which the caller gave no memory
  um::Block state_memory_;
  um::Block updated_;  // new values, until the call has succeeded
  uint8_t** states_ = nullptr;              // where each state is
  um_tensor* whole_inputs_ = nullptr;       // a call's inputs, then its states
  um_tensor* whole_outputs_ = nullptr;      // a call's outputs, then its updates
  um::Destination* destinations_ = nullptr;  // of the prepared call's updates
  um::Plan* current_ = nullptr;
  size_t signature_ = 0;
};
