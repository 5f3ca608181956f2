// Threads wait for work by spinning for a while, then asleep. A thread that wakes late finds the gate closed and leaves
// the work alone, so nobody waits for one that sleeps.
#include "vm/pool.h"

#include <new>

namespace um {

namespace {

constexpr int64_t kSpin = 20000;  // ns: about what waking a sleeping thread takes
constexpr uint32_t kOpen = 1u << 31, kOwnerSleeps = 1u << 30, kAtWork = kOwnerSleeps - 1;

// Waits until `done`, but not for long; false where the time was up.
template <class Condition>
bool SpinUntil(Condition done) {
  const int64_t until = Nanoseconds() + kSpin;
  do {
    for (int k = 0; k < 16; ++k) {
      if (done()) return true;
      Pause();
    }
  } while (Nanoseconds() < until);
  return done();
}

}  // namespace

um_status Pool::Start(size_t workers, um_parallel_for parallel_for, void* host, um_error* error) {
  const size_t bytes = workers * (sizeof(Share) + sizeof(Seat));
  if (!memory_.AllocateZeroed(bytes)) return OutOfMemory(error, bytes);
  shares_ = reinterpret_cast<Share*>(memory_.data());
  seats_ = reinterpret_cast<Seat*>(memory_.data() + workers * sizeof(Share));
  workers_ = workers;
  parallel_for_ = parallel_for;
  host_ = host;
  process_ = ProcessNumber();
  for (size_t k = 1; parallel_for == nullptr && k < workers; ++k) {
    Seat* seat = new (&seats_[k]) Seat{this, k, {}};
    if (!seat->thread.Start(Live, seat)) {
      return Fail(error, UM_OUT_OF_MEMORY, "the system starts no more threads: %zu of %zu run", started_, workers - 1);
    }
    ++started_;
  }
  return UM_OK;
}

Pool::~Pool() {
  if (started_ == 0 || process_ != ProcessNumber()) return;  // a forked child has none of its parent's threads
  __atomic_store_n(&stop_, true, __ATOMIC_RELEASE);
  __atomic_fetch_add(&bell_, 1, __ATOMIC_SEQ_CST);
  Wake(&bell_, UINT32_MAX >> 1);
  for (size_t k = 1; k <= started_; ++k) seats_[k].thread.Join();
}

void Pool::Run(size_t pieces, PieceFunction function, void* task) {
  if (__atomic_exchange_n(&busy_, 1, __ATOMIC_ACQUIRE) != 0) {
    for (size_t k = 0; k < pieces; ++k) function(task, 0, k);
    return;
  }
  function_ = function;
  task_ = task;
  for (size_t k = 0; k < workers_; ++k) {  // neighbouring pieces for each, the same ones in every call of these sizes
    __atomic_store_n(&shares_[k].next, pieces * k / workers_, __ATOMIC_RELAXED);
    shares_[k].end = pieces * (k + 1) / workers_;
  }
  if (parallel_for_ != nullptr) {
    parallel_for_(host_, workers_ < pieces ? workers_ : pieces, Help, this);
  } else {
    Open(pieces);
    Work(0);
    Close();
  }
  __atomic_store_n(&busy_, 0, __ATOMIC_RELEASE);
}

// Own pieces first, then those that others have not come to.
void Pool::Work(size_t worker) {
  for (size_t k = 0; k < workers_; ++k) {
    Share& share = shares_[(worker + k) % workers_];
    while (true) {
      if (__atomic_load_n(&share.next, __ATOMIC_RELAXED) >= share.end) break;
      const size_t piece = __atomic_fetch_add(&share.next, 1, __ATOMIC_RELAXED);
      if (piece >= share.end) break;
      function_(task_, worker, piece);
    }
  }
}

void Pool::Help(void* pool, size_t worker) { static_cast<Pool*>(pool)->Work(worker); }

// -- the owner's side ---------------------------------------------------------------------------------------------
void Pool::Open(size_t pieces) {
  __atomic_store_n(&gate_, kOpen, __ATOMIC_RELEASE);
  __atomic_fetch_add(&bell_, 1, __ATOMIC_SEQ_CST);
  const uint32_t sleepers = __atomic_load_n(&sleepers_, __ATOMIC_SEQ_CST);
  if (sleepers > 0) Wake(&bell_, pieces - 1 < sleepers ? static_cast<uint32_t>(pieces - 1) : sleepers);
}

// All pieces are taken; waits for the threads that still do theirs.
void Pool::Close() {
  uint32_t gate = __atomic_and_fetch(&gate_, ~kOpen, __ATOMIC_ACQUIRE);
  if (gate == 0 || SpinUntil([this] { return __atomic_load_n(&gate_, __ATOMIC_ACQUIRE) == 0; })) return;
  while ((gate = __atomic_or_fetch(&gate_, kOwnerSleeps, __ATOMIC_ACQUIRE)) != kOwnerSleeps) SleepWhile(&gate_, gate);
  __atomic_store_n(&gate_, 0, __ATOMIC_RELAXED);
}

// -- the threads' side --------------------------------------------------------------------------------------------
bool Pool::Join() {
  uint32_t gate = __atomic_load_n(&gate_, __ATOMIC_RELAXED);
  while ((gate & kOpen) != 0) {
    if (__atomic_compare_exchange_n(&gate_, &gate, gate + 1, true, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return true;
  }
  return false;
}

void Pool::Leave() {
  const uint32_t before = __atomic_fetch_sub(&gate_, 1, __ATOMIC_RELEASE);
  if ((before & kOwnerSleeps) != 0 && (before & kAtWork) == 1) Wake(&gate_, 1);
}

void* Pool::Live(void* seat) {
  static_cast<Seat*>(seat)->pool->Serve(static_cast<Seat*>(seat)->worker);
  return nullptr;
}

void Pool::Serve(size_t worker) {
  uint32_t heard = 0;
  while (true) {
    uint32_t bell = heard;
    if (!SpinUntil([&] { return (bell = __atomic_load_n(&bell_, __ATOMIC_ACQUIRE)) != heard; })) {
      __atomic_fetch_add(&sleepers_, 1, __ATOMIC_SEQ_CST);
      while ((bell = __atomic_load_n(&bell_, __ATOMIC_SEQ_CST)) == heard) SleepWhile(&bell_, heard);
      __atomic_fetch_sub(&sleepers_, 1, __ATOMIC_SEQ_CST);
    }
    heard = bell;
    if (__atomic_load_n(&stop_, __ATOMIC_ACQUIRE)) return;
    if (!Join()) continue;
    Work(worker);
    Leave();
  }
}

}  // namespace um
