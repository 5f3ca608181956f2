// um verify: runs the examples in a file.
#include <stdio.h>

#include "tool.h"

namespace tool {

int Verify(const Options& options) {
  if (options.arguments.size() > 0) {
    Complain("verify takes one file");
    return kUsage;
  }
  um_model* model = Open(options);
  if (model == nullptr) return kFailed;
  um_session_options how = {};
  how.size = sizeof how;
  how.threads = options.threads;
  um_error error;
  const size_t count = um_example_count(model);
  const bool fine = um_verify(model, &how, &error) == UM_OK;
  if (!fine) {
    Complain("%s: %s", options.file, error.message);
  } else if (count == 0) {
    printf("ok: the file is sound; it holds no examples\n");
  } else {
    printf("ok: %zu example%s give%s what the file expects (%s)\n", count, count == 1 ? "" : "s", count == 1 ? "s" : "",
           um_model_engine(model));
  }
  um_model_free(model);
  return fine ? kOk : kFailed;
}

}  // namespace tool
