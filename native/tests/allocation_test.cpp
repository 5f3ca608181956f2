// Memory: the n-th allocation fails for every n, and a repeated call allocates nothing. The linker puts these functions
// in the place of the platform layer's calls.
#include <errno.h>
#include <pthread.h>
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
int __real_pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*body)(void*), void* argument);
void* __real_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset);

void* __wrap_malloc(size_t bytes) { return Refused() ? nullptr : __real_malloc(bytes); }
void* __wrap_calloc(size_t count, size_t bytes) { return Refused() ? nullptr : __real_calloc(count, bytes); }
void* __wrap_aligned_alloc(size_t alignment, size_t bytes) {
  return Refused() ? nullptr : __real_aligned_alloc(alignment, bytes);
}
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* how, void* (*body)(void*), void* argument) {
  return Refused() ? EAGAIN : __real_pthread_create(thread, how, body, argument);
}
void* __wrap_mmap(void* at, size_t bytes, int protection, int flags, int file, off_t offset) {
  return Refused() ? MAP_FAILED : __real_mmap(at, bytes, protection, flags, file, offset);
}
}

namespace {

// Opens the file and runs its first method, with every allocation failing in turn.
void FailEach(const Bytes& file, um_tensor input, const um_session_options& how) {
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
      if (status == UM_OK) status = um_session_new(model, &how, &session, &error);
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

// Parts one after the other, on the caller's thread.
void InTurn(void*, size_t count, void (*work)(void*, size_t), void* task) {
  for (size_t k = 0; k < count; ++k) work(task, k);
}

}  // namespace

TEST_CASE("whichever allocation fails, opening and running say so and leak nothing") {
  Floats x({1, 2, 3, 4, 5, 6});
  const int64_t three = 3, two = 2;
  um_tensor strided = x.tensor();
  strided.shape = &three;
  strided.strides = &two;
  strided.bytes = 0;
  FailEach(Example().Encode(), strided, NoOptions());
  Floats rows({1, 2, 3, 4, 5, 6}, {3, 2});
  um_session_options how = NoOptions();
  how.threads = 2;
  FailEach(Cut(1).Encode(), rows.tensor(), how);
  how.parallel_for = InTurn;
  FailEach(Cut(1).Encode(), rows.tensor(), how);
}

TEST_CASE("whichever allocation fails, running the examples says so and leaks nothing") {
  Opened o(Verifiable(8));
  if (!o.session) return;
  for (long n = 0, failed = 1; failed != 0; ++n) {
    um_error error;
    um_status status = UM_OK;
    {
      Count count(n);
      status = um_verify(o.model.get(), nullptr, &error);
    }
    failed = status != UM_OK;
    CHECK((status == UM_OK || status == UM_OUT_OF_MEMORY));
    CHECK((failed != 0 || n > 3));
  }
}

TEST_CASE("a call with threads and known sizes allocates nothing") {
  Opened o(Cut(1));
  if (!o.session) return;
  um_session_options how = NoOptions();
  how.threads = 3;
  const Session threads = o.Another(how);
  how.parallel_for = InTurn;
  const Session host = o.Another(how);
  Floats x(std::vector<float>(60), {20, 3});
  um_tensor input = x.tensor();
  for (um_session* session : {threads.get(), host.get()}) {
    for (int round = 0; round < 3; ++round) {
      um_tensor output = {};
      Count count;
      if (um_run(session, 0, &input, 1, &output, 1, nullptr) != UM_OK) FAIL("the call failed");
      counting = false;
      if (round > 0) CHECK(allocations == 0);
    }
  }
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
