// Threads: starting and joining them, waiting for a word of memory to change, and how many processors there are.
#pragma once

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

namespace um {

// The processors that this process may use: its affinity, and the quota of its control groups, rounded up. At least 1.
size_t UsableProcessors();

// A number that a forked child does not share.
int64_t ProcessNumber();

// Nanoseconds of a clock that only goes forward.
int64_t Nanoseconds();

// Tells the processor that a loop waits.
inline void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Sleeps while the word is `expected`, until it is woken; it may also return for no reason.
void SleepWhile(const uint32_t* word, uint32_t expected);
// Wakes at most `count` of those who sleep on the word.
void Wake(const uint32_t* word, uint32_t count);

// A thread of the runtime's own. It gets none of the process's signals. Joined before the object goes.
class Thread {
 public:
  // False where the system starts no more.
  [[nodiscard]] bool Start(void* (*body)(void*), void* argument);
  void Join() { pthread_join(thread_, nullptr); }

 private:
  pthread_t thread_;
};

}  // namespace um
