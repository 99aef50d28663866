// SPDX-License-Identifier: Apache-2.0
#include "cpu/run_operation.h"

#include "cpu/operation_rows.h"

namespace tokendraw::cpu {
namespace {

// Below so many elements waking a thread takes longer than the work.
constexpr int64_t kWorthThreads = 1 << 14;

struct Run {
  const request::Operation& operation;
  const ChunkKernels& kernels;
};

void run_row(void* context, int64_t row, int32_t /*slot*/) {
  const Run& run = *static_cast<const Run*>(context);
  switch (run.operation.kind) {
    case request::OperationKind::kSoftmax:
      return softmax_row(run.operation, row, run.kernels);
    case request::OperationKind::kPrefixSum:
      return prefix_sum_row(run.operation, row);
    case request::OperationKind::kFillRandom:
      return random_row(run.operation, row);
    case request::OperationKind::kFilter:
      return filter_row(run.operation, row, run.kernels);
  }
}

}  // namespace

bool shares_threads(const Engine& engine, const request::Operation& operation) {
  return engine.threads() > 1 && operation.rows > 1 && operation.rows >= kWorthThreads / operation.columns;
}

void run_operation(Engine* engine, const request::Operation& operation) {
  Run run = {operation, engine->kernels()};
  engine->run_rows(operation.rows, shares_threads(*engine, operation) ? engine->threads() : 1, run_row, &run);
}

}  // namespace tokendraw::cpu
