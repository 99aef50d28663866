// SPDX-License-Identifier: Apache-2.0
// The yardstick of the GPU bench: one read of the logits, reduced to a row maximum with as little work as there can be.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace tokendraw::bench {

// Maximum of the 32-bit words of each row, compared as signed integers: a word a lane and instruction, any dtype.
// Grid: (splits, rows). `words` must be a multiple of 4 and rows aligned to 16 bytes.
__global__ void __launch_bounds__(512) one_read(const uint4* logits, int64_t row_vectors, int32_t* maxima) {
  const uint4* row = logits + static_cast<int64_t>(blockIdx.y) * row_vectors;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * blockDim.x;
  int32_t largest = INT32_MIN;
  const auto take = [&](uint4 v) {
    largest = max(largest, max(max(static_cast<int32_t>(v.x), static_cast<int32_t>(v.y)),
                               max(static_cast<int32_t>(v.z), static_cast<int32_t>(v.w))));
  };
  int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  for (; i + 7 * stride < row_vectors; i += 8 * stride) {
    uint4 v[8];
#pragma unroll
    for (int j = 0; j < 8; ++j) v[j] = __ldg(row + i + j * stride);
#pragma unroll
    for (int j = 0; j < 8; ++j) take(v[j]);
  }
#pragma unroll 4
  for (; i < row_vectors; i += stride) take(__ldg(row + i));
  for (int offset = 16; offset > 0; offset /= 2) largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
  __shared__ int32_t of_warp[16];
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = largest;
  __syncthreads();
  if (threadIdx.x == 0) {
    for (int w = 0; w < 16; ++w) largest = max(largest, of_warp[w]);
    atomicMax(maxima + blockIdx.y, largest);
  }
}

// The same with the row's maximum in one place at the end, which is what every sampler needs first: a cluster of
// kRowMaximumBlocks blocks a row, which meet once. Grid: (kRowMaximumBlocks, rows).
inline constexpr int kRowMaximumBlocks = 8;
__global__ void __launch_bounds__(512) __cluster_dims__(kRowMaximumBlocks, 1, 1)
    row_maximum(const uint4* logits, int64_t row_vectors, int32_t* maxima) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
  __shared__ int32_t of_block[kRowMaximumBlocks];
  __shared__ int32_t of_warp[16];
  __cluster_barrier_arrive();
  const uint4* row = logits + static_cast<int64_t>(blockIdx.y) * row_vectors;
  const int64_t stride = static_cast<int64_t>(kRowMaximumBlocks) * blockDim.x;
  int32_t largest = INT32_MIN;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x; i < row_vectors; i += 4 * stride) {
    uint4 v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) v[j] = i + j * stride < row_vectors ? __ldg(row + i + j * stride) : uint4{};
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      if (i + j * stride >= row_vectors) continue;
      largest = max(largest, max(max(static_cast<int32_t>(v[j].x), static_cast<int32_t>(v[j].y)),
                                 max(static_cast<int32_t>(v[j].z), static_cast<int32_t>(v[j].w))));
    }
  }
  largest = __reduce_max_sync(0xffffffffu, largest);
  if (threadIdx.x % 32 == 0) of_warp[threadIdx.x / 32] = largest;
  __syncthreads();
  __cluster_barrier_wait();
  if (threadIdx.x == 0) {
    for (int w = 0; w < 16; ++w) largest = max(largest, of_warp[w]);
    *static_cast<int32_t*>(__cluster_map_shared_rank(&of_block[blockIdx.x], 0)) = largest;
  }
  __cluster_barrier_arrive();
  __cluster_barrier_wait();
  if (blockIdx.x != 0 || threadIdx.x != 0) return;
  for (int b = 0; b < kRowMaximumBlocks; ++b) largest = max(largest, of_block[b]);
  maxima[blockIdx.y] = largest;
#else
  (void)logits, (void)row_vectors, (void)maxima;
#endif
}

}  // namespace tokendraw::bench
