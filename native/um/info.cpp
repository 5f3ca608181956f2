// um info: what a file holds.
#include <stdio.h>
#include <string.h>

#include "tool.h"

namespace tool {

int Info(const Options& options) {
  if (options.arguments.size() > 0) {
    Complain("info takes one file");
    return kUsage;
  }
  um_model* model = Open(options);
  if (model == nullptr) return kFailed;
  if (options.assumptions) {
    for (size_t m = 0; m < um_method_count(model); ++m) {
      printf("method %s\n%s\n", um_method_name(model, m), um_assumptions_text(model, m));
    }
    um_model_free(model);
    return kOk;
  }
  printf("file     %s\n", options.file);
  printf("digest   %s\n", um_model_digest(model));
  printf("kernels  %zu, with machine code for:", um_kernel_count(model));
  for (size_t k = 0; k < um_target_count(model); ++k) printf("%s %s", k > 0 ? "," : "", um_target_name(model, k));
  printf("%s\n", um_target_count(model) == 0 ? " no target" : "");
  printf("weights  %zu bytes\n", um_weight_bytes(model));
  printf("examples %zu\n", um_example_count(model));
  printf("engine   %s\n", um_model_engine(model));
  for (size_t m = 0; m < um_method_count(model); ++m) {
    printf("\nmethod %s\n", um_method_name(model, m));
    for (size_t k = 0; k < um_signature_count(model, m); ++k) printf("  %s\n", um_signature_text(model, m, k));
    const char* assumptions = um_assumptions_text(model, m);
    if (assumptions[0] != '\0') {
      fputs("  assumes:\n    ", stdout);
      for (const char* at = assumptions; *at != '\0'; ++at) {
        if (*at == '\n' && at[1] == '\0') break;
        putchar(*at);
        if (*at == '\n') fputs("    ", stdout);
      }
      putchar('\n');
    }
  }
  um_model_free(model);
  return kOk;
}

}  // namespace tool
