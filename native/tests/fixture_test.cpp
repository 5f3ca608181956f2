// Files that the Python side wrote, of every version of the format, go on working.
#include <stdio.h>

#include <string>

#include "doctest.h"
#include "files.h"

using namespace test;

TEST_CASE("the examples in a file of version 4 of the format give what they gave") {
  um_open_options options = {};
  options.size = sizeof options;
  options.trust = UM_TRUST_YES;
  um_model* model = nullptr;
  um_error error;
  const std::string path = std::string(UNMOOR_FIXTURES) + "/v4/examples.unmoor";
  REQUIRE_MESSAGE(um_open_file(path.c_str(), &options, &model, &error) == UM_OK, error.message);
  const Model owned(model);
  CHECK(um_example_count(model) == 3);
  const um_status status = um_verify(model, nullptr, &error);
  if (status == UM_NO_CODE_FOR_CPU) return;  // an older processor
  CHECK_MESSAGE(status == UM_OK, error.message);
}

TEST_CASE("a file of version 1 of the format runs") {
  um_open_options options = {};
  options.size = sizeof options;
  options.trust = UM_TRUST_YES;
  um_model* model = nullptr;
  um_error error;
  const std::string path = std::string(UNMOOR_FIXTURES) + "/v1/add.unmoor";
  REQUIRE_MESSAGE(um_open_file(path.c_str(), &options, &model, &error) == UM_OK, error.message);
  const Model owned(model);
  CHECK(um_model_digest(model) ==
        std::string("sha256:bf98c429554ecc2827bde0944c1d81746984591870628951657102c3b3524c04"));
  CHECK(um_signature_text(model, 0, 0) == std::string("(x: f32[s0]) -> (f32[s0]) where s0%3 == 0"));
  CHECK(um_target_count(model) == 2);
  CHECK(um_weight_bytes(model) == 576);
  um_session* session = nullptr;
  const um_status status = um_session_new(model, nullptr, &session, &error);
  if (status == UM_NO_CODE_FOR_CPU) return;  // an older processor
  REQUIRE(status == UM_OK);
  const Session held(session);
  Floats x({1, 2, 3, 4, 5, 6});
  um_tensor input = x.tensor(), output = {};
  REQUIRE(um_run(session, 0, &input, 1, &output, 1, &error) == UM_OK);
  CHECK(ValuesOf(output) == std::vector<float>{2, 12, 103, 5, 15, 106});
  Floats four({1, 2, 3, 4});
  input = four.tensor();
  CHECK(um_run(session, 1, &input, 1, &output, 1, &error) == UM_NOT_TRACED);
  CHECK(error.message == std::string("model.py:12 the length is a multiple of 3"));
}

TEST_CASE("a file with loops, of version 5 of the format, runs; spoilt ones are refused, or run within their memory") {
  const std::string path = std::string(UNMOOR_FIXTURES) + "/v5/looping.unmoor";
  FILE* file = fopen(path.c_str(), "rb");
  REQUIRE(file != nullptr);
  Bytes bytes(1 << 16);
  bytes.resize(fread(bytes.data(), 1, bytes.size(), file));
  fclose(file);
  const int64_t rows[] = {3, 2}, pair[] = {2};
  float x[] = {1, 2, 3, 4, 5, 6}, first[] = {7, 8};
  uint8_t no = 0, flags[] = {0, 0};
  um_tensor inputs[4] = {};
  inputs[0] = {x, sizeof x, rows, nullptr, 2, UM_F32};
  inputs[1] = {first, sizeof first, pair, nullptr, 1, UM_F32};
  inputs[2] = {&no, sizeof no, nullptr, nullptr, 0, UM_BOOL};
  inputs[3] = {flags, sizeof flags, pair, nullptr, 1, UM_BOOL};
  const auto run = [&](const Bytes& spoilt, std::vector<float>* moved) {
    Model model;
    um_error error;
    if (OpenBytes(spoilt, UM_TRUST_NO, &model, &error) != UM_OK) return;
    um_session* session = nullptr;
    um_session_options how = NoOptions();
    how.max_arena_bytes = 1 << 20;
    if (um_session_new(model.get(), &how, &session, &error) != UM_OK) return;
    const Session held(session);
    um_tensor outputs[2] = {};
    if (um_run(session, 0, inputs, 4, outputs, 2, &error) == UM_OK && moved != nullptr) *moved = ValuesOf(outputs[0]);
  };
  std::vector<float> moved;
  run(bytes, &moved);
  CHECK(moved == std::vector<float>{7, 8, 1, 2, 3, 4});
  for (size_t at = 64; at < bytes.size(); ++at) {
    if (bytes[at] == 0 && at % 4 != 0) continue;
    for (const int value : {0, 4, 9}) {
      Bytes spoilt = bytes;
      spoilt[at] = static_cast<uint8_t>(value);
      MakeDigestsRight(&spoilt);
      run(spoilt, nullptr);
    }
  }
}
