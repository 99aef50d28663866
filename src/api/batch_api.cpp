// SPDX-License-Identifier: Apache-2.0
// Batches: from the caller's struct through request and plan to the engine.
#include <new>

#include "api/error.h"
#include "api/sampler.h"
#include "cpu/workspace.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::api {
namespace {

struct Prepared {
  request::Request request;
  plan::Plan plan;
};

// What every function that takes a batch starts with.
TokendrawStatus prepare(const TokendrawSampler* sampler, const TokendrawBatch* batch, Prepared* prepared) {
  if (sampler == nullptr) return report(TOKENDRAW_INVALID_SAMPLER, "sampler is NULL");
  const request::Refusal refusal = request::make_request(batch, &prepared->request);
  if (refusal) return report(refusal.status, "%s", refusal.message);
  if (prepared->request.logits_memory != request::Memory::kHost) {
    return report(TOKENDRAW_INVALID_LOGITS_MEMORY, "logits_memory is device, but the cpu serves this sampler");
  }
  if (prepared->request.params_memory != request::Memory::kHost) {
    return report(TOKENDRAW_INVALID_PARAMS_MEMORY, "params_memory is device, but the cpu serves this sampler");
  }
  if (sampler->algorithm == TOKENDRAW_ALGORITHM_REJECTION &&
      prepared->request.random_source != request::RandomSource::kSeed) {
    return report(TOKENDRAW_INVALID_RANDOM,
                  "%s is given, but algorithm rejection draws a new number each round and needs seeds",
                  prepared->request.random_source == request::RandomSource::kU64 ? "random_u64" : "random_f32");
  }
  prepared->plan = plan::make_plan(plan::shape_of(prepared->request), {sampler->algorithm, sampler->engine.threads()},
                                   sampler->engine.facts());
  return TOKENDRAW_OK;
}

void run(TokendrawSampler* sampler, const Prepared& prepared, void* workspace) {
  std::unique_lock<std::mutex> lock(sampler->threads_in_use, std::defer_lock);
  if (sampler->engine.shares_threads(prepared.plan)) lock.lock();
  sampler->engine.run(prepared.plan, prepared.request, workspace);
}

TokendrawStatus sample(TokendrawSampler* sampler, const TokendrawBatch* batch, void* workspace,
                       size_t workspace_bytes) {
  Prepared prepared;
  const TokendrawStatus status = prepare(sampler, batch, &prepared);
  if (status != TOKENDRAW_OK) return status;
  const size_t needed = cpu::workspace_bytes(prepared.plan);
  if (prepared.request.rows == 0) return TOKENDRAW_OK;
  if (workspace == nullptr) {
    return report(TOKENDRAW_INVALID_WORKSPACE, "workspace is NULL; this batch needs %zu bytes", needed);
  }
  if (workspace_bytes < needed) {
    return report(TOKENDRAW_INVALID_WORKSPACE_BYTES, "workspace_bytes is %zu; this batch needs %zu", workspace_bytes,
                  needed);
  }
  run(sampler, prepared, workspace);
  return TOKENDRAW_OK;
}

TokendrawStatus sample_host(TokendrawSampler* sampler, const TokendrawBatch* batch) {
  Prepared prepared;
  const TokendrawStatus status = prepare(sampler, batch, &prepared);
  if (status != TOKENDRAW_OK) return status;
  if (prepared.request.rows == 0) return TOKENDRAW_OK;
  const std::lock_guard<std::mutex> lock(sampler->workspace_in_use);
  const size_t needed = cpu::workspace_bytes(prepared.plan);
  if (sampler->workspace_bytes < needed) {
    sampler->workspace_bytes = 0;
    sampler->workspace.reset();
    sampler->workspace.reset(new unsigned char[needed]);
    sampler->workspace_bytes = needed;
  }
  run(sampler, prepared, sampler->workspace.get());
  return TOKENDRAW_OK;
}

}  // namespace
}  // namespace tokendraw::api

using tokendraw::api::guarded;
using tokendraw::api::report;

extern "C" {

void tokendraw_init_batch(TokendrawBatch* batch) {
  if (batch != nullptr) tokendraw::request::set_batch_defaults(batch);
}

TokendrawStatus tokendraw_get_workspace_bytes(const TokendrawSampler* sampler, const TokendrawBatch* batch,
                                              size_t* bytes) {
  if (bytes == nullptr) return report(TOKENDRAW_INVALID_OUTPUT_POINTER, "bytes is NULL");
  tokendraw::api::Prepared prepared;
  const TokendrawStatus status = tokendraw::api::prepare(sampler, batch, &prepared);
  if (status == TOKENDRAW_OK) *bytes = tokendraw::cpu::workspace_bytes(prepared.plan);
  return status;
}

TokendrawStatus tokendraw_sample(TokendrawSampler* sampler, const TokendrawBatch* batch, void* workspace,
                                 size_t workspace_bytes, void* /*stream*/) {
  return guarded("tokendraw_sample",
                 [&] { return tokendraw::api::sample(sampler, batch, workspace, workspace_bytes); });
}

TokendrawStatus tokendraw_sample_host(TokendrawSampler* sampler, const TokendrawBatch* batch) {
  return guarded("tokendraw_sample_host", [&] { return tokendraw::api::sample_host(sampler, batch); });
}

TokendrawStatus tokendraw_describe_plan(const TokendrawSampler* sampler, const TokendrawBatch* batch, char* text,
                                        size_t capacity, size_t* needed) {
  if (text == nullptr && capacity > 0) return report(TOKENDRAW_INVALID_OUTPUT_POINTER, "text is NULL");
  tokendraw::api::Prepared prepared;
  const TokendrawStatus status = tokendraw::api::prepare(sampler, batch, &prepared);
  if (status != TOKENDRAW_OK) return status;
  const size_t whole = tokendraw::plan::describe(prepared.plan, text, capacity);
  if (needed != nullptr) *needed = whole;
  return TOKENDRAW_OK;
}

}  // extern "C"
