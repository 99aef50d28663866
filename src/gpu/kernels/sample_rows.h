// SPDX-License-Identifier: Apache-2.0
// The kernels. Many rows: `sample_row`, one block for each. Few rows: each is shared by several blocks in the passes
// that read all of it, `split_maxima`, `split_masses` and, for the fewest, `split_search`; then `split_finish`, one
// block a row. The boundary between kernels is what the blocks of a row meet at: no counters to set to zero, no fences,
// no block that waits for another.
//
// Code that runs once for a row takes longer to fetch than to execute, so what one thread does alone (reading the row's
// parameters and its random number) is done while the row's first lines are on their way and while others read, and
// kept for the kernels that follow.
#pragma once

#include "gpu/kernels/estimated_draw.h"
#include "gpu/kernels/rough_search.h"
#include "gpu/kernels/row_request.h"

namespace tokendraw::gpu {

// What split_maxima leaves for the kernels after it.
struct RowState {
  request::RowInputs inputs;
  uint32_t valid;
};
static_assert(sizeof(RowState) <= plan::kGpuRowStateBytes && sizeof(RowState) % 8 == 0);

template <typename Row>
TOKENDRAW_DEVICE void keep_settings(const Arguments& a) {
  Row::shared().settings = {a.group_lines, a.try_candidates, a.wants_logprob, a.request.kept != nullptr,
                            a.request.kept_mass != nullptr};
  Row::shared().collected = 0;
}

// Keeps the reader of a row whose inputs are known. One thread calls.
template <typename Row>
TOKENDRAW_DEVICE void keep_reader(const Arguments& a, int64_t row) {
  auto& s = Row::shared();
  typename Row::Reader reader(s.inputs.logits, a.request.vocab, a.read_once);
  reader.edit_by(a, row, s.inputs);
  s.reader = reader;
}

// What the first read of a row finds beside maxima. One thread calls.
template <typename Row>
TOKENDRAW_DEVICE void keep_first_read() {
  auto& s = Row::shared();
  s.estimates = s.valid != 0 && may_estimate<Row>(s.settings, s.inputs) ? 1 : 0;
  s.counts = s.valid != 0 && may_read_roughly<Row>(s.settings, s.inputs) ? 1 : 0;
  s.collects = s.valid != 0 && may_collect<Row>(s.settings, s.inputs) ? 1 : 0;
}

// The first read of a row by a block alone. Returns, in all threads, whether one of the logits is NaN.
template <typename Row>
TOKENDRAW_DEVICE bool read_first() {
  auto& s = Row::shared();
  const draw::RowParams& params = s.inputs.params;
  const bool estimates = s.estimates != 0;
  if constexpr (Row::kIsOfMany) {
    if (s.collects != 0) {
      return estimates ? read_and_collect<Row, true>(params.top_k, params.scale)
                       : read_and_collect<Row, false>(params.top_k, params.scale);
    }
  }
  if (s.counts != 0) return read_roughly<Row>();
  return platform::block_any(estimates ? read_groups<Row, kFindsMasses>(0, Row::groups(), params.scale, 0.0f)
                                       : read_maxima<Row>(0, Row::groups(), s.group_max));
}

// What every warp reads first is on its way while one thread reads the row's parameters.
template <typename Row>
TOKENDRAW_DEVICE void prefetch_first_lines(const Arguments& a, const void* logits) {
  constexpr int64_t kCacheLine = 128;
  constexpr int64_t kFirst = int64_t{Row::kMaximaBatch} * Row::kThreads * 16;
  const int64_t bytes = int64_t{a.request.vocab} * static_cast<int64_t>(sizeof(typename Row::Reader::Bits));
  const int64_t at = platform::thread_index() * kCacheLine;
  if (at < kFirst && at < bytes) platform::prefetch(static_cast<const unsigned char*>(logits) + at);
}

// Begins the first read of a row: all threads get whether it can be read. Its parameters are known then, but, where it
// is not edited, for its random number and so for whether it is valid: those after the next barrier.
template <typename Row>
TOKENDRAW_DEVICE bool begin_first_read(const Arguments& a, int64_t row) {
  auto& s = Row::shared();
  if constexpr (Row::Reader::kIsEdited) {
    if (platform::thread_index() == 0) {
      keep_settings<Row>(a);
      s.valid = read_inputs(a, row, &s.inputs) ? 1 : 0;
      if (s.valid != 0) keep_reader<Row>(a, row);
      keep_first_read<Row>();
    }
    platform::block_barrier();
    return s.valid != 0;
  } else {
    const void* logits = request::logits_of_row(a.request, row);
    const uint32_t thread = platform::thread_index();
    const bool reads_parameters = thread == Row::kThreads - Row::kWave;
    if (reads_parameters) {
      keep_settings<Row>(a);
      if (logits != nullptr) s.reader = typename Row::Reader(logits, a.request.vocab, a.read_once);
      s.valid = read_params(a, row, &s.inputs) ? 1 : 0;
      keep_first_read<Row>();
    } else if (logits != nullptr) {
      prefetch_first_lines<Row>(a, logits);
    }
    platform::block_barrier();
    if (reads_parameters && s.valid != 0 && !read_random(a, row, &s.inputs)) s.valid = 0;
    return logits != nullptr;
  }
}

// Begins a row whose state split_maxima left. All threads get whether its parameters are valid.
template <typename Row>
TOKENDRAW_DEVICE bool begin_from_state(const Arguments& a, int64_t row) {
  auto& s = Row::shared();
  constexpr uint32_t kWords = sizeof(request::RowInputs) / 8;
  const uint32_t thread = platform::thread_index();
  const auto* state = reinterpret_cast<const RowState*>(a.row_state + row * plan::kGpuRowStateBytes);
  const auto* words = reinterpret_cast<const uint64_t*>(&state->inputs);
  for (uint32_t i = thread; i < kWords; i += Row::kThreads) reinterpret_cast<uint64_t*>(&s.inputs)[i] = words[i];
  const bool valid = state->valid != 0;
  platform::block_barrier();
  if (thread == 0 && valid) {
    keep_settings<Row>(a);
    keep_reader<Row>(a, row);
  }
  platform::block_barrier();
  return valid;
}

template <request::Dtype kDtype, bool kEdited, int kWave, int kThreads>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kThreads, 2 * kBlockThreads / kThreads)
    sample_row(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  using Row = gpu::Row<kDtype, kEdited, kWave, kThreads>;
  const int64_t row = platform::block_x();
  auto& s = Row::shared();
  const request::RowResult bad = request::row_without_token(draw::kBadParameter);
  if (!begin_first_read<Row>(a, row)) return write_result(a, row, bad);
  const bool nan = read_first<Row>();
  if (s.valid == 0) return write_result(a, row, bad);
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const float max = Row::BlockOf::max(thread < Row::groups() ? s.group_max[thread] : -draw::infinity());
  const uint32_t status = (nan ? uint32_t{draw::kNanLogit} : 0u) | list_status<Row>(a, row);
  if (max == -draw::infinity()) {
    return write_result(a, row, request::row_without_token(status | draw::kNoCandidate));
  }
  keep_rule<Row>(max);
  Drawn drawn;
  const uint64_t cut = s.counts != 0 ? search_by_estimates<Row>() : 0;
  if (s.counts != 0 || s.estimates == 0 || !draw_by_estimates<Row>(&drawn)) {
    if (cut == 0 && needs_total(s.settings, s.inputs)) {
      sum_masses<Row, false>(0, Row::groups(), s.group_mass);
      platform::block_barrier();
      keep_total<Row>();
    }
    drawn = draw_row<Row>(cut, {});
  }
  write_result(a, row, result_of<Row>(drawn, status));
}

// ---- Rows that blocks share: grid (splits, rows)

// The groups that block x of a row's blocks reads: [*first, *last).
TOKENDRAW_DEVICE void own_groups(int32_t groups, int32_t splits, int32_t* first, int32_t* last) {
  const auto x = static_cast<int32_t>(platform::block_x());
  *first = groups * x / splits;
  *last = groups * (x + 1) / splits;
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kBlockThreads, 2)
    split_maxima(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  using Row = gpu::Row<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_y();
  auto& s = Row::shared();
  auto* state = reinterpret_cast<RowState*>(a.row_state + row * plan::kGpuRowStateBytes);
  const bool first_block = platform::block_x() == 0;
  clear_shared_search<Row>(a, row);
  bool readable = false;
  if (Row::Reader::kIsEdited || first_block) {
    readable = begin_first_read<Row>(a, row);
  } else {  // another block of the row reads the parameters
    const void* logits = request::logits_of_row(a.request, row);
    readable = logits != nullptr;
    if (platform::thread_index() == 0 && readable) {
      keep_settings<Row>(a);
      s.reader = typename Row::Reader(logits, a.request.vocab, a.read_once);
    }
    platform::block_barrier();
  }
  bool nan = false;
  if (readable) {
    int32_t first = 0;
    int32_t last = 0;
    own_groups(Row::groups(), a.splits, &first, &last);
    nan = read_maxima<Row>(first, last, a.group_max + row * kMaxGroups);
  }
  nan = platform::block_any(nan);
  if (platform::thread_index() != 0) return;
  a.split_nan[row * plan::kGpuMaxSplits + platform::block_x()] = nan ? uint32_t{draw::kNanLogit} : 0u;
  if (!first_block) return;
  state->inputs = s.inputs;
  state->valid = s.valid;
}

// What split_maxima found, into shared memory. Returns the largest logit.
template <typename Row>
TOKENDRAW_DEVICE float load_maxima(const Arguments& a, int64_t row) {
  const auto thread = static_cast<int32_t>(platform::thread_index());
  float own = -draw::infinity();
  if (thread < Row::groups()) {
    own = a.group_max[row * kMaxGroups + thread];
    Row::shared().group_max[thread] = own;
  }
  return Row::BlockOf::max(own);
}

// The group masses, into shared memory: those of all logits, or after a search those above its bucket.
template <typename Row>
TOKENDRAW_DEVICE void load_masses(const Arguments& a, int64_t row) {
  const auto thread = static_cast<int32_t>(platform::thread_index());
  platform::block_barrier();
  if (thread < Row::groups()) Row::shared().group_mass[thread] = a.group_mass[row * kMaxGroups + thread];
  platform::block_barrier();
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kBlockThreads, 2)
    split_masses(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  using Row = gpu::Row<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_y();
  auto& s = Row::shared();
  if (!begin_from_state<Row>(a, row) || !needs_total(s.settings, s.inputs)) return;
  const float max = load_maxima<Row>(a, row);
  if (max == -draw::infinity()) return;
  keep_rule<Row>(max);
  int32_t first = 0;
  int32_t last = 0;
  own_groups(Row::groups(), a.splits, &first, &last);
  uint64_t* group_mass = a.group_mass + row * kMaxGroups;
  if (searches_top_p<Row>(s.inputs) && max != draw::infinity()) {
    clear_histogram<Row>();
    sum_masses<Row, true>(first, last, group_mass);
    add_to_shared_histogram<Row>(a, row);
  } else {
    sum_masses<Row, false>(first, last, group_mass);
  }
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kBlockThreads, 2)
    split_search(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  using Row = gpu::Row<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_y();
  // Most rows do not need this: they are told by the state alone.
  const auto* state = reinterpret_cast<const RowState*>(a.row_state + row * plan::kGpuRowStateBytes);
  if (state->valid == 0 || !searches_top_p<Row>(state->inputs)) return;
  if (!begin_from_state<Row>(a, row)) return;
  const float max = load_maxima<Row>(a, row);
  if (max == -draw::infinity() || max == draw::infinity()) return;
  keep_rule<Row>(max);
  int32_t first = 0;
  int32_t last = 0;
  own_groups(Row::groups(), a.splits, &first, &last);
  search_shared_groups<Row>(a, row, first, last);
}

// One block a row: grid (rows)
template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kBlockThreads, 2)
    split_finish(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  using Row = gpu::Row<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_x();
  auto& s = Row::shared();
  if (!begin_from_state<Row>(a, row)) {
    return write_result(a, row, request::row_without_token(draw::kBadParameter));
  }
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const bool nan = thread < a.splits && a.split_nan[row * plan::kGpuMaxSplits + thread] != 0;
  const uint32_t status = (platform::block_any(nan) ? uint32_t{draw::kNanLogit} : 0u) | list_status<Row>(a, row);
  const float max = load_maxima<Row>(a, row);
  if (max == -draw::infinity()) {
    return write_result(a, row, request::row_without_token(status | draw::kNoCandidate));
  }
  keep_rule<Row>(max);
  const bool searched = searches_top_p<Row>(s.inputs) && max != draw::infinity();
  if (needs_total(s.settings, s.inputs)) {
    load_masses<Row>(a, row);
    if (!searched) {
      keep_total<Row>();
    } else if (thread == 0) {
      s.total = a.search_state[row].total;
    }
    platform::block_barrier();
  }
  const uint64_t cut = searched ? cut_of_shared_search<Row>(a, row) : 0;
  write_result(a, row, result_of<Row>(draw_row<Row>(cut, {}), status));
}

}  // namespace tokendraw::gpu
