/* The demo's program, with the peak of its resident memory before and after, in KiB: the first and last line. */
#define main predict
#include "../examples/demo/predict.c"
#undef main

static void peak(void) {
  char line[256];
  FILE *status = fopen("/proc/self/status", "r");
  while (status && fgets(line, sizeof line, status)) {
    int kib;
    if (sscanf(line, "VmHWM: %d", &kib) == 1) printf("%d\n", kib);
  }
  if (status) fclose(status);
}

int main(int argc, char **argv) {
  peak();
  int failed = predict(argc, argv);
  peak();
  return failed;
}
