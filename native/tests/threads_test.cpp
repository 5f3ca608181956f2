// One model, several threads with a session each; sessions with threads of their own.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <ctime>
#include <functional>
#include <thread>

#include "doctest.h"
#include "files.h"

using namespace test;

TEST_CASE("threads share a model, each with its session") {
  Opened o(Example());
  if (!o.session) return;
  std::vector<std::thread> threads;
  int wrong[4] = {};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&o, &wrong, t] {
      for (int round = 0; round < 50; ++round) {
        um_session* session = nullptr;
        if (um_session_new(o.model.get(), nullptr, &session, nullptr) != UM_OK) ++wrong[t];
        Floats x(std::vector<float>(static_cast<size_t>(1 + round % 7), static_cast<float>(t)));
        um_tensor input = x.tensor(), output = {};
        for (int call = 0; call < 20; ++call) {
          output.data = nullptr;
          if (um_run(session, 0, &input, 1, &output, 1, nullptr) != UM_OK)
            ++wrong[t];
          else if (ValuesOf(output) != std::vector<float>(x.values.size(), 4.0f * static_cast<float>(t)))
            ++wrong[t];
        }
        um_session_free(session);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int count : wrong) CHECK(count == 0);
}

namespace {

// An input of the method "turn", and what it gives.
struct Turning {
  Turning(int64_t rows, int64_t columns) : x(std::vector<float>(static_cast<size_t>(rows * columns)), {rows, columns}) {
    for (size_t k = 0; k < x.values.size(); ++k) x.values[k] = static_cast<float>(k % 8191);
    wanted.resize(x.values.size());
    for (int64_t i = 0; i < rows; ++i) {
      for (int64_t j = 0; j < columns; ++j) {
        wanted[static_cast<size_t>(i * columns + j)] = 2 * x.values[static_cast<size_t>((i + 1) * columns - 1 - j)];
      }
    }
  }
  bool Holds(um_session* session) {
    um_tensor input = x.tensor(), output = {};
    return um_run(session, 0, &input, 1, &output, 1, nullptr) == UM_OK && ValuesOf(output) == wanted;
  }
  Floats x;
  std::vector<float> wanted;
};

um_session_options WithThreads(size_t threads) {
  um_session_options options = NoOptions();
  options.threads = threads;
  return options;
}

// A host's parallel-for: a new thread for each part. `host` counts the parts.
void InNewThreads(void* host, size_t count, void (*work)(void*, size_t), void* task) {
  *static_cast<size_t*>(host) += count;
  std::vector<std::thread> threads;
  for (size_t k = 0; k < count; ++k) threads.emplace_back(work, task, k);
  for (std::thread& thread : threads) thread.join();
}

void Together(size_t count, const std::function<void(size_t)>& work) {
  std::vector<std::thread> threads;
  for (size_t k = 0; k < count; ++k) threads.emplace_back(work, k);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace

TEST_CASE("any number of threads gives the same results, whatever the sizes") {
  for (const int64_t grain : {0, 1, 3, 1000000}) {
    Opened o(Cut(grain));
    if (!o.session) return;
    for (const size_t threads : {1u, 2u, 3u, 64u}) {
      const Session session = o.Another(WithThreads(threads));
      REQUIRE(session);
      CHECK(um_session_threads(session.get()) >= 1);
      CHECK(um_session_threads(session.get()) <= threads);
      for (const int64_t rows : {7, 0, 1, 2, 100, 3, 1000}) CHECK(Turning(rows, 37).Holds(session.get()));
    }
  }
}

TEST_CASE("the host's own threads do the work") {
  Opened o(Cut(5));
  if (!o.session) return;
  size_t parts = 0;
  um_session_options options = WithThreads(3);
  options.parallel_for = InNewThreads;
  options.host = &parts;
  const Session session = o.Another(options);
  CHECK(um_session_threads(session.get()) == 3);
  for (const int64_t rows : {1, 4, 100}) CHECK(Turning(rows, 11).Holds(session.get()));
  CHECK(parts == 2 * 3);  // two calls, of the one size that is worth cutting
}

TEST_CASE("sessions of many threads share the threads of one, or have their own") {
  Opened o(Cut(3));
  if (!o.session) return;
  for (const bool share : {true, false}) {
    Session first = o.Another(WithThreads(3));
    um_session_options options = WithThreads(2);
    options.share = share ? first.get() : nullptr;
    std::vector<Session> sessions;
    for (int k = 0; k < 4; ++k) sessions.push_back(o.Another(options));
    if (share) CHECK(um_session_threads(sessions[0].get()) == um_session_threads(first.get()));
    first.reset();  // what is shared lives on
    int wrong[4] = {};
    Together(4, [&](size_t t) {
      for (int call = 0; call < 100; ++call) {
        if (!Turning(call % 40, static_cast<int64_t>(5 + t)).Holds(sessions[t].get())) ++wrong[t];
      }
    });
    for (int count : wrong) CHECK(count == 0);
  }
}

TEST_CASE("threads that have nothing to do sleep") {
  Opened o(Cut(1));
  if (!o.session) return;
  std::vector<Session> sessions;
  for (int k = 0; k < 8; ++k) sessions.push_back(o.Another(WithThreads(2)));
  for (const Session& session : sessions) CHECK(Turning(20, 9).Holds(session.get()));
  const std::clock_t before = std::clock();  // of all threads of the process
  std::this_thread::sleep_for(std::chrono::milliseconds(200));
  CHECK(std::clock() - before < CLOCKS_PER_SEC / 20);
}

TEST_CASE("sessions with threads come and go") {
  Opened o(Cut(1));
  if (!o.session) return;
  int wrong[3] = {};
  Together(3, [&](size_t t) {
    for (int round = 0; round < 30; ++round) {
      const Session session = o.Another(WithThreads(2));
      if (!session || (round % 2 == 0 && !Turning(20, 9).Holds(session.get()))) ++wrong[t];
    }
  });
  for (int count : wrong) CHECK(count == 0);
}

TEST_CASE("options of the size that they first had are taken; too many threads are refused") {
  Opened o(Cut(1));
  if (!o.session) return;
  um_session_options options = WithThreads(2);
  options.size = 2 * sizeof(size_t);
  const Session session = o.Another(options);
  CHECK(um_session_threads(session.get()) == 1);
  options.size = sizeof options + 8;
  um_session* made = nullptr;
  CHECK(um_session_new(o.model.get(), &options, &made, nullptr) == UM_WRONG_ARGUMENT);
  options = WithThreads(1000000);
  um_error error;
  CHECK(um_session_new(o.model.get(), &options, &made, &error) == UM_WRONG_ARGUMENT);
  CHECK(std::string(error.message) == "um_session_options.threads is 1000000; 1024 are the most");
}

#if !defined(__SANITIZE_THREAD__)
TEST_CASE("a forked child goes on with a session, and frees it") {
  Opened o(Cut(1));
  if (!o.session) return;
  Session session = o.Another(WithThreads(2));
  CHECK(Turning(50, 3).Holds(session.get()));
  const pid_t child = fork();
  if (child == 0) {
    const bool holds = Turning(60, 3).Holds(session.get());
    session.reset();
    _exit(holds ? 0 : 1);
  }
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
  CHECK(Turning(70, 3).Holds(session.get()));
}
#endif
