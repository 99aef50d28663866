// SPDX-License-Identifier: Apache-2.0
// Calls of a GPU sampler, and what happens where the GPU fails.
#pragma once

#include "api/sampler.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::api {

plan::Plan make_gpu_plan(const GpuPart& gpu, TokendrawAlgorithm algorithm, const request::Request& request);

// Preconditions: sampler->gpu is there and the request has rows.

// tokendraw_sample: every array in device memory, the workspace large enough, asynchronous on the stream.
TokendrawStatus sample_on_gpu(TokendrawSampler* sampler, const plan::Plan& plan, const request::Request& request,
                              void* workspace, void* stream);

// tokendraw_sample_host: everything in host memory, the logits perhaps in device memory; finished on return.
TokendrawStatus sample_host_on_gpu(TokendrawSampler* sampler, const request::Request& request);

}  // namespace tokendraw::api
