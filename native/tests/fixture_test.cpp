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
