// SPDX-License-Identifier: Apache-2.0
#include "api/gpu_calls.h"

#include "api/cpu_calls.h"
#include "api/error.h"
#include "backend/transfer.h"
#include "plan/gpu_plan.h"

namespace tokendraw::api {
namespace {

using backend::Failure;
using backend::Parts;
using backend::Placement;
using request::Memory;
using request::Request;

// What a call returns after the GPU failed and, perhaps, the CPU answered.
TokendrawStatus report_without_cpu(const GpuPart& gpu, const Failure& failure, const char* remark) {
  return report(failure.status, "%s: %s%s", tokendraw_backend_name(gpu.backend), failure.message, remark);
}

TokendrawStatus report_cpu_answer(const GpuPart& gpu, const Failure& failure, const Failure& cpu_failure) {
  const char* backend = tokendraw_backend_name(gpu.backend);
  if (cpu_failure) {
    return report(TOKENDRAW_ERROR_BACKEND_FAILED, "%s: %s; the cpu could not answer: %s", backend, failure.message,
                  cpu_failure.message);
  }
  return report(TOKENDRAW_OK_CPU_FALLBACK, "%s: %s; the cpu answered", backend, failure.message);
}

// Answers a request some of whose arrays lie in device memory on the CPU. Finished when it returns.
Failure answer_copies_on_cpu(TokendrawSampler* sampler, const Request& request, Parts on_device, void* stream) {
  GpuPart& gpu = *sampler->gpu;
  Failure failure = gpu.kept_copies.reserve(backend::lay_out(request, on_device, Memory::kHost, nullptr).bytes);
  if (failure) return failure;
  const Placement copies = backend::lay_out(request, on_device, Memory::kHost, gpu.kept_copies.data());
  failure = backend::copy_inputs(gpu.device, copies, stream);
  if (!failure) failure = gpu.device.synchronize(stream);
  if (!failure) failure = answer_on_cpu(sampler, copies.request);
  if (!failure) failure = backend::copy_outputs(gpu.device, copies, stream);
  if (!failure) failure = gpu.device.synchronize(stream);
  return failure;
}

// Takes what lies on the host to the device, runs, and brings the outputs back.
Failure run_from_host(GpuPart* gpu, TokendrawAlgorithm algorithm, const Request& request) {
  const Parts on_host = request.logits_memory == Memory::kHost ? Parts::kAll : Parts::kParams;
  void* stream = gpu->device.own_stream();
  Failure failure = gpu->kept_arrays.reserve(backend::lay_out(request, on_host, Memory::kDevice, nullptr).bytes);
  if (failure) return failure;
  const Placement placement = backend::lay_out(request, on_host, Memory::kDevice, gpu->kept_arrays.data());
  const plan::Plan plan = make_gpu_plan(*gpu, algorithm, placement.request);
  failure = gpu->kept_workspace.reserve(plan::gpu_workspace_bytes(plan));
  if (failure) return failure;
  failure = backend::copy_inputs(gpu->device, placement, stream);
  if (!failure) failure = gpu->device.run(plan, placement.request, gpu->kept_workspace.data(), stream);
  if (!failure) failure = backend::copy_outputs(gpu->device, placement, stream);
  // Also after a failure: copies that were enqueued must be over before the caller's arrays are used again. What the
  // kernels did wrong shows here at the latest.
  const Failure at_the_end = gpu->device.synchronize(stream);
  return failure ? failure : at_the_end;
}

}  // namespace

plan::Plan make_gpu_plan(const GpuPart& gpu, TokendrawAlgorithm algorithm, const Request& request) {
  return plan::make_plan(plan::shape_of(request), {algorithm, 1, gpu.way}, gpu.device.description().facts);
}

TokendrawStatus sample_on_gpu(TokendrawSampler* sampler, const plan::Plan& plan, const Request& request,
                              void* workspace, void* stream) {
  GpuPart& gpu = *sampler->gpu;
  const Failure failure = gpu.device.run(plan, request, workspace, stream);
  if (!failure) return TOKENDRAW_OK;
  if (sampler->cpu == nullptr) return report_without_cpu(gpu, failure, "");
  bool capturing = false;
  const Failure lost = gpu.device.is_capturing(stream, &capturing);
  if (lost) return report_cpu_answer(gpu, failure, lost);
  // A graph cannot hold the CPU's work, and waiting for the stream would end the capture.
  if (capturing) return report_without_cpu(gpu, failure, "; the cpu cannot answer while the stream is captured");
  const std::lock_guard<std::mutex> lock(sampler->kept_memory_in_use);
  return report_cpu_answer(gpu, failure, answer_copies_on_cpu(sampler, request, Parts::kAll, stream));
}

TokendrawStatus sample_host_on_gpu(TokendrawSampler* sampler, const Request& request) {
  GpuPart& gpu = *sampler->gpu;
  const std::lock_guard<std::mutex> lock(sampler->kept_memory_in_use);
  const Failure failure = run_from_host(&gpu, sampler->algorithm, request);
  if (!failure) return TOKENDRAW_OK;
  if (sampler->cpu == nullptr) return report_without_cpu(gpu, failure, "");
  const Failure cpu_failure = request.logits_memory == Memory::kHost
                                  ? answer_on_cpu(sampler, request)
                                  : answer_copies_on_cpu(sampler, request, Parts::kLogits, gpu.device.own_stream());
  return report_cpu_answer(gpu, failure, cpu_failure);
}

}  // namespace tokendraw::api
