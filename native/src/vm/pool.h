// The threads that help with a call: work is cut into pieces, and whoever is free takes the next one.
#pragma once

#include "base/status.h"
#include "platform/memory.h"
#include "platform/thread.h"

namespace um {

constexpr size_t kMostThreads = 1024;

// Does piece number `piece`; two pieces that one worker does never run at the same time.
using PieceFunction = void (*)(void* task, size_t worker, size_t piece);

// Threads, or the host's own parallel-for, that one session at a time uses; sessions may share it. The session's own
// thread is worker 0. Which worker does which piece changes from call to call, and no result may depend on it.
class Pool {
 public:
  Pool() = default;
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;
  ~Pool();

  // Starts workers - 1 threads; with a host's parallel-for, none.
  [[nodiscard]] um_status Start(size_t workers, um_parallel_for parallel_for, void* host, um_error* error);
  size_t workers() const { return workers_; }

  void Hold() { __atomic_fetch_add(&references_, 1, __ATOMIC_RELAXED); }
  // True where this was the last reference.
  bool Drop() { return __atomic_fetch_sub(&references_, 1, __ATOMIC_ACQ_REL) == 1; }

  // Does all pieces and returns when they are done. While another session uses the pool, the caller does them alone.
  void Run(size_t pieces, PieceFunction function, void* task);

 private:
  // The pieces [next, end) that are a worker's first choice, on a cache line of their own.
  struct alignas(64) Share {
    size_t next;
    size_t end;
  };
  struct Seat {
    Pool* pool;
    size_t worker;
    Thread thread;
  };

  static void* Live(void* seat);
  static void Help(void* pool, size_t worker);
  void Serve(size_t worker);
  void Open(size_t pieces);
  bool Join();
  void Leave();
  void Close();
  void Work(size_t worker);

  size_t workers_ = 1;
  size_t started_ = 0;
  uint32_t references_ = 1;
  int64_t process_ = 0;
  Block memory_;
  Seat* seats_ = nullptr;
  Share* shares_ = nullptr;
  um_parallel_for parallel_for_ = nullptr;
  void* host_ = nullptr;

  PieceFunction function_ = nullptr;
  void* task_ = nullptr;
  uint32_t busy_ = 0;              // a session uses it
  bool stop_ = false;
  alignas(64) uint32_t bell_ = 0;  // changes with every piece of news; threads sleep on it
  uint32_t sleepers_ = 0;
  alignas(64) uint32_t gate_ = 0;  // is there work to join, does its owner sleep, and how many threads are at it
};

}  // namespace um
