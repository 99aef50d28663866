// SPDX-License-Identifier: Apache-2.0
// The measure of every other algorithm: sequential, sorted, never optimised; follows docs/semantics.md section by
// section.
#pragma once

#include <cstdint>

#include "cpu/row_inputs.h"

namespace tokendraw::cpu {

// Memory for one row, each of `vocab` elements.
struct ReferenceScratch {
  float* effective;   // by id
  uint64_t* keys;     // by rank
  uint64_t* weights;  // by rank, later by id
};

// Sections 1 to 7.
RowResult reference_row(const RowInputs& inputs, bool wants_logprob, const ReferenceScratch& scratch);

// Section 8, dual-pivot rejection sampling.
RowResult reference_rejection_row(const RowInputs& inputs, bool wants_logprob, const ReferenceScratch& scratch);

}  // namespace tokendraw::cpu
