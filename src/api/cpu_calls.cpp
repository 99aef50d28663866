// SPDX-License-Identifier: Apache-2.0
#include "api/cpu_calls.h"

#include "cpu/workspace.h"

namespace tokendraw::api {

plan::Plan make_cpu_plan(const CpuPart& cpu, TokendrawAlgorithm algorithm, const request::Request& request) {
  return plan::make_plan(plan::shape_of(request), {algorithm, cpu.engine.threads(), TOKENDRAW_GPU_WAY_AUTO},
                         cpu.engine.facts());
}

void run_on_cpu(CpuPart* cpu, const plan::Plan& plan, const request::Request& request, void* workspace) {
  std::unique_lock<std::mutex> lock(cpu->threads_in_use, std::defer_lock);
  if (cpu->engine.shares_threads(plan)) lock.lock();
  cpu->engine.run(plan, request, workspace);
}

backend::Failure answer_on_cpu(TokendrawSampler* sampler, const request::Request& request) {
  CpuPart* cpu = sampler->cpu.get();
  const plan::Plan plan = make_cpu_plan(*cpu, sampler->algorithm, request);
  const backend::Failure failure = cpu->kept_workspace.reserve(cpu::workspace_bytes(plan));
  if (!failure) run_on_cpu(cpu, plan, request, cpu->kept_workspace.data());
  return failure;
}

}  // namespace tokendraw::api
