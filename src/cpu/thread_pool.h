// SPDX-License-Identifier: Apache-2.0
// A few threads that share the rows of one call. Starting a call costs two atomic stores while the threads are awake
// (they spin for a moment after each call) and one wake-up when they sleep; the caller works along and never waits for
// a thread that has not begun a row.
#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

namespace tokendraw::cpu {

class ThreadPool {
 public:
  // slot: which participant runs it, 0 for the caller, below the `participants` of the run.
  using Task = void (*)(void* context, int64_t index, int32_t slot);

  // Starts threads - 1 threads. Throws std::system_error if one cannot be started.
  explicit ThreadPool(int32_t threads);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int32_t threads() const { return static_cast<int32_t>(workers_.size()) + 1; }

  // Calls task(context, i, slot) once for each i in [0, count), count < 2^31, from at most `participants` threads, and
  // returns when all are done. One run at a time.
  void run(int64_t count, int32_t participants, Task task, void* context);

 private:
  void worker(int32_t slot);
  void take_tasks(uint32_t generation, int32_t slot);
  void stop();

  // Generation of the run in the upper half, tasks not yet taken in the lower. A task is taken by an exchange that
  // fails once another run has begun, so a late thread can never touch a run that is over.
  std::atomic<uint64_t> ticket_{0};
  std::atomic<int64_t> finished_{0};
  std::atomic<uint32_t> announced_{0};  // generation of the latest run; threads sleep on it
  std::atomic<int32_t> participants_{0};
  std::atomic<bool> stopping_{false};
  // Of the current run; read only by those who hold one of its tasks.
  int64_t count_ = 0;
  Task task_ = nullptr;
  void* context_ = nullptr;
  int32_t spins_ = 0;
  std::vector<std::thread> workers_;
};

}  // namespace tokendraw::cpu
