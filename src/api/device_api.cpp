// SPDX-License-Identifier: Apache-2.0
// Backends and devices.
#include <cstdio>
#include <cstring>
#include <thread>

#include "api/cpu_facts.h"
#include "api/versioned.h"
#include "cpu/simd/chunk_kernels.h"
#include "tokendraw/tokendraw.h"

namespace tokendraw::api {
namespace {

constexpr TokendrawBackend kBackends[] = {TOKENDRAW_BACKEND_CPU, TOKENDRAW_BACKEND_CUDA, TOKENDRAW_BACKEND_HIP};
constexpr int32_t kBackendCount = static_cast<int32_t>(sizeof kBackends / sizeof kBackends[0]);

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
  const char* reason = tokendraw::api::why_unavailable(known.backend);
  known.available = reason == nullptr ? 1 : 0;
  known.device_count = known.available;
  std::snprintf(known.reason, sizeof known.reason, "%s", reason == nullptr ? "" : reason);
  return tokendraw::api::fill_info(info, known, sizeof known);
}

TokendrawStatus tokendraw_get_device_info(TokendrawBackend backend, int32_t device, TokendrawDeviceInfo* info) {
  if (backend != TOKENDRAW_BACKEND_CPU && backend != TOKENDRAW_BACKEND_CUDA && backend != TOKENDRAW_BACKEND_HIP) {
    return report(TOKENDRAW_INVALID_BACKEND, "backend is %d; it must be cpu, cuda or hip", static_cast<int>(backend));
  }
  const char* reason = tokendraw::api::why_unavailable(backend);
  if (reason != nullptr) return report(TOKENDRAW_ERROR_BACKEND_UNAVAILABLE, "%s", reason);
  if (device != 0) return report(TOKENDRAW_INVALID_DEVICE, "device is %d; the cpu backend has device 0 only", device);
  TokendrawDeviceInfo known = {};
  known.backend = backend;
  tokendraw::api::read_cpu_name(known.name, sizeof known.name);
  const tokendraw::cpu::ChunkKernels* kernels = tokendraw::cpu::find_chunk_kernels(nullptr);
  std::snprintf(known.target, sizeof known.target, "%s", kernels->target);
  known.compute_units = tokendraw::api::hardware_threads();
  known.simd_width_f32 = kernels->width;
  known.memory_bytes = tokendraw::api::host_memory_bytes();
  return tokendraw::api::fill_info(info, known, sizeof known);
}

const char* tokendraw_get_cpu_target_name(int32_t index) {
  if (index < 0) return nullptr;
  const tokendraw::cpu::ChunkKernels* kernels = tokendraw::cpu::chunk_kernels_at(index);
  return kernels != nullptr ? kernels->target : nullptr;
}

}  // extern "C"
