// SPDX-License-Identifier: Apache-2.0
// Creating, destroying and asking samplers.
#include <cstdio>
#include <cstring>
#include <memory>

#include "api/algorithm.h"
#include "api/cpu_facts.h"
#include "api/gpu_backend.h"
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
  const TokendrawStatus status = check_algorithm(o.algorithm);
  if (status != TOKENDRAW_OK) return status;
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
  if (o.cpu_target != nullptr && cpu::find_chunk_kernels(o.cpu_target) == nullptr) {
    return report(TOKENDRAW_INVALID_CPU_TARGET,
                  "cpu_target is \"%.40s\", which this library or this processor does not have", o.cpu_target);
  }
  if (o.gpu_way < TOKENDRAW_GPU_WAY_AUTO || o.gpu_way > TOKENDRAW_GPU_WAY_CLUSTER) {
    return report(TOKENDRAW_INVALID_GPU_WAY, "gpu_way is %d, which is no TokendrawGpuWay", static_cast<int>(o.gpu_way));
  }
  return TOKENDRAW_OK;
}

// The backend asked for, whether or not it is there; for AUTO the best that is there and has the algorithm.
TokendrawBackend choose_backend(const TokendrawSamplerOptions& options) {
  if (options.backend != TOKENDRAW_BACKEND_AUTO) return options.backend;
  if (runs_on_cpu_only(options.algorithm)) return TOKENDRAW_BACKEND_CPU;
  for (const TokendrawBackend backend : {TOKENDRAW_BACKEND_CUDA, TOKENDRAW_BACKEND_HIP}) {
    if (load_gpu_backend(backend).table != nullptr) return backend;
  }
  return TOKENDRAW_BACKEND_CPU;
}

std::unique_ptr<CpuPart> make_cpu_part(const TokendrawSamplerOptions& options) {
  const int32_t hardware = hardware_threads();
  const int32_t threads = options.threads != 0 ? options.threads : hardware < kMaxThreads ? hardware : kMaxThreads;
  return std::make_unique<CpuPart>(threads, cpu::find_chunk_kernels(options.cpu_target));
}

// Opens the device for `sampler`, or says why this sampler cannot run there.
backend::Failure make_gpu_part(TokendrawBackend backend, const TokendrawSamplerOptions& options,
                               TokendrawSampler* sampler) {
  const backend::Loaded& loaded = load_gpu_backend(backend);
  backend::Failure failure;
  if (loaded.table == nullptr) {
    failure.status = TOKENDRAW_ERROR_BACKEND_UNAVAILABLE;
    std::snprintf(failure.message, sizeof failure.message, "%s", loaded.reason);
  } else if (runs_on_cpu_only(sampler->algorithm)) {
    failure.status = TOKENDRAW_ERROR_UNSUPPORTED;
    std::snprintf(failure.message, sizeof failure.message, "algorithm %s runs on the cpu only",
                  tokendraw_algorithm_name(sampler->algorithm));
  } else {
    sampler->gpu = std::make_unique<GpuPart>(backend, options.gpu_way, loaded.table);
    failure = sampler->gpu->device.open(options.device < 0 ? 0 : options.device);
    if (failure) sampler->gpu.reset();
  }
  return failure;
}

TokendrawStatus create(const TokendrawSamplerOptions* given, TokendrawSampler** sampler) {
  TokendrawSamplerOptions options;
  TokendrawStatus status = read_options(given, &options);
  if (status == TOKENDRAW_OK) status = check_choices(options);
  if (status != TOKENDRAW_OK) return status;
  const TokendrawBackend backend = choose_backend(options);
  const bool on_cpu = backend == TOKENDRAW_BACKEND_CPU;
  const int32_t device_count = on_cpu ? 1 : load_gpu_backend(backend).device_count;
  if (device_count > 0 && options.device >= device_count) {
    return report_no_device(backend, options.device, device_count);
  }
  const bool cpu_stands_in = options.on_gpu_failure == TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
  auto made = std::make_unique<TokendrawSampler>();
  made->algorithm = options.algorithm;
  backend::Failure failure;
  if (!on_cpu) failure = make_gpu_part(backend, options, made.get());
  if (failure && !cpu_stands_in) {
    return report(failure.status, "%s: %s", tokendraw_backend_name(backend), failure.message);
  }
  if (on_cpu || cpu_stands_in) made->cpu = make_cpu_part(options);
  *sampler = made.release();
  if (!failure) return TOKENDRAW_OK;
  return report(TOKENDRAW_OK_CPU_FALLBACK, "%s: %s; the cpu serves", tokendraw_backend_name(backend), failure.message);
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
  known.algorithm = sampler->algorithm;
  known.threads = sampler->cpu != nullptr ? sampler->cpu->engine.threads() : 0;
  if (sampler->gpu != nullptr) {
    known.backend = sampler->gpu->backend;
    known.device = sampler->gpu->device.index();
  } else {
    known.backend = TOKENDRAW_BACKEND_CPU;
  }
  std::snprintf(known.target, sizeof known.target, "%s",
                sampler->gpu != nullptr ? sampler->gpu->device.description().facts.target
                                        : sampler->cpu->engine.kernels().target);
  return tokendraw::api::fill_info(info, known, sizeof known);
}

}  // extern "C"
