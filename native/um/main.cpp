// um: looks into Unmoor files and runs them, without Python.
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tool.h"

namespace tool {

namespace {

constexpr const char* kHelp =
    "um %s: runs saved models where there is no Python, no libtorch and no compiler\n"
    "\n"
    "  um info FILE                 what the file holds: methods, signatures, targets, digest\n"
    "  um run FILE ARGUMENT...      runs a method and prints its outputs\n"
    "  um bench FILE ARGUMENT...    measures the time of a call\n"
    "  um verify FILE               runs the examples in the file: ok, or the first output that differs\n"
    "\n"
    "An ARGUMENT is a tensor: x.npy, all tensors of x.npz, or a literal like 3.5, 1,2,3 or [[1,2],[3,4]].\n"
    "NAME=... gives it to the input of that name (-- before the first argument where that is negative).\n"
    "\n"
    "  --trust yes|no|sha256:...    may the machine code in the file run? Yes, no, or if that is its digest (no)\n"
    "  --method NAME                the entry point (the first one); NAME.train, NAME.eval: a mode that it was traced in\n"
    "  --seed N                     starts the random numbers that the method draws: the same ones for the same seed\n"
    "  --state FILE.npz             gives the model the state that it keeps from call to call, by name\n"
    "  --state-out FILE.npz         run: writes that state as the call leaves it\n"
    "  -o FILE.npy                  writes an output instead of printing it; once for each output\n"
    "  --assumptions                info: only what the trace froze, with the lines of the Python program\n"
    "  --threads N                  how many threads a call may use (1)\n"
    "  --weights map|huge           where the weights are: mapped, or copied into huge pages (map)\n"
    "  --seconds S                  how long bench measures (1)\n"
    "\n"
    "Exit codes: 0 it worked, 1 it failed, 2 the command line makes no sense.\n";

}  // namespace

void Complain(const char* format, ...) {
  fputs("um: ", stderr);
  va_list arguments;
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fputc('\n', stderr);
}

}  // namespace tool

int main(int count, char** words) {
  const char* command = count > 1 ? words[1] : "--help";
  if (strcmp(command, "--version") == 0) {
    printf("um %s\n", um_version());
    return tool::kOk;
  }
  for (int k = 1; k < count; ++k) {
    if (strcmp(words[k], "--") == 0) break;
    if (strcmp(words[k], "--help") == 0 || strcmp(words[k], "-h") == 0) command = "--help";
  }
  if (strcmp(command, "--help") == 0) {
    printf(tool::kHelp, um_version());
    return count > 1 ? tool::kOk : tool::kUsage;
  }
  tool::Options options;
  if (strcmp(command, "info") != 0 && strcmp(command, "run") != 0 && strcmp(command, "bench") != 0 &&
      strcmp(command, "verify") != 0) {
    tool::Complain("there is no command \"%s\"; `um --help` lists them", command);
    return tool::kUsage;
  }
  if (!tool::ReadOptions(count - 2, words + 2, &options)) return tool::kUsage;
  if (strcmp(command, "info") == 0) return tool::Info(options);
  if (strcmp(command, "verify") == 0) return tool::Verify(options);
  return strcmp(command, "run") == 0 ? tool::Run(options) : tool::Bench(options);
}
