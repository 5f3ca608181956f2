// Running: results, signatures, outputs, strides, and what is refused.
#include <string.h>

#include <string>

#include "doctest.h"
#include "files.h"

using namespace test;
using Values = std::vector<float>;

namespace {

struct Result {
  um_status status;
  um_tensor output;
  std::string message;
};

Result Run(Opened& o, size_t method, std::vector<um_tensor> inputs, um_tensor output = {}) {
  um_error error = {};
  Result r = {UM_OK, output, ""};
  r.status = um_run(o.session.get(), method, inputs.data(), inputs.size(), &r.output, 1, &error);
  r.message = error.message;
  return r;
}

bool Says(const Result& r, const char* text) { return r.message.find(text) != std::string::npos; }

constexpr size_t kForward = 0, kGuarded = 1, kSecond = 2, kSame = 3, kNever = 4;

}  // namespace

TEST_CASE("a method runs for all its signatures and sizes") {
  Opened o(Example());
  if (!o.session) return;  // another processor
  for (size_t n : {size_t{3}, size_t{0}, size_t{1}, size_t{1000}, size_t{2}}) {
    Floats x(Values(n, 1.5f));
    const Result r = Run(o, kForward, {x.tensor()});
    REQUIRE(r.status == UM_OK);
    CHECK(ValuesOf(r.output) == Values(n, 6.0f));
    CHECK(r.output.shape[0] == static_cast<int64_t>(n));
    CHECK(um_session_signature(o.session.get()) == 0);
    Floats rows(Values(3 * n, 1.0f), {static_cast<int64_t>(n), 3});
    const Result second = Run(o, kForward, {rows.tensor()});
    REQUIRE(second.status == UM_OK);
    CHECK(um_session_signature(o.session.get()) == 1);
    REQUIRE(second.output.bytes == 12 * n);
    for (size_t k = 0; k < 3 * n; ++k) {
      CHECK(static_cast<const float*>(second.output.data)[k] == 11.0f + 10.0f * static_cast<float>(k % 3));
    }
  }
}

TEST_CASE("outputs go where the caller says") {
  Opened o(NoKernels());
  Floats x({1, 2, 3});
  float room[4] = {9, 9, 9, 9};
  um_tensor output = {};
  output.data = room;
  output.bytes = sizeof room;
  Result r = Run(o, 0, {x.tensor()}, output);
  REQUIRE(r.status == UM_OK);
  CHECK(r.output.bytes == 12);
  CHECK(room[2] == 3);
  CHECK(room[3] == 9);
  output.bytes = 8;
  r = Run(o, 0, {x.tensor()}, output);
  CHECK(r.status == UM_OUTPUT_TOO_SMALL);
  CHECK(r.output.bytes == 12);
  CHECK(Says(r, "output 0 needs 12 bytes"));
  output.data = reinterpret_cast<char*>(room) + 1;
  output.bytes = 12;
  CHECK(Run(o, 0, {x.tensor()}, output).status == UM_WRONG_ARGUMENT);
}

TEST_CASE("outputs that overlap inputs are refused") {
  Opened o(NoKernels());
  Floats x({1, 2, 3});
  um_tensor output = x.tensor();
  CHECK(Run(o, 0, {x.tensor()}, output).status == UM_WRONG_ARGUMENT);
  const Result given = Run(o, 0, {x.tensor()});
  REQUIRE(given.status == UM_OK);
  const Result again = Run(o, 0, {given.output});  // the session's memory, which it needs again
  CHECK(again.status == UM_WRONG_ARGUMENT);
}

TEST_CASE("strided and unaligned inputs are packed") {
  Opened o(NoKernels());
  Floats x({1, 2, 3, 4, 5, 6});
  um_tensor input = x.tensor();
  const int64_t three = 3, two = 2, back = -1, still = 0;
  input.shape = &three;
  input.bytes = 0;
  input.strides = &two;
  CHECK(ValuesOf(Run(o, 0, {input}).output) == Values{1, 3, 5});
  input.strides = &still;
  CHECK(ValuesOf(Run(o, 0, {input}).output) == Values{1, 1, 1});
  input.data = x.values.data() + 5;
  input.strides = &back;
  CHECK(ValuesOf(Run(o, 0, {input}).output) == Values{6, 5, 4});
  alignas(8) char bytes[16];
  memcpy(bytes + 1, x.values.data(), 12);
  input.data = bytes + 1;
  input.strides = nullptr;
  CHECK(ValuesOf(Run(o, 0, {input}).output) == Values{1, 2, 3});
}

TEST_CASE("a transposed matrix is packed") {
  Opened o(Example());
  if (!o.session) return;
  Floats x({1, 2, 3, 4, 5, 6}, {2, 3});  // in memory [3, 2]
  const int64_t strides[2] = {1, 2};
  um_tensor input = x.tensor();
  input.strides = strides;
  CHECK(ValuesOf(Run(o, kForward, {input}).output) == Values{11, 23, 35, 12, 24, 36});
}

TEST_CASE("inputs that fit no signature are refused in words") {
  Opened o(Example());
  if (!o.session) return;
  Floats x({1, 2, 3}), y({1, 2}), cube({1}, {1, 1, 1});
  Result r = Run(o, kForward, {cube.tensor()});
  CHECK(r.status == UM_WRONG_INPUT);
  CHECK(Says(r, "f32[1, 1, 1]"));
  CHECK(Says(r, "(x: f32[s0, 3]) -> (f32[s0, 3])"));
  r = Run(o, kSecond, {x.tensor()});
  CHECK(Says(r, "1 input was given"));
  r = Run(o, kSecond, {x.tensor(), cube.tensor()});
  CHECK(Says(r, "input 1 (b) has 3 dims"));
  um_tensor wrong = y.tensor();
  wrong.dtype = UM_I32;
  r = Run(o, kSecond, {x.tensor(), wrong});
  CHECK(Says(r, "input 1 (b) is of i32"));
  r = Run(o, kSecond, {x.tensor(), y.tensor()});
  CHECK(r.status == UM_WRONG_INPUT);
  CHECK(Says(r, "s0 == s1"));
  Floats z({4, 5, 6});
  CHECK(ValuesOf(Run(o, kSecond, {x.tensor(), z.tensor()}).output) == Values{4, 5, 6});
  um_tensor short_input = x.tensor();
  short_input.bytes = 8;
  CHECK(Run(o, kForward, {short_input}).status == UM_WRONG_INPUT);
  um_tensor none = x.tensor();
  none.data = nullptr;
  CHECK(Run(o, kForward, {none}).status == UM_WRONG_ARGUMENT);
  none.shape = nullptr;
  CHECK(Run(o, kForward, {none}).status == UM_WRONG_ARGUMENT);
  CHECK(Run(o, 17, {x.tensor()}).status == UM_WRONG_ARGUMENT);
}

TEST_CASE("sizes that overflow are refused") {
  Opened o(NoKernels());
  Floats x({1});
  um_tensor input = x.tensor();
  for (int64_t size : {INT64_MAX, INT64_MAX / 4 + 1, int64_t{1} << 62}) {
    input.shape = &size;
    input.bytes = 0;
    CHECK(Run(o, 0, {input}).status == UM_TOO_LARGE);
  }
  const int64_t negative = -1;
  input.shape = &negative;
  CHECK(Run(o, 0, {input}).status == UM_WRONG_INPUT);
}

TEST_CASE("a broken assumption names the user's line") {
  Opened o(Example());
  if (!o.session) return;
  Floats good({1, 2}), bad({-1, -2});
  CHECK(ValuesOf(Run(o, kGuarded, {good.tensor()}).output) == Values{2, 4});
  const Result r = Run(o, kGuarded, {bad.tensor()});
  CHECK(r.status == UM_NOT_TRACED);
  CHECK(r.message == "net.py:7 took the branch `x.sum() > 0` in every example; here it is False");
  CHECK(ValuesOf(Run(o, kGuarded, {good.tensor()}).output) == Values{2, 4});
  um_error error;
  CHECK(um_run(o.session.get(), kNever, nullptr, 0, nullptr, 0, &error) == UM_NOT_TRACED);
  CHECK(error.message == std::string("net.py:9 this path was never traced"));
}

TEST_CASE("working memory may be limited") {
  Opened o(Example(), 848);  // an arena of 400, and an output that the session gives, in 448
  if (!o.session) return;
  Floats small(Values(100, 1)), large(Values(101, 1));
  CHECK(Run(o, kForward, {small.tensor()}).status == UM_OK);
  const Result r = Run(o, kForward, {large.tensor()});
  CHECK(r.status == UM_TOO_LARGE);
  CHECK(Says(r, "852"));
  CHECK(ValuesOf(Run(o, kForward, {small.tensor()}).output) == Values(100, 4));
}

TEST_CASE("prepare tells sizes, and execute runs") {
  Opened o(Example());
  if (!o.session) return;
  Floats x({1, 2, 3});
  um_tensor input = x.tensor(), output = {};
  um_error error;
  CHECK(um_execute(o.session.get(), &output, 1, &error) == UM_WRONG_ARGUMENT);
  REQUIRE(um_prepare(o.session.get(), kForward, &input, 1, &output, 1, &error) == UM_OK);
  CHECK(output.bytes == 12);
  CHECK(output.rank == 1);
  CHECK(output.dtype == UM_F32);
  CHECK(output.data == nullptr);
  int64_t arena = 0, flops = -1, traffic = -1;
  REQUIRE(um_session_cost(o.session.get(), &arena, &flops, &traffic) == UM_OK);
  CHECK(arena == 12);
  Values room(3);
  output.data = room.data();
  REQUIRE(um_execute(o.session.get(), &output, 1, &error) == UM_OK);
  CHECK(room == Values{4, 8, 12});
  CHECK(um_execute(o.session.get(), &output, 2, &error) == UM_WRONG_ARGUMENT);
  x.values[0] = 5;
  REQUIRE(um_execute(o.session.get(), &output, 1, &error) == UM_OK);
  CHECK(room[0] == 20);
  CHECK(um_prepare(o.session.get(), kForward, &input, 1, nullptr, 0, &error) == UM_OK);
}

TEST_CASE("a model may be freed before its sessions") {
  Opened o(NoKernels());
  o.model.reset();
  Floats x({7});
  CHECK(ValuesOf(Run(o, 0, {x.tensor()}).output) == Values{7});
}

// A memory plan that does not hold is found before anything runs: this file needs no trust.
TEST_CASE("a plan that leaves its memory is refused") {
  for (int kind = 0; kind < 4; ++kind) {
    Image image;
    image.BeginMethod("f");
    image.BeginProgram("(x: f32[s0]) -> (f32[s0])");
    image.Input("x", UM_F32, {Symbol(0)});
    image.Output("y", UM_F32, {Symbol(0)});
    image.Symbols({"s0"});
    const uint32_t n = image.Dim(0, 0), four = image.Const(4), bytes = image.Formula(FormulaOp::kMul, n, four);
    const uint32_t offset = image.Const(kind == 0 ? 64 : kind == 1 ? -64 : kind == 2 ? 8 : 0);
    const uint32_t more = image.Formula(FormulaOp::kAdd, n, kind == 3 ? four : offset);
    image.Arena(bytes);
    const uint32_t x = image.Tensor(Place::kInput, 0, UM_F32, {n}, bytes);
    const uint32_t y = image.Tensor(Place::kOutput, 0, UM_F32, {n}, bytes);
    const uint32_t t = image.Tensor(Place::kArena, offset, UM_F32, {kind == 3 ? more : n}, bytes);
    image.Copy(t, x);
    image.Copy(y, t);
    image.Return();
    Opened o(image);
    REQUIRE(o.session);
    Floats values({1, 2, 3});
    CHECK(Run(o, 0, {values.tensor()}).status == UM_DAMAGED);
  }
}
