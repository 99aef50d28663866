// SPDX-License-Identifier: Apache-2.0
// The building blocks: from the caller's struct through request to the CPU engine or a GPU backend. What a GPU cannot
// do the CPU does, as for sampling (gpu_calls.cpp).
#include "api/error.h"
#include "api/sampler.h"
#include "backend/operation_transfer.h"
#include "cpu/run_operation.h"
#include "request/operation.h"

namespace tokendraw::api {
namespace {

using backend::Failure;
using backend::OperationPlacement;
using request::Memory;
using request::Operation;

enum class Call : uint8_t { kStream, kHost };

TokendrawStatus check_memory(const TokendrawSampler& sampler, const Operation& operation, Call call) {
  const bool wants_device = sampler.gpu != nullptr && call == Call::kStream;
  if ((operation.memory == Memory::kDevice) == wants_device) return TOKENDRAW_OK;
  if (sampler.gpu == nullptr) {
    return report(TOKENDRAW_INVALID_MEMORY, "memory is device, but the cpu serves this sampler");
  }
  return report(TOKENDRAW_INVALID_MEMORY, "memory is %s, but this call of a %s sampler takes %s memory",
                wants_device ? "host" : "device", tokendraw_backend_name(sampler.gpu->backend),
                wants_device ? "device" : "host");
}

void run_on_cpu(CpuPart* cpu, const Operation& operation) {
  std::unique_lock<std::mutex> lock(cpu->threads_in_use, std::defer_lock);
  if (cpu::shares_threads(cpu->engine, operation)) lock.lock();
  cpu::run_operation(&cpu->engine, operation);
}

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

// Answers an operation whose arrays lie in device memory on the CPU. Finished when it returns. The caller holds
// kept_memory_in_use.
Failure answer_copies_on_cpu(TokendrawSampler* sampler, const Operation& operation, void* stream) {
  GpuPart& gpu = *sampler->gpu;
  Failure failure = gpu.kept_copies.reserve(backend::lay_out(operation, Memory::kHost, nullptr).arrays.bytes);
  if (failure) return failure;
  const OperationPlacement copies = backend::lay_out(operation, Memory::kHost, gpu.kept_copies.data());
  failure = backend::copy_inputs(gpu.device, copies.arrays, stream);
  if (!failure) failure = gpu.device.synchronize(stream);
  if (failure) return failure;
  run_on_cpu(sampler->cpu.get(), copies.operation);
  failure = backend::copy_outputs(gpu.device, copies.arrays, stream);
  return failure ? failure : gpu.device.synchronize(stream);
}

TokendrawStatus run_on_stream(TokendrawSampler* sampler, const Operation& operation, void* stream) {
  GpuPart& gpu = *sampler->gpu;
  const Failure failure = gpu.device.run_operation(operation, stream);
  if (!failure) return TOKENDRAW_OK;
  if (sampler->cpu == nullptr) return report_without_cpu(gpu, failure, "");
  bool capturing = false;
  const Failure lost = gpu.device.is_capturing(stream, &capturing);
  if (lost) return report_cpu_answer(gpu, failure, lost);
  // A graph cannot hold the CPU's work, and waiting for the stream would end the capture.
  if (capturing) return report_without_cpu(gpu, failure, "; the cpu cannot answer while the stream is captured");
  const std::lock_guard<std::mutex> lock(sampler->kept_memory_in_use);
  return report_cpu_answer(gpu, failure, answer_copies_on_cpu(sampler, operation, stream));
}

// *inputs_intact: the caller's inputs are as they were, so that the CPU may begin anew.
Failure run_from_host(GpuPart* gpu, const Operation& operation, bool* inputs_intact) {
  *inputs_intact = true;
  void* stream = gpu->device.own_stream();
  Failure failure = gpu->kept_arrays.reserve(backend::lay_out(operation, Memory::kDevice, nullptr).arrays.bytes);
  if (failure) return failure;
  const OperationPlacement placed = backend::lay_out(operation, Memory::kDevice, gpu->kept_arrays.data());
  failure = backend::copy_inputs(gpu->device, placed.arrays, stream);
  if (!failure) failure = gpu->device.run_operation(placed.operation, stream);
  // In place the caller's input is also the output: nothing is copied back before the kernels are known to have done
  // their work.
  if (!failure) failure = gpu->device.synchronize(stream);
  if (!failure) {
    *inputs_intact = operation.input.data != operation.output.data;
    failure = backend::copy_outputs(gpu->device, placed.arrays, stream);
  }
  const Failure at_the_end = gpu->device.synchronize(stream);
  return failure ? failure : at_the_end;
}

TokendrawStatus run_host(TokendrawSampler* sampler, const Operation& operation) {
  GpuPart& gpu = *sampler->gpu;
  const std::lock_guard<std::mutex> lock(sampler->kept_memory_in_use);
  bool inputs_intact = true;
  const Failure failure = run_from_host(&gpu, operation, &inputs_intact);
  if (!failure) return TOKENDRAW_OK;
  if (sampler->cpu == nullptr) return report_without_cpu(gpu, failure, "");
  if (!inputs_intact) {
    return report_without_cpu(gpu, failure, "; the cpu cannot answer, for the input was overwritten in place");
  }
  run_on_cpu(sampler->cpu.get(), operation);
  return report_cpu_answer(gpu, failure, {});
}

// What every function of a building block does.
template <typename Public>
TokendrawStatus run(const char* name, TokendrawSampler* sampler, const Public* given, Call call, void* stream) {
  return guarded(name, [&]() -> TokendrawStatus {
    if (sampler == nullptr) return report(TOKENDRAW_INVALID_SAMPLER, "sampler is NULL");
    Operation operation;
    const request::Refusal refusal = request::make_operation(given, &operation);
    if (refusal) return report(refusal.status, "%s", refusal.message);
    const TokendrawStatus status = check_memory(*sampler, operation, call);
    if (status != TOKENDRAW_OK || operation.rows == 0) return status;
    if (sampler->gpu == nullptr) {
      run_on_cpu(sampler->cpu.get(), operation);
      return TOKENDRAW_OK;
    }
    return call == Call::kStream ? run_on_stream(sampler, operation, stream) : run_host(sampler, operation);
  });
}

}  // namespace
}  // namespace tokendraw::api

using tokendraw::api::Call;

extern "C" {

// A building block's three functions.
#define TOKENDRAW_OPERATION(Struct, init, compute)                                        \
  void init(Struct* given) {                                                              \
    if (given != nullptr) tokendraw::request::set_defaults(given);                        \
  }                                                                                       \
  TokendrawStatus compute(TokendrawSampler* sampler, const Struct* given, void* stream) { \
    return tokendraw::api::run(#compute, sampler, given, Call::kStream, stream);          \
  }                                                                                       \
  TokendrawStatus compute##_host(TokendrawSampler* sampler, const Struct* given) {        \
    return tokendraw::api::run(#compute "_host", sampler, given, Call::kHost, nullptr);   \
  }

TOKENDRAW_OPERATION(TokendrawSoftmax, tokendraw_init_softmax, tokendraw_compute_softmax)
TOKENDRAW_OPERATION(TokendrawPrefixSum, tokendraw_init_prefix_sum, tokendraw_compute_prefix_sum)
TOKENDRAW_OPERATION(TokendrawRandom, tokendraw_init_random, tokendraw_fill_random)
TOKENDRAW_OPERATION(TokendrawFilter, tokendraw_init_filter, tokendraw_apply_filter)

}  // extern "C"
