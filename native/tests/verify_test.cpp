// The examples in a file: what they give is held against what the file expects.
#include <math.h>
#include <string.h>

#include <string>

#include "base/cpu.h"
#include "doctest.h"
#include "files.h"

using namespace test;

namespace {

um_status VerifyFile(const Image& image, um_error* error, um_trust trust = UM_TRUST_YES, size_t most = 0) {
  const Bytes file = image.Encode();
  Model model;
  const um_status status = OpenBytes(file, trust, &model, error);
  if (status != UM_OK) return status;
  um_session_options options = NoOptions();
  options.max_arena_bytes = most;
  return um_verify(model.get(), &options, error);
}

bool CanRun() { return um::DetectCpu().x86_64_v3; }

}  // namespace

TEST_CASE("examples that give what the file expects are ok") {
  um_error error;
  if (!CanRun()) return;
  CHECK_MESSAGE(VerifyFile(Verifiable(8), &error) == UM_OK, error.message);
  CHECK(VerifyFile(Verifiable(8.125F), &error) == UM_OK);  // within the tolerance
  CHECK(VerifyFile(Example(), &error) == UM_OK);           // none
  CHECK(um_verify(nullptr, nullptr, &error) == UM_WRONG_ARGUMENT);
  CHECK(um_example_count(nullptr) == 0);
  Opened opened(Verifiable(8));
  CHECK(um_example_count(opened.model.get()) == 2);
  CHECK(um_verify(opened.model.get(), nullptr, nullptr) == UM_OK);
}

TEST_CASE("the first output that differs is named with both values") {
  um_error error;
  if (!CanRun()) return;
  CHECK(VerifyFile(Verifiable(8.5F), &error) == UM_WRONG_RESULT);
  CHECK(error.message ==
        std::string("example 1 of the method forward: y[1] is 8; expected is 8.5 (tolerance 0.125)"));
  CHECK(um_status_name(UM_WRONG_RESULT) == std::string("UM_WRONG_RESULT"));
  CHECK(VerifyFile(Verifiable(NAN), &error) == UM_WRONG_RESULT);
  Image image = Verifiable(8);
  const float two[] = {INFINITY, NAN};  // of the second example
  memcpy(image.example_data.data() + image.example_tensors[3].offset, two, sizeof two);
  CHECK(VerifyFile(image, &error) == UM_WRONG_RESULT);
  CHECK(error.message == std::string("example 2 of the method same: y[0] is nan; expected is inf (tolerance 0.125)"));
}

TEST_CASE("an output of another size is named") {
  um_error error;
  if (!CanRun()) return;
  Image image = Example();
  image.oldest_reader = 4;
  image.BeginExample(0);
  image.Tensor({1, 2});
  image.Tensor({2, 4, 6}, 1);
  CHECK(VerifyFile(image, &error) == UM_WRONG_RESULT);
  CHECK(error.message == std::string("example 1 of the method forward: y is f32[2]; expected is f32[3]"));
}

TEST_CASE("an example that is refused is no right one") {
  um_error error;
  if (!CanRun()) return;
  Image image = Example();
  image.oldest_reader = 4;
  image.BeginExample(1);
  image.Tensor({-1});
  image.Tensor({-2});
  CHECK(VerifyFile(image, &error) == UM_WRONG_RESULT);
  CHECK(error.message == std::string("example 1 of the method guarded is refused: net.py:7 took the branch `x.sum() > "
                                     "0` in every example; here it is False"));
  CHECK(VerifyFile(image, &error, UM_TRUST_YES, 1) == UM_TOO_LARGE);  // the caller's limit, not the file's fault
  CHECK(VerifyFile(image, &error, UM_TRUST_NO) == UM_NOT_TRUSTED);
}

TEST_CASE("examples that break the rules of the format are refused") {
  const auto refused = [](const char* what, auto spoil) {
    Image image = Verifiable(8);
    spoil(&image);
    um_error error;
    Model model;
    INFO(what);
    CHECK(OpenBytes(image.Encode(), UM_TRUST_NO, &model, &error) == UM_DAMAGED);
  };
  refused("no such method", [](Image* i) { i->examples[0].method = 9; });
  refused("too few tensors", [](Image* i) { i->examples[1].tensor_count = 1; });
  refused("tensors of nobody", [](Image* i) { i->examples.pop_back(); });
  refused("no such dtype", [](Image* i) { i->example_tensors[0].dtype = 11; });
  refused("reserved", [](Image* i) { i->example_tensors[0].reserved = 1; });
  refused("an input with a tolerance", [](Image* i) { i->example_tensors[0].tolerance = 1; });
  refused("a negative tolerance", [](Image* i) { i->example_tensors[1].tolerance = -1; });
  refused("an infinite tolerance", [](Image* i) { i->example_tensors[1].tolerance = INFINITY; });
  refused("no tolerance", [](Image* i) { i->example_tensors[1].tolerance = NAN; });
  refused("integers with a tolerance", [](Image* i) { i->example_tensors[1].dtype = UM_I32; });
  refused("a shape of more bytes", [](Image* i) { i->shapes.back().size = 3; });
  refused("a negative size", [](Image* i) { i->shapes.back().size = -1; });
  refused("a size that overflows", [](Image* i) { i->shapes.back().size = INT64_MAX; });
  refused("an offset elsewhere", [](Image* i) { i->example_tensors[1].offset += 64; });
  refused("bytes behind the last", [](Image* i) { i->example_data.push_back(0); });
  refused("bytes between", [](Image* i) { i->example_data[20] = 1; });
  refused("a truncated section", [](Image* i) { i->example_data.pop_back(); });
}
