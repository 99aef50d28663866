// SPDX-License-Identifier: Apache-2.0
// The kernel for devices with clusters: the blocks of a cluster hold a row in shared memory, so that it is read once,
// and everything after the read works on the chip. One cluster a row.
//
// Blocks meet as seldom as can be. They tell each other the maxima of their groups; each then knows the row's largest
// logit and a threshold that at least k logits reach, and lists what it has above it for block 0, which draws. Without
// a filter they tell each other their masses instead, and the block that has the token writes it. A row that this does
// not serve (too many candidates, a nucleus beyond them) goes on as any other row does (finish_row.h, find_cut.h,
// top_p_search.h), its blocks all together.
#pragma once

#include "gpu/kernels/resident_candidates.h"

namespace tokendraw::gpu {

// What is left to do once the group maxima are known.
enum class Way { kBest, kMasses, kCandidates, kSearch };

template <typename Row>
TOKENDRAW_DEVICE Way way_of(const Settings& settings, const request::RowInputs& in) {
  if (in.params.greedy) return settings.wants_logprob ? Way::kSearch : Way::kBest;
  if (unfiltered(in)) return settings.wants_kept ? Way::kSearch : Way::kMasses;
  return settings.try_candidates ? Way::kCandidates : Way::kSearch;
}

// Tells all blocks the maxima of this block's groups, and whether it saw NaN.
template <typename Row>
TOKENDRAW_DEVICE void tell_maxima(const Arguments& a, bool nan) {
  auto& s = Row::shared();
  const auto cluster_shift = static_cast<uint32_t>(a.cluster_shift);
  const uint32_t rank = platform::cluster_rank();
  const uint32_t thread = platform::thread_index();
  constexpr auto kMaxima = static_cast<uint32_t>(plan::kGpuClusterMaxima);
  const uint32_t each = kMaxima >> cluster_shift;
  const auto groups = static_cast<uint32_t>(Row::groups());
#pragma unroll
  for (uint32_t i = 0; i < kMaxima / Row::kThreads; ++i) {
    const uint32_t place = i * Row::kThreads + thread;
    const uint32_t to_rank = place & ((1u << cluster_shift) - 1);
    const uint32_t slot = place >> cluster_shift;
    const uint32_t group = slot / Row::kMaximaOfGroup;
    *platform::cluster_map(&s.lists.maxima[rank * each + slot], to_rank) =
        group < groups ? s.told[slot % Row::kMaximaOfGroup][group] : -draw::infinity();
  }
  if (nan && thread < platform::cluster_blocks())
    platform::atomic_or(platform::cluster_map(&s.cluster.nan, thread), 1u);
}

// The largest of the maxima. Has a barrier.
template <typename Row>
TOKENDRAW_DEVICE float largest_told() {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  float largest = -draw::infinity();
#pragma unroll
  for (uint32_t i = 0; i < plan::kGpuClusterMaxima / Row::kThreads; ++i) {
    largest = platform::max_number(largest, s.lists.maxima[i * Row::kThreads + platform::thread_index()]);
  }
  const uint32_t of_warp = platform::warp_largest<kWave>(draw::ordered_bits(largest));
  if (lane_index<kWave>() == 0) s.warp_max[warp_index<kWave>()] = of_warp;
  platform::block_barrier();
  uint32_t of_block = 0;
#pragma unroll
  for (int w = 0; w < Row::kWarps; ++w) of_block = s.warp_max[w] > of_block ? s.warp_max[w] : of_block;
  return draw::from_ordered_bits(of_block);
}

// Without a filter. The warp that has the token writes it.
template <typename Row>
TOKENDRAW_DEVICE void draw_by_masses(const Arguments& a, int64_t row, uint32_t status) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const uint32_t thread = platform::thread_index();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const GroupRange range = groups_of_warp<Row>(a.warp_groups);
  const uint64_t own = warp_masses<Row>(range);
  if (lane == 0) s.warp_mass[warp_index<kWave>()] = own;
  platform::block_barrier();
  if (thread < blocks) *platform::cluster_map(&s.cluster.mass[rank], thread) = mass_of_block<Row>();
  platform::cluster_barrier();
  const uint64_t of_block = lane < blocks ? s.cluster.mass[lane] : 0;
  const uint64_t up_to = warp_inclusive_sum<kWave>(of_block);
  const uint64_t total = platform::warp_shuffle<kWave>(up_to, static_cast<uint32_t>(kWave - 1));
  const uint64_t target = draw::draw_target(s.inputs.random, total);
  uint64_t before = platform::warp_shuffle<kWave>(up_to - of_block, rank);
  for (uint32_t w = 0; w < warp_index<kWave>(); ++w) before += s.warp_mass[w];
  if (target < before || target - before >= own) return;
  const Found found = warp_find_by_mass<Row>(range, target - before, [rule](float x) { return rule.finite_weight(x); });
  if (lane != 0) return;
  request::RowResult result;
  result.status = status;
  result.token = found.id;
  result.kept_mass = total;
  if (s.settings.wants_logprob) result.logprob = request::log_probability(s.inputs, found.x, rule.max, total);
  request::write_row_result(a.request, row, result);
}

// The smallest id among the largest logits: one warp of the block that has it.
template <typename Row>
TOKENDRAW_DEVICE void write_best(const Arguments& a, int64_t row, uint32_t status) {
  constexpr int kWave = Row::kWave;
  const auto& s = Row::shared();
  const float max = s.rule.max;
  const uint32_t lane = lane_index<kWave>();
  uint32_t first = ~uint32_t{0};
#pragma unroll
  for (uint32_t i = 0; i < plan::kGpuClusterMaxima / kWave; ++i) {
    const uint32_t place = i * kWave + lane;
    if (s.lists.maxima[place] == max && place < first) first = place;
  }
  first = ~platform::warp_largest<kWave>(~first);
  const uint32_t each_shift = 31 - static_cast<uint32_t>(platform::leading_zeros(plan::kGpuClusterMaxima)) -
                              static_cast<uint32_t>(a.cluster_shift);
  if (first >> each_shift != platform::cluster_rank()) return;
  const uint32_t group = (first & ((1u << each_shift) - 1)) / Row::kMaximaOfGroup;
  const int32_t line = static_cast<int32_t>(group) * s.settings.group_lines;
  const int32_t last = line + s.settings.group_lines;
  const int32_t lines = s.reader.lines();
  const Found best = warp_find_in_lines<Row>(line, last < lines ? last : lines, 0,
                                             [max](float x) { return uint64_t{x == max ? 1u : 0u}; });
  if (lane != 0) return;
  request::RowResult result;
  result.status = status;
  result.token = best.id;
  result.kept = 1;
  result.kept_mass = draw::kWeightOne;
  request::write_row_result(a.request, row, result);
}

// By what works for every row, all blocks together.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_on_chip() {
  auto& s = Row::shared();
  if (needs_total(s.settings, s.inputs)) {
    sum_masses<Row, false>(0, Row::groups(), s.group_mass);
    platform::block_barrier();
    keep_total<Row>();
  }
  return draw_row<Row>();
}

// The same for a nucleus that is not among the candidates.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_nucleus() {
  Drawn drawn;
  add_up_histogram<Row>();
  search_top_p<Row>(&drawn);
  return drawn;
}

// Begins a row: its parameters, its reader, its logits on their way, and when they are there its group maxima. False if
// it has no logits; with bad parameters s.valid is 0. *nan: a logit of this block is NaN. Ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE bool read_resident(const Arguments& a, int64_t row, bool* nan) {
  using Source = typename Row::Source;
  using Reader = typename Row::Reader;
  constexpr int32_t kLinesEach = Source::kLine / Reader::kLine;  // of the reader in one of the source
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const void* logits = request::logits_of_row(a.request, row);
  if (logits == nullptr) return false;
  Source source(logits, a.request.vocab, true);
  if constexpr (Source::kIsEdited) {
    if (thread == 0) {
      s.valid = read_inputs(a, row, &s.inputs) ? 1 : 0;
      s.random_valid = s.valid;
      if (s.valid != 0) {
        source.edit_by(a, row, s.inputs);
        s.source = source;
      }
    }
    platform::block_barrier();
    if (s.valid == 0) return true;
    source = s.source;
  }
  const LineRange block = lines_of_block<Row>(source, a.block_lines);
  const int32_t lines = (block.last - block.first) * kLinesEach;
  const int32_t group_lines = a.group_lines;
  const int32_t groups = (lines + group_lines - 1) >> Row::shift_of(group_lines);
  const GroupRange range = groups_of_warp<Row>(a.warp_groups, groups, warp_index<Row::kWave>());
  bool own_nan = false;
  if constexpr (Source::kIsEdited) {
    own_nan = load_edited<Row>(source, block);
  } else {
    const int32_t first = range.first * group_lines;
    const int32_t last = range.last * group_lines < lines ? range.last * group_lines : lines;
    begin_lines<Row>(source, block, first < last ? first : last, last);
    if (thread == Row::kThreads - Row::kWave) s.valid = read_params(a, row, &s.inputs) ? 1 : 0;
    if (thread == Row::kThreads - 2 * Row::kWave) s.random_valid = read_random(a, row, &s.inputs) ? 1 : 0;
  }
  if (thread == 0) {
    s.settings = {group_lines, a.try_candidates, a.wants_logprob, a.request.kept != nullptr};
    s.reader = Reader(source.id_at(block.first * Source::kLine), lines, a.request.vocab);
  }
  if constexpr (Source::kIsEdited) {
    platform::block_barrier();
  } else {
    platform::warp_barrier<Row::kWave>();
    platform::finish_copy(&s.copied[warp_index<Row::kWave>()]);
  }
  if (lines > 0) own_nan |= resident_maxima<Row>(range, group_lines, lines);
  *nan = platform::block_any(own_nan);
  return true;
}

template <typename Row>
TOKENDRAW_DEVICE void sample_on_chip(const Arguments& a) {
  auto& s = Row::shared();
  const uint32_t rank = platform::cluster_rank();
  const int64_t row = platform::block_x() >> a.cluster_shift;
  const auto write_by_first = [&](const request::RowResult& result) {
    if (rank == 0) write_result(a, row, result);
  };
  Row::Team::prepare();
  if (platform::thread_index() == 0) s.cluster.nan = 0;
  clear_near<Row>();
  platform::cluster_arrive();
  platform::wait_for_earlier_kernels();
  platform::let_next_kernel_begin();
  bool nan = false;
  const bool readable = read_resident<Row>(a, row, &nan);
  platform::cluster_wait();  // all blocks have begun
  if (!readable || s.valid == 0 || s.random_valid == 0) {
    return write_by_first(request::row_without_token(draw::kBadParameter));
  }
  tell_maxima<Row>(a, nan);
  const Way way = way_of<Row>(s.settings, s.inputs);
  const uint32_t of_lists = list_status<Row>(a, row);
  platform::cluster_barrier();
  const uint32_t status = of_lists | (s.cluster.nan != 0 ? uint32_t{draw::kNanLogit} : 0u);
  const float max = largest_told<Row>();
  if (max == -draw::infinity()) return write_by_first(request::row_without_token(status | draw::kNoCandidate));
  if (platform::thread_index() == 0) {
    s.rule = weight_rule(s.inputs, max);
    s.listed = 0;
    s.listed_mass = 0;
  }
  platform::block_barrier();
  if (way == Way::kBest) {
    if (warp_index<Row::kWave>() == 0) write_best<Row>(a, row, status);
    return;
  }
  if (way == Way::kMasses && max != draw::infinity()) return draw_by_masses<Row>(a, row, status);
  bool nucleus = false;
  if (way == Way::kCandidates && max != draw::infinity()) {
    if (try_candidates<Row>(a, row, status)) return;
    nucleus = candidate_rule(s.inputs).must_check;
  }
  const Drawn drawn = nucleus ? draw_nucleus<Row>() : draw_on_chip<Row>();
  write_by_first(result_of<Row>(drawn, status));
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(plan::kGpuClusterThreads, plan::kGpuClusterBlocksAtOnce)
    sample_resident(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  if constexpr (platform::kHasClusters) sample_on_chip<ResidentRow<kDtype, kEdited, kWave>>(a);
}

}  // namespace tokendraw::gpu
