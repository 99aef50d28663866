// SPDX-License-Identifier: Apache-2.0
// What stands behind the opaque TokendrawSampler.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

#include "backend/open_device.h"
#include "cpu/engine.h"
#include "tokendraw/tokendraw.h"

namespace tokendraw::api {

struct CpuPart {
  CpuPart(int32_t threads, const cpu::ChunkKernels* kernels) : engine(threads, kernels) {}

  cpu::Engine engine;
  std::mutex threads_in_use;           // one run at a time on the engine's threads
  backend::HostMemory kept_workspace;  // guarded by kept_memory_in_use
};

struct GpuPart {
  GpuPart(TokendrawBackend served_by, TokendrawGpuWay chosen_way, const backend::Table* table)
      : backend(served_by), way(chosen_way), device(table), kept_arrays(&device), kept_workspace(&device) {}

  TokendrawBackend backend;
  TokendrawGpuWay way;
  backend::OpenDevice device;
  // Guarded by kept_memory_in_use.
  backend::DeviceMemory kept_arrays;
  backend::DeviceMemory kept_workspace;
  backend::HostMemory kept_copies;  // of device arrays, for the CPU
};

}  // namespace tokendraw::api

struct TokendrawSampler {
  TokendrawAlgorithm algorithm = TOKENDRAW_ALGORITHM_AUTO;
  std::unique_ptr<tokendraw::api::GpuPart> gpu;  // nullptr: the CPU serves
  std::unique_ptr<tokendraw::api::CpuPart> cpu;  // nullptr: the GPU serves and nothing stands in for it

  // Held by tokendraw_sample_host, and by tokendraw_sample where the CPU answers for the GPU.
  std::mutex kept_memory_in_use;
};
