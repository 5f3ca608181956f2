// One model, several threads with a session each.
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
