// SPDX-License-Identifier: Apache-2.0
// One row by the exact algorithms `candidates` and `refine`: the vocabulary is never sorted, and never copied.
#pragma once

#include <cstdint>

#include "cpu/row_inputs.h"
#include "cpu/simd/chunk_kernels.h"
#include "cpu/workspace.h"

namespace tokendraw::cpu {

struct ExactRowOptions {
  int32_t candidate_top_k;  // the largest top_k for which group maxima give the candidates
  bool try_candidates;      // false: narrow the cut down from the whole row at once
  bool wants_logprob;
  bool wants_kept;
};

RowResult exact_row(const RowInputs& inputs, const ExactRowOptions& options, const ChunkKernels& kernels,
                    const RowScratch& scratch);

}  // namespace tokendraw::cpu
