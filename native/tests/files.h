// Opens test files, and frees what a test holds.
#pragma once

#include <memory>

#include "image.h"
#include "unmoor.h"

namespace test {

struct ModelFree {
  void operator()(um_model* model) const { um_model_free(model); }
};
struct SessionFree {
  void operator()(um_session* session) const { um_session_free(session); }
};
using Model = std::unique_ptr<um_model, ModelFree>;
using Session = std::unique_ptr<um_session, SessionFree>;

inline um_status OpenBytes(const Bytes& file, um_trust trust, Model* model, um_error* error) {
  um_open_options options = {};
  options.size = sizeof options;
  options.trust = trust;
  um_model* opened = nullptr;
  const um_status status = um_open_memory(file.data(), file.size(), &options, &opened, error);
  model->reset(opened);
  return status;
}

inline um_session_options NoOptions() {
  um_session_options options = {};
  options.size = sizeof options;
  return options;
}

// Of a file that is sound and trusted; null where something fails.
struct Opened {
  explicit Opened(const Bytes& bytes, size_t max_arena_bytes = 0) : file(bytes) {
    um_error error;
    if (OpenBytes(file, UM_TRUST_YES, &model, &error) != UM_OK) return;
    um_session_options options = NoOptions();
    options.max_arena_bytes = max_arena_bytes;
    session = Another(options);
  }
  explicit Opened(const Image& image, size_t max_arena_bytes = 0) : Opened(image.Encode(), max_arena_bytes) {}

  // A session of the model; null where that fails.
  Session Another(const um_session_options& options) const {
    um_session* made = nullptr;
    um_session_new(model.get(), &options, &made, nullptr);
    return Session(made);
  }

  Bytes file;
  Model model;
  Session session;
};

// A tensor of floats.
struct Floats {
  Floats(std::vector<float> values_in, std::vector<int64_t> shape_in)
      : values(std::move(values_in)), shape(std::move(shape_in)) {}
  explicit Floats(std::vector<float> values_in) : Floats(values_in, {static_cast<int64_t>(values_in.size())}) {}

  um_tensor tensor() {
    um_tensor t = {};
    t.data = values.data();
    t.bytes = values.size() * sizeof(float);
    t.shape = shape.data();
    t.rank = static_cast<int32_t>(shape.size());
    t.dtype = UM_F32;
    return t;
  }

  std::vector<float> values;
  std::vector<int64_t> shape;
};

inline std::vector<float> ValuesOf(const um_tensor& tensor) {
  const float* start = static_cast<const float*>(tensor.data);
  return std::vector<float>(start, start + tensor.bytes / sizeof(float));
}

}  // namespace test
