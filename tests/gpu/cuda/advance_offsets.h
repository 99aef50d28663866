// SPDX-License-Identifier: Apache-2.0
// What an engine does between two draws, as a kernel: it can be captured into a graph.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace tokendraw::test {

// Enqueues: log[*step * rows + r] = tokens[r] and ++offsets[r] for each row, then ++*step. All of them in device
// memory.
cudaError_t log_tokens_and_advance(const int32_t* tokens, size_t rows, int32_t* log, uint32_t* step, uint64_t* offsets,
                                   cudaStream_t stream);

}  // namespace tokendraw::test
