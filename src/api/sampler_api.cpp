// SPDX-License-Identifier: Apache-2.0
// Creating, destroying and asking samplers.
#include <cstdio>
#include <cstring>
#include <new>

#include "api/cpu_facts.h"
#include "api/sampler.h"
#include "api/versioned.h"

namespace tokendraw::api {
namespace {

constexpr int32_t kMaxThreads = 256;

TokendrawSamplerOptions default_options() {
  TokendrawSamplerOptions options = {};
  options.struct_size = sizeof options;
  options.backend = TOKENDRAW_BACKEND_AUTO;
  options.device = -1;
  options.algorithm = TOKENDRAW_ALGORITHM_AUTO;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
  return options;
}

TokendrawStatus read_options(const TokendrawSamplerOptions* given, TokendrawSamplerOptions* options) {
  *options = default_options();
  if (given == nullptr) return TOKENDRAW_OK;
  if (given->struct_size != sizeof *options) {
    return report(TOKENDRAW_INVALID_STRUCT_SIZE,
                  "options->struct_size is %zu, but a TokendrawSamplerOptions has %zu bytes; use "
                  "tokendraw_init_sampler_options",
                  given->struct_size, sizeof *options);
  }
  *options = *given;
  return TOKENDRAW_OK;
}

TokendrawStatus check_choices(const TokendrawSamplerOptions& o) {
  if (o.backend < TOKENDRAW_BACKEND_AUTO || o.backend > TOKENDRAW_BACKEND_HIP) {
    return report(TOKENDRAW_INVALID_BACKEND, "backend is %d, which is no TokendrawBackend",
                  static_cast<int>(o.backend));
  }
  if (o.algorithm < TOKENDRAW_ALGORITHM_AUTO || o.algorithm > TOKENDRAW_ALGORITHM_REJECTION) {
    return report(TOKENDRAW_INVALID_ALGORITHM, "algorithm is %d, which is no TokendrawAlgorithm",
                  static_cast<int>(o.algorithm));
  }
  if (o.threads < 0 || o.threads > kMaxThreads) {
    return report(TOKENDRAW_INVALID_THREADS, "threads is %d; it must be 0 (one per hardware thread) to %d", o.threads,
                  kMaxThreads);
  }
  if (o.on_gpu_failure != TOKENDRAW_ON_GPU_FAILURE_USE_CPU &&
      o.on_gpu_failure != TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR) {
    return report(TOKENDRAW_INVALID_ON_GPU_FAILURE, "on_gpu_failure is %d, which is no TokendrawOnGpuFailure",
                  static_cast<int>(o.on_gpu_failure));
  }
  if (o.device < -1) {
    return report(TOKENDRAW_INVALID_DEVICE, "device is %d; it must be -1 (the first) or an index", o.device);
  }
  if (o.backend <= TOKENDRAW_BACKEND_CPU && o.device > 0) {
    return report(TOKENDRAW_INVALID_DEVICE, "device is %d; the cpu backend has device 0 only", o.device);
  }
  if (o.cpu_target != nullptr && cpu::find_chunk_kernels(o.cpu_target) == nullptr) {
    return report(TOKENDRAW_INVALID_CPU_TARGET,
                  "cpu_target is \"%.40s\", which this library or this processor does not have", o.cpu_target);
  }
  return TOKENDRAW_OK;
}

TokendrawStatus create(const TokendrawSamplerOptions* given, TokendrawSampler** sampler) {
  TokendrawSamplerOptions options;
  TokendrawStatus status = read_options(given, &options);
  if (status == TOKENDRAW_OK) status = check_choices(options);
  if (status != TOKENDRAW_OK) return status;
  const char* reason = why_unavailable(options.backend);
  if (reason != nullptr && options.on_gpu_failure == TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR) {
    return report(TOKENDRAW_ERROR_BACKEND_UNAVAILABLE, "backend: %s", reason);
  }
  const int32_t hardware = hardware_threads();
  const int32_t threads = options.threads != 0 ? options.threads : hardware < kMaxThreads ? hardware : kMaxThreads;
  *sampler = new TokendrawSampler(threads, cpu::find_chunk_kernels(options.cpu_target), options.algorithm);
  if (reason != nullptr) return report(TOKENDRAW_OK_CPU_FALLBACK, "backend: %s; the cpu serves", reason);
  return TOKENDRAW_OK;
}

}  // namespace
}  // namespace tokendraw::api

using tokendraw::api::report;

extern "C" {

void tokendraw_init_sampler_options(TokendrawSamplerOptions* options) {
  if (options != nullptr) *options = tokendraw::api::default_options();
}

TokendrawStatus tokendraw_create_sampler(const TokendrawSamplerOptions* options, TokendrawSampler** sampler) {
  if (sampler == nullptr) return report(TOKENDRAW_INVALID_OUTPUT_POINTER, "sampler is NULL");
  *sampler = nullptr;
  return tokendraw::api::guarded("tokendraw_create_sampler", [&] { return tokendraw::api::create(options, sampler); });
}

void tokendraw_destroy_sampler(TokendrawSampler* sampler) { delete sampler; }

TokendrawStatus tokendraw_get_sampler_info(const TokendrawSampler* sampler, TokendrawSamplerInfo* info) {
  if (sampler == nullptr) return report(TOKENDRAW_INVALID_SAMPLER, "sampler is NULL");
  TokendrawSamplerInfo known = {};
  known.backend = TOKENDRAW_BACKEND_CPU;
  known.device = 0;
  known.algorithm = sampler->algorithm;
  known.threads = sampler->engine.threads();
  std::snprintf(known.target, sizeof known.target, "%s", sampler->engine.kernels().target);
  return tokendraw::api::fill_info(info, known, sizeof known);
}

}  // extern "C"
