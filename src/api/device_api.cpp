// SPDX-License-Identifier: Apache-2.0
// Backends and devices.
#include <cstdio>
#include <cstring>
#include <thread>

#include "api/cpu_facts.h"
#include "api/gpu_backend.h"
#include "api/versioned.h"
#include "cpu/simd/chunk_kernels.h"
#include "tokendraw/tokendraw.h"

namespace tokendraw::api {
namespace {

constexpr TokendrawBackend kBackends[] = {TOKENDRAW_BACKEND_CPU, TOKENDRAW_BACKEND_CUDA, TOKENDRAW_BACKEND_HIP};
constexpr int32_t kBackendCount = static_cast<int32_t>(sizeof kBackends / sizeof kBackends[0]);

TokendrawDeviceInfo cpu_info() {
  TokendrawDeviceInfo info = {};
  info.backend = TOKENDRAW_BACKEND_CPU;
  read_cpu_name(info.name, sizeof info.name);
  const cpu::ChunkKernels* kernels = cpu::find_chunk_kernels(nullptr);
  std::snprintf(info.target, sizeof info.target, "%s", kernels->target);
  info.compute_units = hardware_threads();
  info.simd_width_f32 = kernels->width;
  info.memory_bytes = host_memory_bytes();
  return info;
}

TokendrawStatus read_gpu_info(TokendrawBackend backend, int32_t device, TokendrawDeviceInfo* info) {
  const backend::Loaded& loaded = load_gpu_backend(backend);
  const char* name = tokendraw_backend_name(backend);
  if (loaded.table == nullptr) return report(TOKENDRAW_ERROR_BACKEND_UNAVAILABLE, "%s: %s", name, loaded.reason);
  if (device < 0 || device >= loaded.device_count) return report_no_device(backend, device, loaded.device_count);
  backend::DeviceDescription description = {};
  const backend::Failure failure = loaded.table->describe_device(device, &description);
  if (failure) return report(failure.status, "%s device %d: %s", name, device, failure.message);
  info->backend = backend;
  info->device = device;
  std::snprintf(info->name, sizeof info->name, "%s", description.name);
  std::snprintf(info->target, sizeof info->target, "%s", description.facts.target);
  info->compute_units = description.facts.compute_units;
  info->simd_width_f32 = description.facts.wave_width;
  info->memory_bytes = description.memory_bytes;
  return TOKENDRAW_OK;
}

}  // namespace
}  // namespace tokendraw::api

using tokendraw::api::report;

extern "C" {

int32_t tokendraw_get_backend_count(void) { return tokendraw::api::kBackendCount; }

TokendrawStatus tokendraw_get_backend_info(int32_t index, TokendrawBackendInfo* info) {
  if (index < 0 || index >= tokendraw::api::kBackendCount) {
    return report(TOKENDRAW_INVALID_INDEX, "index is %d; it must be 0 to %d", index, tokendraw::api::kBackendCount - 1);
  }
  TokendrawBackendInfo known = {};
  known.backend = tokendraw::api::kBackends[index];
  if (known.backend == TOKENDRAW_BACKEND_CPU) {
    known.available = 1;
    known.device_count = 1;
  } else {
    const tokendraw::backend::Loaded& loaded = tokendraw::api::load_gpu_backend(known.backend);
    known.available = loaded.table != nullptr ? 1 : 0;
    known.device_count = loaded.device_count;
    std::snprintf(known.reason, sizeof known.reason, "%.*s", static_cast<int>(sizeof known.reason) - 1, loaded.reason);
  }
  return tokendraw::api::fill_info(info, known, sizeof known);
}

TokendrawStatus tokendraw_get_device_info(TokendrawBackend backend, int32_t device, TokendrawDeviceInfo* info) {
  if (backend != TOKENDRAW_BACKEND_CPU && backend != TOKENDRAW_BACKEND_CUDA && backend != TOKENDRAW_BACKEND_HIP) {
    return report(TOKENDRAW_INVALID_BACKEND, "backend is %d; it must be cpu, cuda or hip", static_cast<int>(backend));
  }
  TokendrawDeviceInfo known = {};
  if (backend != TOKENDRAW_BACKEND_CPU) {
    const TokendrawStatus status = tokendraw::api::read_gpu_info(backend, device, &known);
    if (status != TOKENDRAW_OK) return status;
  } else if (device != 0) {
    return tokendraw::api::report_no_device(backend, device, 1);
  } else {
    known = tokendraw::api::cpu_info();
  }
  return tokendraw::api::fill_info(info, known, sizeof known);
}

const char* tokendraw_get_cpu_target_name(int32_t index) {
  if (index < 0) return nullptr;
  const tokendraw::cpu::ChunkKernels* kernels = tokendraw::cpu::chunk_kernels_at(index);
  return kernels != nullptr ? kernels->target : nullptr;
}

}  // extern "C"
