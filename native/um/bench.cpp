// um bench: the time of a call, as the median of many.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tool.h"

namespace tool {

namespace {

double Now() {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return static_cast<double>(time.tv_sec) * 1e9 + static_cast<double>(time.tv_nsec);
}

int Compare(const void* a, const void* b) {
  const double x = *static_cast<const double*>(a), y = *static_cast<const double*>(b);
  return x < y ? -1 : x > y ? 1 : 0;
}

// The mean time of each of `calls` calls in a row, in ns; negative where one fails.
double Measure(Call& call, size_t calls, um_error* error) {
  const double start = Now();
  for (size_t k = 0; k < calls; ++k) {
    for (um_tensor& output : call.outputs) output.data = nullptr;
    if (um_run(call.session, call.method, call.inputs.data(), call.inputs.size(), call.outputs.data(),
               call.outputs.size(), error) != UM_OK) {
      return -1;
    }
  }
  return (Now() - start) / static_cast<double>(calls);
}

// The most memory that this process has had resident so far, in KiB; 0 where the system does not tell.
long PeakMemory() {
  FILE* status = fopen("/proc/self/status", "r");
  if (status == nullptr) return 0;
  char line[256];
  long peak = 0;
  while (peak == 0 && fgets(line, sizeof line, status) != nullptr) {
    if (sscanf(line, "VmHWM: %ld", &peak) != 1) peak = 0;
  }
  fclose(status);
  return peak;
}

}  // namespace

int Bench(const Options& options) {
  const double before = Now();
  um_model* model = Open(options);
  if (model == nullptr) return kFailed;
  const double opened = Now() - before;
  Call call;
  um_error error;
  bool fine = PrepareCall(model, options, &call);
  double first = fine ? Measure(call, 1, &error) : -1;
  size_t calls = 1;  // at a time, so that the clock does not matter
  while (first >= 0 && calls < 1000000 && Measure(call, calls, &error) * static_cast<double>(calls) < 2e5) calls *= 2;
  List<double> times;
  for (const double start = Now(); first >= 0 && (times.size() < 5 || Now() - start < options.seconds * 1e9);) {
    times.Add(Measure(call, calls, &error));
    if (times[times.size() - 1] < 0) first = -1;
  }
  if (fine && first < 0) {
    Complain("%s", error.message);
    fine = false;
  }
  if (fine) {
    qsort(times.data(), times.size(), sizeof(double), Compare);
    int64_t arena = 0, flops = 0, traffic = 0;
    um_session_cost(call.session, &arena, &flops, &traffic);
    const double median = times[times.size() / 2];
    printf("engine   %s, threads %zu\n", um_model_engine(model), um_session_threads(call.session));
    printf("open     %.1f us, first call %.1f us\n", opened / 1e3, first / 1e3);
    printf("call     %.1f ns median, %.1f ns least, of %zu x %zu calls\n", median, times[0], times.size(), calls);
    printf("work     %" PRId64 " flops (%.2f GFLOP/s), %" PRId64 " bytes (%.2f GB/s), %" PRId64 " bytes of arena\n",
           flops, static_cast<double>(flops) / median, traffic, static_cast<double>(traffic) / median, arena);
    const long peak = PeakMemory();
    if (peak > 0) printf("memory   %ld KiB resident at the most, %zu bytes of weights\n", peak, um_weight_bytes(model));
  }
  um_session_free(call.session);
  um_model_free(model);
  return fine ? kOk : kFailed;
}

}  // namespace tool
