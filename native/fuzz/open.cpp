// Opens any bytes as a file. Digests are made right first, so that the fuzzer gets behind them.
#include <stdint.h>
#include <string.h>

#include <vector>

#include "../tests/image.h"
#include "unmoor.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t bytes) {
  std::vector<uint8_t> file(data, data + bytes);
  test::MakeDigestsRight(&file);
  um_model* model = nullptr;
  if (um_open_memory(file.data(), file.size(), nullptr, &model, nullptr) != UM_OK) return 0;
  um_session* session = nullptr;
  if (um_session_new(model, nullptr, &session, nullptr) == UM_OK) {
    um_tensor outputs[4] = {};
    um_run(session, 0, nullptr, 0, outputs, um_output_count(model, 0, 0) < 4 ? um_output_count(model, 0, 0) : 4,
           nullptr);
  }
  um_session_free(session);
  um_model_free(model);
  return 0;
}
