// SPDX-License-Identifier: Apache-2.0
// The kernels. Many rows: `sample_row`, one block for each. Few rows: each is shared by several blocks in the two
// passes that read all of it, `split_maxima` and `split_masses`; then `split_finish`, one block a row. The boundary
// between kernels is what the blocks of a row meet at: no counters to set to zero, no fences, no block that waits for
// another.
#pragma once

#include "gpu/kernels/finish_row.h"

namespace tokendraw::gpu {

// Sets the shared state at the start of a row. All threads get whether the row can be read.
template <int kWave>
TOKENDRAW_DEVICE bool begin_row(const Arguments& a, int64_t row, RowShared<kWave>& s) {
  // The parameters take a chain of reads and divisions: the last thread goes through it.
  if (platform::thread_index() == kThreads - 1) {
    s.valid = request::read_row_inputs(a.request, row, &s.inputs) ? 1 : 0;
  }
  platform::block_barrier();
  return s.valid != 0;
}

template <int kWave>
TOKENDRAW_DEVICE uint32_t list_status(const Arguments& a, int64_t row, const RowShared<kWave>& s) {
  return s.inputs.has_lists() ? a.lists.row_status[row] : 0;
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kThreads, 2) sample_row(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  TOKENDRAW_SHARED(RowShared<kWave>, s);
  const int64_t row = platform::block_x();
  if (!begin_row(a, row, s)) {
    if (platform::thread_index() == 0) {
      request::write_row_result(a.request, row, request::row_without_token(draw::kBadParameter));
    }
    return;
  }
  RowReader<kDtype, kEdited, kWave> reader(s.inputs.logits, a.request.vocab);
  reader.edit_by(a, row, s.inputs);
  RowWork<kDtype, kEdited, kWave> work(reader, a.group_lines, s);
  bool nan = false;
  work.read_maxima(0, work.groups(), s.group_max, nan);
  nan = platform::block_any(nan);
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const float max = work.block.max(thread < work.groups() ? s.group_max[thread] : -draw::infinity());
  const uint32_t status = (nan ? uint32_t{draw::kNanLogit} : 0u) | list_status(a, row, s);
  FinishRow<kDtype, kEdited, kWave> finish(a, work);
  const request::RowResult result = finish.run(max, status, false);
  if (thread == 0) request::write_row_result(a.request, row, result);
}

// The groups that block x of a row's blocks reads: [*first, *last).
TOKENDRAW_DEVICE void own_groups(int32_t groups, int32_t splits, int32_t* first, int32_t* last) {
  const auto x = static_cast<int32_t>(platform::block_x());
  *first = groups * x / splits;
  *last = groups * (x + 1) / splits;
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kThreads, 2) split_maxima(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  TOKENDRAW_SHARED(RowShared<kWave>, s);
  const int64_t row = platform::block_y();
  const void* logits = request::logits_of_row(a.request, row);
  if (logits == nullptr) return;
  RowReader<kDtype, kEdited, kWave> reader(logits, a.request.vocab);
  if constexpr (kEdited) {  // else the parameters do not matter yet
    if (!begin_row(a, row, s)) return;
    reader.edit_by(a, row, s.inputs);
  }
  RowWork<kDtype, kEdited, kWave> work(reader, a.group_lines, s);
  int32_t first = 0;
  int32_t last = 0;
  own_groups(work.groups(), a.splits, &first, &last);
  bool nan = false;
  work.read_maxima(first, last, a.group_max + row * kMaxGroups, nan);
  nan = platform::block_any(nan);
  if (platform::thread_index() == 0) {
    a.split_nan[row * plan::kGpuMaxSplits + platform::block_x()] = nan ? uint32_t{draw::kNanLogit} : 0u;
  }
}

// What split_maxima found, into the shared state: the largest logit.
template <typename Work>
TOKENDRAW_DEVICE float load_maxima(const Arguments& a, int64_t row, Work& work) {
  const auto thread = static_cast<int32_t>(platform::thread_index());
  float own = -draw::infinity();
  if (thread < work.groups()) {
    own = a.group_max[row * kMaxGroups + thread];
    work.s.group_max[thread] = own;
  }
  return work.block.max(own);
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kThreads, 2) split_masses(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  TOKENDRAW_SHARED(RowShared<kWave>, s);
  using Finish = FinishRow<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_y();
  if (!begin_row(a, row, s) || !Finish::needs_total(a, s.inputs)) return;
  RowReader<kDtype, kEdited, kWave> reader(s.inputs.logits, a.request.vocab);
  reader.edit_by(a, row, s.inputs);
  RowWork<kDtype, kEdited, kWave> work(reader, a.group_lines, s);
  const float max = load_maxima(a, row, work);
  if (max == -draw::infinity()) return;
  int32_t first = 0;
  int32_t last = 0;
  own_groups(work.groups(), a.splits, &first, &last);
  work.sum_masses(Finish::weight_rule(a, s.inputs, max), 0, first, last, a.group_mass + row * kMaxGroups);
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kThreads, 2) split_finish(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  TOKENDRAW_SHARED(RowShared<kWave>, s);
  using Finish = FinishRow<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_x();
  if (!begin_row(a, row, s)) {
    if (platform::thread_index() == 0) {
      request::write_row_result(a.request, row, request::row_without_token(draw::kBadParameter));
    }
    return;
  }
  RowReader<kDtype, kEdited, kWave> reader(s.inputs.logits, a.request.vocab);
  reader.edit_by(a, row, s.inputs);
  RowWork<kDtype, kEdited, kWave> work(reader, a.group_lines, s);
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const bool nan = thread < a.splits && a.split_nan[row * plan::kGpuMaxSplits + thread] != 0;
  const uint32_t status = (platform::block_any(nan) ? uint32_t{draw::kNanLogit} : 0u) | list_status(a, row, s);
  const float max = load_maxima(a, row, work);
  const bool masses_known = Finish::needs_total(a, s.inputs);
  if (masses_known && thread < work.groups()) s.group_mass[thread] = a.group_mass[row * kMaxGroups + thread];
  Finish finish(a, work);
  const request::RowResult result = finish.run(max, status, masses_known);
  if (thread == 0) request::write_row_result(a.request, row, result);
}

}  // namespace tokendraw::gpu
