// SPDX-License-Identifier: Apache-2.0
// What every kernel is given, by value.
#pragma once

#include <cstdint>

#include "plan/gpu_plan.h"
#include "request/request.h"

namespace tokendraw::gpu {

// Tables of the lists' entries (kernels/lists.h); nullptr where the request has no lists.
struct ListTables {
  uint64_t* slots_taken;
  uint64_t* row_slots;
  uint32_t* row_status;
  uint32_t* listed;
  uint64_t* slots;
  uint64_t slot_count;
};

// What blocks that share the search for a row's cut of top_p leave for the one that finishes it.
struct SearchState {
  uint64_t total;  // mass of the row
  uint64_t goal;   // what is left of the mass that top_p needs in the bucket of the cut
  float low;       // the bucket's logits
  float high;
  uint32_t listed;  // keys of the bucket in the row's list, also those that found no room
};
static_assert(sizeof(SearchState) == plan::kGpuSearchStateBytes);

struct Arguments {
  request::Request request;
  int32_t group_lines;  // lines of a group, a power of two
  int32_t splits;
  // Of rows that clusters hold
  int32_t cluster_shift;  // log2 of the blocks of a cluster
  int32_t block_lines;    // of the row, for each block but the last
  int32_t warp_groups;    // of a block, for each warp but the last ones
  bool read_once;         // rows are not in the device's cache when they are read again
  bool try_candidates;
  bool wants_logprob;
  // Of rows that are split
  float* group_max;           // [rows][kGpuMaxGroups]
  uint64_t* group_mass;       // [rows][kGpuMaxGroups]
  uint32_t* split_nan;        // [rows][kGpuMaxSplits]
  unsigned char* row_state;   // [rows][kGpuRowStateBytes]
  uint64_t* histogram;        // [rows][kGpuBuckets]
  uint64_t* list;             // [rows][kGpuListCapacity]; nullptr: rows have no lists
  SearchState* search_state;  // [rows]
  ListTables lists;
};

}  // namespace tokendraw::gpu
