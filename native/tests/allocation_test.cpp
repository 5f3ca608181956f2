// Memory: the n-th allocation fails for every n, and a repeated call allocates nothing. The linker puts these functions
// in the place of the platform layer's calls.
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "doctest.h"
#include "files.h"

using namespace test;

namespace {

bool counting = false;
long allocations = 0;
long failing = -1;

bool Refused() {
  if (!counting) return false;
  return allocations++ == failing;
}

// Counts from its making to its end; the allocation number `fail` fails.
struct Count {
  explicit Count(long fail = -1) {
    allocations = 0;
    failing = fail;
    counting = true;
  }
  ~Count() { counting = false; }
};

}  // namespace

extern "C" {
void* __real_malloc(size_t bytes);
void* __real_calloc(size_t count, size_t bytes);
void* __real_aligned_alloc(size_t alignment, size_t bytes);
void* __real_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset);

void* __wrap_malloc(size_t bytes) { return Refused() ? nullptr : __real_malloc(bytes); }
void* __wrap_calloc(size_t count, size_t bytes) { return Refused() ? nullptr : __real_calloc(count, bytes); }
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return Refused() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
void* __wrap_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) {
  return Refused() ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}
}

TEST_CASE("whichever allocation fails, opening and running say so and leak nothing") {
  const Bytes file = Example().Encode();
  Floats x({1, 2, 3, 4, 5, 6});
  const int64_t three = 3, two = 2;
  um_tensor input = x.tensor();
  input.shape = &three;
  input.strides = &two;
  input.bytes = 0;
  bool succeeded = false;
  long n = 0;
  for (; n < 100 && !succeeded; ++n) {
    um_open_options options = {};
    options.size = sizeof options;
    options.trust = UM_TRUST_YES;
    um_model* model = nullptr;
    um_session* session = nullptr;
    um_tensor output = {};
    um_error error;
    um_status status = UM_OK;
    {
      Count count(n);
      status = um_open_memory(file.data(), file.size(), &options, &model, &error);
      if (status == UM_OK) status = um_session_new(model, nullptr, &session, &error);
      if (status == UM_NO_CODE_FOR_CPU)
        status = UM_OK;
      else if (status == UM_OK)
        status = um_run(session, 0, &input, 1, &output, 1, &error);
    }
    CHECK((status == UM_OK || status == UM_OUT_OF_MEMORY));
    succeeded = status == UM_OK && allocations <= n;
    if (status == UM_OUT_OF_MEMORY && session != nullptr) {  // the session is not spoilt by it
      CHECK(um_run(session, 0, &input, 1, &output, 1, &error) == UM_OK);
    }
    um_session_free(session);
    um_model_free(model);
  }
  CHECK(succeeded);
  CHECK(n > 5);
}

TEST_CASE("a call with known sizes allocates nothing") {
  Opened o(Example());
  if (!o.session) return;
  Floats x({1, 2, 3}), rows({1, 2, 3, 4, 5, 6}, {2, 3});
  const int64_t strides[2] = {1, 2};
  um_tensor inputs[2] = {x.tensor(), rows.tensor()};
  inputs[1].strides = strides;
  um_error error;
  for (int round = 0; round < 3; ++round) {
    Count count;
    for (um_tensor& input : inputs) {
      um_tensor output = {};
      if (um_run(o.session.get(), 0, &input, 1, &output, 1, &error) != UM_OK) FAIL(error.message);
    }
    counting = false;
    if (round > 0) CHECK(allocations == 0);
  }
}
