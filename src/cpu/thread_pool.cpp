// SPDX-License-Identifier: Apache-2.0
#include "cpu/thread_pool.h"

#include "cpu/float_environment.h"

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace tokendraw::cpu {
namespace {

// About 50 microseconds: longer than the gap between calls in a loop, far shorter than a decoding step.
constexpr int32_t kSpins = 2000;

void pause_briefly() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Waits until `value` differs from `old`: first awake, then asleep.
template <typename T>
void wait_for_change(const std::atomic<T>& value, T old, int32_t spins) {
  for (int32_t i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_briefly();
  }
  value.wait(old, std::memory_order_acquire);
}

constexpr uint64_t make_ticket(uint32_t generation, int64_t left) {
  return (static_cast<uint64_t>(generation) << 32) | static_cast<uint32_t>(left);
}

}  // namespace

ThreadPool::ThreadPool(int32_t threads) {
  // With more threads than processors a spinning thread keeps a working one from running.
  spins_ = static_cast<uint32_t>(threads) <= std::thread::hardware_concurrency() ? kSpins : 0;
  workers_.reserve(static_cast<size_t>(threads) - 1);
  try {
    for (int32_t slot = 1; slot < threads; ++slot) workers_.emplace_back(&ThreadPool::worker, this, slot);
  } catch (...) {
    stop();
    throw;
  }
}

ThreadPool::~ThreadPool() { stop(); }

void ThreadPool::stop() {
  stopping_.store(true, std::memory_order_relaxed);
  announced_.fetch_add(1, std::memory_order_release);
  announced_.notify_all();
  for (std::thread& worker : workers_) worker.join();
  workers_.clear();
}

void ThreadPool::run(int64_t count, int32_t participants, Task task, void* context) {
  if (participants <= 1 || count <= 1 || workers_.empty()) {
    for (int64_t i = 0; i < count; ++i) task(context, i, 0);
    return;
  }
  count_ = count;
  task_ = task;
  context_ = context;
  finished_.store(0, std::memory_order_relaxed);
  participants_.store(participants, std::memory_order_relaxed);
  const uint32_t generation = announced_.load(std::memory_order_relaxed) + 1;
  ticket_.store(make_ticket(generation, count), std::memory_order_release);
  announced_.store(generation, std::memory_order_release);
  announced_.notify_all();

  take_tasks(generation, 0);
  for (int64_t done = finished_.load(std::memory_order_acquire); done != count;
       done = finished_.load(std::memory_order_acquire)) {
    wait_for_change(finished_, done, spins_);
  }
}

void ThreadPool::take_tasks(uint32_t generation, int32_t slot) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(ticket >> 32) == generation && static_cast<uint32_t>(ticket) != 0) {
    // If the exchange below succeeds, this was the value of this generation.
    if (slot >= participants_.load(std::memory_order_relaxed)) return;
    if (!ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      continue;
    }
    const int64_t count = count_;
    task_(context_, count - static_cast<int64_t>(static_cast<uint32_t>(ticket)), slot);
    const bool last = finished_.fetch_add(1, std::memory_order_acq_rel) + 1 == count;
    if (last && slot != 0) finished_.notify_one();
    ticket = ticket_.load(std::memory_order_acquire);
  }
}

void ThreadPool::worker(int32_t slot) {
  const FloatEnvironment environment;  // a new thread inherits its creator's
  uint32_t seen = 0;
  for (;;) {
    wait_for_change(announced_, seen, spins_);
    seen = announced_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    take_tasks(seen, slot);
  }
}

}  // namespace tokendraw::cpu
