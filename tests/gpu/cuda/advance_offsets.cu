// SPDX-License-Identifier: Apache-2.0
#include "advance_offsets.h"

namespace tokendraw::test {
namespace {

// One block, so that every row is logged before the step advances.
__global__ void log_and_advance(const int32_t* tokens, size_t rows, int32_t* log, uint32_t* step, uint64_t* offsets) {
  const size_t first = *step * rows;
  for (size_t r = threadIdx.x; r < rows; r += blockDim.x) {
    log[first + r] = tokens[r];
    ++offsets[r];
  }
  __syncthreads();
  if (threadIdx.x == 0) ++*step;
}

}  // namespace

cudaError_t log_tokens_and_advance(const int32_t* tokens, size_t rows, int32_t* log, uint32_t* step, uint64_t* offsets,
                                   cudaStream_t stream) {
  log_and_advance<<<1, 256, 0, stream>>>(tokens, rows, log, step, offsets);
  return cudaGetLastError();
}

}  // namespace tokendraw::test
