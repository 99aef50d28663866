// SPDX-License-Identifier: Apache-2.0
#include "cpu/engine.h"

#include "cpu/exact_row.h"
#include "cpu/float_environment.h"
#include "cpu/reference.h"
#include "cpu/row_inputs.h"
#include "cpu/workspace.h"

namespace tokendraw::cpu {
namespace {

struct Run {
  const plan::Plan& plan;
  const request::Request& request;
  const ChunkKernels& kernels;
  void* workspace;
};

RowResult sample_row(const Run& run, const RowInputs& inputs, const RowScratch& scratch) {
  const bool wants_logprob = run.request.logprob != nullptr;
  switch (run.plan.algorithm) {
    case plan::Algorithm::kReference:
      return reference_row(inputs, wants_logprob, scratch.reference);
    case plan::Algorithm::kRejection:
      return reference_rejection_row(inputs, wants_logprob, scratch.reference);
    case plan::Algorithm::kCandidates:
    case plan::Algorithm::kRefine:
      break;
  }
  const ExactRowOptions options = {
      .candidate_top_k = run.plan.algorithm == plan::Algorithm::kCandidates ? run.plan.candidate_top_k : 0,
      .try_candidates = run.plan.algorithm == plan::Algorithm::kCandidates,
      .wants_logprob = wants_logprob,
      .wants_kept = run.request.kept != nullptr,
  };
  return exact_row(inputs, options, run.kernels, scratch);
}

void run_row(void* context, int64_t row, int32_t slot) {
  const Run& run = *static_cast<const Run*>(context);
  RowInputs inputs;
  const RowResult result = read_row_inputs(run.request, row, &inputs)
                               ? sample_row(run, inputs, row_scratch(run.plan, run.workspace, slot))
                               : row_without_token(draw::kBadParameter);
  write_row_result(run.request, row, result);
}

}  // namespace

Engine::Engine(int32_t threads, const ChunkKernels* kernels) : kernels_(kernels), pool_(threads) {}

plan::DeviceFacts Engine::facts() const { return {plan::Backend::kCpu, kernels_->target, pool_.threads(), 0, 0, 0}; }

void Engine::run(const plan::Plan& plan, const request::Request& request, void* workspace) {
  const FloatEnvironment environment;
  Run run = {plan, request, *kernels_, workspace};
  pool_.run(request.rows, plan.threads, run_row, &run);
}

void Engine::run_rows(int64_t rows, int32_t threads, ThreadPool::Task task, void* context) {
  const FloatEnvironment environment;
  pool_.run(rows, threads, task, context);
}

}  // namespace tokendraw::cpu
