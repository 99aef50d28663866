// SPDX-License-Identifier: Apache-2.0
#include "curand_words.h"

#include <cuda_runtime.h>
#include <curand_kernel.h>

namespace tokendraw::test {
namespace {

template <typename State>
__global__ void write_words(uint64_t seed, uint64_t subsequence, uint64_t offset, int64_t count, uint32_t* words) {
  State state;
  curand_init(seed, subsequence, offset, &state);
  for (int64_t i = 0; i < count; ++i) words[i] = curand(&state);
}

}  // namespace

bool write_curand_words(bool xorwow, uint64_t seed, uint64_t subsequence, uint64_t offset, int64_t count,
                        uint32_t* device_words) {
  if (xorwow) {
    write_words<curandStateXORWOW_t><<<1, 1>>>(seed, subsequence, offset, count, device_words);
  } else {
    write_words<curandStatePhilox4_32_10_t><<<1, 1>>>(seed, subsequence, offset, count, device_words);
  }
  return cudaGetLastError() == cudaSuccess && cudaDeviceSynchronize() == cudaSuccess;
}

}  // namespace tokendraw::test
