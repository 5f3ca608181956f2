// Threads by POSIX; sleeping by Linux's futex; quotas as Linux's control groups tell them.
#include "platform/thread.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace um {

namespace {

// Reads a small file whole, without an allocation; false where it is not there.
bool ReadText(const char* path, char* text, size_t room) {
  const int file = open(path, O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  const ssize_t got = read(file, text, room - 1);
  close(file);
  text[got > 0 ? got : 0] = '\0';
  return got > 0;
}

// The processors of a quota per period; SIZE_MAX for none.
size_t Processors(long long quota, long long period) {
  if (quota <= 0 || period <= 0) return SIZE_MAX;
  return static_cast<size_t>((quota + period - 1) / period);
}

// "QUOTA PERIOD" or "max PERIOD", of a group and all groups around it.
size_t UnifiedQuota(const char* group) {
  char path[PATH_MAX], text[64];
  size_t least = SIZE_MAX;
  size_t length = strlen(group);
  while (true) {
    const int wrote = snprintf(path, sizeof path, "/sys/fs/cgroup%.*s/cpu.max", static_cast<int>(length), group);
    if (wrote > 0 && static_cast<size_t>(wrote) < sizeof path && ReadText(path, text, sizeof text)) {
      char* end = text;
      const long long quota = strtoll(text, &end, 10);  // "max" reads as 0: no quota
      const size_t processors = Processors(quota, strtoll(end, nullptr, 10));
      least = processors < least ? processors : least;
    }
    if (length == 0) return least;
    do --length;
    while (length > 0 && group[length] != '/');
  }
}

size_t FirstVersionQuota() {
  char quota[64], period[64];
  if (!ReadText("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", quota, sizeof quota) ||
      !ReadText("/sys/fs/cgroup/cpu/cpu.cfs_period_us", period, sizeof period)) {
    return SIZE_MAX;
  }
  return Processors(strtoll(quota, nullptr, 10), strtoll(period, nullptr, 10));
}

size_t Quota() {
  char text[4096];
  size_t least = FirstVersionQuota();
  if (!ReadText("/proc/self/cgroup", text, sizeof text)) text[0] = '\0';
  const char* line = strstr(text, "0::/");
  if (line == nullptr) line = "0::/";
  char group[PATH_MAX];
  const size_t length = strcspn(line + 3, "\n");
  if (length >= sizeof group) return least;
  memcpy(group, line + 3, length);
  group[length] = '\0';
  const size_t unified = UnifiedQuota(group);
  return unified < least ? unified : least;
}

}  // namespace

size_t UsableProcessors() {
  cpu_set_t set;
  size_t processors = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    processors = static_cast<size_t>(CPU_COUNT(&set));
  } else {  // more processors than the set has room for
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    if (online > 0) processors = static_cast<size_t>(online);
  }
  const size_t quota = Quota();
  if (quota < processors) processors = quota;
  return processors > 0 ? processors : 1;
}

int64_t ProcessNumber() { return getpid(); }

int64_t Nanoseconds() {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return int64_t{time.tv_sec} * 1000000000 + time.tv_nsec;
}

void SleepWhile(const uint32_t* word, uint32_t expected) {
  syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, expected, nullptr, nullptr, 0);
}

void Wake(const uint32_t* word, uint32_t count) {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, count, nullptr, nullptr, 0);
}

bool Thread::Start(void* (*body)(void*), void* argument) {
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);  // a thread starts with its starter's mask
  const bool started = pthread_create(&thread_, nullptr, body, argument) == 0;
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return started;
}

}  // namespace um
