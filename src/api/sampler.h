// SPDX-License-Identifier: Apache-2.0
// What stands behind the opaque TokendrawSampler.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>

#include "cpu/engine.h"
#include "tokendraw/tokendraw.h"

struct TokendrawSampler {
  TokendrawSampler(int32_t threads, const tokendraw::cpu::ChunkKernels* kernels, TokendrawAlgorithm chosen)
      : engine(threads, kernels), algorithm(chosen) {}

  tokendraw::cpu::Engine engine;
  TokendrawAlgorithm algorithm;
  std::mutex threads_in_use;  // one run at a time on the engine's threads

  // Of tokendraw_sample_host only.
  std::mutex workspace_in_use;
  std::unique_ptr<unsigned char[]> workspace;
  size_t workspace_bytes = 0;
};
