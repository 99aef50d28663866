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

struct Arguments {
  request::Request request;
  int32_t group_lines;  // lines of a group, a power of two
  int32_t splits;
  bool try_candidates;
  bool wants_logprob;
  // Of rows that are split
  float* group_max;      // [rows][kGpuMaxGroups]
  uint64_t* group_mass;  // [rows][kGpuMaxGroups]
  uint32_t* split_nan;   // [rows][kGpuMaxSplits]
  ListTables lists;
};

}  // namespace tokendraw::gpu
