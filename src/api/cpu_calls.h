// SPDX-License-Identifier: Apache-2.0
// Calls that the CPU answers: those of a CPU sampler, and those that a GPU could not serve.
#pragma once

#include "api/sampler.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::api {

plan::Plan make_cpu_plan(const CpuPart& cpu, TokendrawAlgorithm algorithm, const request::Request& request);

// Precondition: the arrays of the request lie in host memory, and the workspace has the bytes that the plan needs.
void run_on_cpu(CpuPart* cpu, const plan::Plan& plan, const request::Request& request, void* workspace);

// The same with the sampler's own workspace, which grows when it must: OUT_OF_MEMORY if it cannot. The caller holds
// sampler->kept_memory_in_use.
backend::Failure answer_on_cpu(TokendrawSampler* sampler, const request::Request& request);

}  // namespace tokendraw::api
