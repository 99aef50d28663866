// SPDX-License-Identifier: Apache-2.0
// The yardstick of operations that write rows: their input read once and their output written once, with no work
// between.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tokendraw::bench {

// Reads kReads vectors and writes kWrites for each of `steps`; 0 reads write without reading. Any one-dimensional grid.
template <int kReads, int kWrites>
__global__ void __launch_bounds__(512) one_move(const uint4* in, uint4* out, int64_t steps) {
  constexpr int kAtOnce = 4;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < steps; i += kAtOnce * stride) {
    uint4 v[kAtOnce] = {};
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      if (kReads > 0 && i + j * stride < steps) v[j] = __ldg(in + i + j * stride);
    }
#pragma unroll
    for (int j = 0; j < kAtOnce; ++j) {
      const int64_t at = i + j * stride;
      if (at >= steps) break;
#pragma unroll
      for (int w = 0; w < kWrites; ++w) out[at + w * steps] = v[j];
    }
  }
}

}  // namespace tokendraw::bench
