// SPDX-License-Identifier: Apache-2.0
// Batches: from the caller's struct through request and plan to the engine.
#include "api/cpu_calls.h"
#include "api/error.h"
#include "api/gpu_calls.h"
#include "api/sampler.h"
#include "cpu/workspace.h"
#include "plan/gpu_plan.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::api {
namespace {

using request::Memory;

struct Prepared {
  request::Request request;
  plan::Plan plan;
};

enum class Call : uint8_t { kSample, kSampleHost, kAsk };

// Whether this call of this sampler can read memory where the batch says that it lies.
TokendrawStatus check_memory(const TokendrawSampler& sampler, const request::Request& request, Call call) {
  if (sampler.gpu == nullptr) {
    if (request.logits_memory != Memory::kHost) {
      return report(TOKENDRAW_INVALID_LOGITS_MEMORY, "logits_memory is device, but the cpu serves this sampler");
    }
    if (request.params_memory != Memory::kHost) {
      return report(TOKENDRAW_INVALID_PARAMS_MEMORY, "params_memory is device, but the cpu serves this sampler");
    }
    return TOKENDRAW_OK;
  }
  const char* backend = tokendraw_backend_name(sampler.gpu->backend);
  if (call == Call::kSample && request.logits_memory != Memory::kDevice) {
    return report(TOKENDRAW_INVALID_LOGITS_MEMORY,
                  "logits_memory is host, but tokendraw_sample of a %s sampler takes device memory", backend);
  }
  if (call == Call::kSample && request.params_memory != Memory::kDevice) {
    return report(TOKENDRAW_INVALID_PARAMS_MEMORY,
                  "params_memory is host, but tokendraw_sample of a %s sampler takes device memory", backend);
  }
  if (call == Call::kSampleHost && request.params_memory != Memory::kHost) {
    return report(TOKENDRAW_INVALID_PARAMS_MEMORY,
                  "params_memory is device, but tokendraw_sample_host takes host memory");
  }
  return TOKENDRAW_OK;
}

// What every function that takes a batch starts with.
TokendrawStatus prepare(const TokendrawSampler* sampler, const TokendrawBatch* batch, Call call, Prepared* prepared) {
  if (sampler == nullptr) return report(TOKENDRAW_INVALID_SAMPLER, "sampler is NULL");
  const request::Refusal refusal = request::make_request(batch, &prepared->request);
  if (refusal) return report(refusal.status, "%s", refusal.message);
  const TokendrawStatus status = check_memory(*sampler, prepared->request, call);
  if (status != TOKENDRAW_OK) return status;
  if (sampler->algorithm == TOKENDRAW_ALGORITHM_REJECTION &&
      prepared->request.random_source != request::RandomSource::kSeed) {
    return report(TOKENDRAW_INVALID_RANDOM,
                  "%s is given, but algorithm rejection draws a new number each round and needs seeds",
                  prepared->request.random_source == request::RandomSource::kU64 ? "random_u64" : "random_f32");
  }
  prepared->plan = sampler->gpu != nullptr ? make_gpu_plan(*sampler->gpu, sampler->algorithm, prepared->request)
                                           : make_cpu_plan(*sampler->cpu, sampler->algorithm, prepared->request);
  return TOKENDRAW_OK;
}

size_t workspace_bytes(const TokendrawSampler& sampler, const plan::Plan& plan) {
  return sampler.gpu != nullptr ? plan::gpu_workspace_bytes(plan) : cpu::workspace_bytes(plan);
}

TokendrawStatus sample(TokendrawSampler* sampler, const TokendrawBatch* batch, void* workspace, size_t bytes,
                       void* stream) {
  Prepared prepared;
  const TokendrawStatus status = prepare(sampler, batch, Call::kSample, &prepared);
  if (status != TOKENDRAW_OK) return status;
  if (prepared.request.rows == 0) return TOKENDRAW_OK;
  const size_t needed = workspace_bytes(*sampler, prepared.plan);
  if (workspace == nullptr && needed > 0) {
    return report(TOKENDRAW_INVALID_WORKSPACE, "workspace is NULL; this batch needs %zu bytes", needed);
  }
  if (bytes < needed) {
    return report(TOKENDRAW_INVALID_WORKSPACE_BYTES, "workspace_bytes is %zu; this batch needs %zu", bytes, needed);
  }
  if (sampler->gpu != nullptr) {
    return sample_on_gpu(sampler, prepared.plan, prepared.request, workspace, stream);
  }
  run_on_cpu(sampler->cpu.get(), prepared.plan, prepared.request, workspace);
  return TOKENDRAW_OK;
}

TokendrawStatus sample_host(TokendrawSampler* sampler, const TokendrawBatch* batch) {
  Prepared prepared;
  const TokendrawStatus status = prepare(sampler, batch, Call::kSampleHost, &prepared);
  if (status != TOKENDRAW_OK) return status;
  if (prepared.request.rows == 0) return TOKENDRAW_OK;
  if (sampler->gpu != nullptr) return sample_host_on_gpu(sampler, prepared.request);
  const std::lock_guard<std::mutex> lock(sampler->kept_memory_in_use);
  const backend::Failure failure = answer_on_cpu(sampler, prepared.request);
  if (failure) return report(failure.status, "%s", failure.message);
  return TOKENDRAW_OK;
}

}  // namespace
}  // namespace tokendraw::api

using tokendraw::api::guarded;
using tokendraw::api::report;

extern "C" {

// In brackets, so that it is no use of the macro.
void(tokendraw_init_batch)(TokendrawBatch* batch) {
  tokendraw_init_sized_batch(batch, tokendraw::request::kFirstBatchBytes);
}

void tokendraw_init_sized_batch(TokendrawBatch* batch, size_t struct_size) {
  if (batch == nullptr || struct_size < tokendraw::request::kFirstBatchBytes) return;
  tokendraw::request::set_batch_defaults(batch, struct_size);
}

TokendrawStatus tokendraw_get_workspace_bytes(const TokendrawSampler* sampler, const TokendrawBatch* batch,
                                              size_t* bytes) {
  if (bytes == nullptr) return report(TOKENDRAW_INVALID_OUTPUT_POINTER, "bytes is NULL");
  tokendraw::api::Prepared prepared;
  const TokendrawStatus status = tokendraw::api::prepare(sampler, batch, tokendraw::api::Call::kAsk, &prepared);
  if (status == TOKENDRAW_OK) *bytes = tokendraw::api::workspace_bytes(*sampler, prepared.plan);
  return status;
}

TokendrawStatus tokendraw_sample(TokendrawSampler* sampler, const TokendrawBatch* batch, void* workspace,
                                 size_t workspace_bytes, void* stream) {
  return guarded("tokendraw_sample",
                 [&] { return tokendraw::api::sample(sampler, batch, workspace, workspace_bytes, stream); });
}

TokendrawStatus tokendraw_sample_host(TokendrawSampler* sampler, const TokendrawBatch* batch) {
  return guarded("tokendraw_sample_host", [&] { return tokendraw::api::sample_host(sampler, batch); });
}

TokendrawStatus tokendraw_describe_plan(const TokendrawSampler* sampler, const TokendrawBatch* batch, char* text,
                                        size_t capacity, size_t* needed) {
  if (text == nullptr && capacity > 0) return report(TOKENDRAW_INVALID_OUTPUT_POINTER, "text is NULL");
  tokendraw::api::Prepared prepared;
  const TokendrawStatus status = tokendraw::api::prepare(sampler, batch, tokendraw::api::Call::kAsk, &prepared);
  if (status != TOKENDRAW_OK) return status;
  const size_t whole = tokendraw::plan::describe(prepared.plan, text, capacity);
  if (needed != nullptr) *needed = whole;
  return TOKENDRAW_OK;
}

}  // extern "C"
