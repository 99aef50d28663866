// SPDX-License-Identifier: Apache-2.0
// How a call's workspace is divided: one slot per thread, each with what one row needs.
#pragma once

#include <cstddef>
#include <cstdint>

#include "cpu/reference.h"
#include "cpu/simd/chunk_kernels.h"
#include "plan/plan.h"

namespace tokendraw::cpu {

// Where the edits of a row by lists are kept: the effective logit of each listed id, marked in a bit set.
struct EditScratch {
  float* logit;          // [vocab], valid where marked
  uint64_t* marked;      // [ceil(vocab / 64)] all zero between rows
  uint64_t* in_history;  // likewise
};

// A list holds every logit of a row, or up to kSortable candidates with room for as many behind them.
inline constexpr int32_t list_capacity(int32_t vocab) { return vocab + kSortable; }

// Memory of one thread for one row. What the plan's algorithm does not use is nullptr.
struct RowScratch {
  float* chunk_max;      // [chunks]
  uint64_t* chunk_mass;  // [chunks]
  float* list_x;         // [vocab + kListPadding]
  int32_t* list_id;      // [vocab + kListPadding]
  EditScratch edits;     // where the shape has lists
  ReferenceScratch reference;
};

// The size of a workspace at any alignment.
size_t workspace_bytes(const plan::Plan& plan);

// Slot `slot` of a workspace of that size.
RowScratch row_scratch(const plan::Plan& plan, void* workspace, int32_t slot);

}  // namespace tokendraw::cpu
