// SPDX-License-Identifier: Apache-2.0
// The CPU backend: a plan, a request and a workspace become tokens.
#pragma once

#include <cstdint>

#include "cpu/simd/chunk_kernels.h"
#include "cpu/thread_pool.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::cpu {

class Engine {
 public:
  // Throws std::system_error if a thread cannot be started. threads >= 1.
  Engine(int32_t threads, const ChunkKernels* kernels);

  int32_t threads() const { return pool_.threads(); }
  const ChunkKernels& kernels() const { return *kernels_; }
  plan::DeviceFacts facts() const;

  // Whether calls of run() must wait for one another: the threads serve one run at a time.
  bool shares_threads(const plan::Plan& plan) const { return plan.threads > 1; }

  // Precondition: the workspace has workspace_bytes(plan) bytes and the plan was made for this request and engine.
  void run(const plan::Plan& plan, const request::Request& request, void* workspace);

  // Calls task(context, row, slot) for each row from at most `threads` threads, in the contract's float environment.
  void run_rows(int64_t rows, int32_t threads, ThreadPool::Task task, void* context);

 private:
  const ChunkKernels* kernels_;
  ThreadPool pool_;
};

}  // namespace tokendraw::cpu
