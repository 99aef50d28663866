// SPDX-License-Identifier: Apache-2.0
// The kernel for devices with clusters: the blocks of a cluster hold a row in shared memory, so that it is read once,
// and everything after the read works on the chip. One cluster a row.
//
// Blocks meet as seldom as can be. They tell each other the maxima of their groups; each then knows the row's largest
// logit and a threshold that at least k logits reach, and sends what it has above it to block 0, which draws. Without a
// filter they tell each other their masses instead, and the block that has the token writes it; so too with top_p
// alone, whose cut all of them find (resident_nucleus.h). A row that this does not serve (too many candidates) goes on
// as any other row does (finish_row.h, find_cut.h), its blocks all together.
#pragma once

#include "gpu/kernels/resident_candidates.h"
#include "gpu/kernels/resident_nucleus_draw.h"

namespace tokendraw::gpu {

// What is left to do once the group maxima are known.
enum class Way { kBest, kMasses, kNucleus, kCandidates, kSearch };

template <typename Row>
TOKENDRAW_DEVICE Way way_of(const Settings& settings, const request::RowInputs& in) {
  if (in.params.greedy) return settings.wants_logprob ? Way::kSearch : Way::kBest;
  if (unfiltered(in)) return settings.wants_kept ? Way::kSearch : Way::kMasses;
  if (!settings.try_candidates) return Way::kSearch;
  return top_k_on(in) || min_p_on(in) ? Way::kCandidates : Way::kNucleus;
}

// From all logits that count. The warp that has the token writes it.
template <typename Row, typename Which>
TOKENDRAW_DEVICE void draw_by_masses(const Arguments& a, int64_t row, uint32_t status, const WeightRule& rule,
                                     const Which& which) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const GroupRange range = groups_of_warp<Row>(a.warp_groups);
  const uint64_t own = warp_masses<Row>(rule, which, range);
  if (lane == 0) s.warp_mass[warp_index<kWave>()] = own;
  platform::block_barrier();
  if (thread < blocks) {
    platform::send(s.cluster.mass, rank, mass_of_block<Row>(), &s.cluster.mass_inbox, thread);
  }
  platform::wait_for_inbox<kWave>(&s.cluster.mass_inbox);
  const uint64_t of_block = lane < blocks ? s.cluster.mass[lane] : 0;
  const uint64_t up_to = warp_inclusive_sum<kWave>(of_block);
  const uint64_t total = platform::warp_shuffle<kWave>(up_to, static_cast<uint32_t>(kWave - 1));
  const uint64_t target = draw::draw_target(s.inputs.random, total);
  uint64_t before = platform::warp_shuffle<kWave>(up_to - of_block, rank);
  for (uint32_t w = 0; w < warp_index<kWave>(); ++w) before += s.warp_mass[w];
  if (target < before || target - before >= own) return;
  const Found found = warp_find_by_mass<Row>(
      range, target - before, [rule, which](float x) { return which.counts(x) ? rule.finite_weight(x) : 0; });
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
TOKENDRAW_DEVICE void write_best(const Arguments& a, int64_t row, uint32_t status, float max) {
  constexpr int kWave = Row::kWave;
  const auto& s = Row::shared();
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
TOKENDRAW_DEVICE_CALL Drawn draw_on_chip(SearchStart start) {
  auto& s = Row::shared();
  if (needs_total(s.settings, s.inputs)) {
    sum_masses<Row, false>(0, Row::groups(), s.group_mass);
    platform::block_barrier();
    keep_total<Row>();
  }
  return draw_row<Row>(0, start);
}

// By that, and the result written.
template <typename Row>
TOKENDRAW_DEVICE void finish_on_chip(const Arguments& a, int64_t row, uint32_t status, SearchStart start) {
  platform::block_barrier();
  const request::RowResult result = result_of<Row>(draw_on_chip<Row>(start), status);
  if (platform::cluster_rank() == 0) write_result(a, row, result);
}

// With top_p alone. By a call after which nothing is left to do, so that other rows need not make room for its
// registers.
template <typename Row>
TOKENDRAW_DEVICE_CALL void finish_nucleus(const Arguments& a, int64_t row, uint32_t status, WeightRule rule,
                                          ToldMaxima maxima) {
  if (!draw_nucleus<Row>(a, row, status, rule, maxima)) finish_on_chip<Row>(a, row, status, {});
}

// Whether min_p alone decides, and nothing is asked for but the token and what is kept weighs.
TOKENDRAW_DEVICE bool only_min_p(const Settings& settings, const request::RowInputs& in) {
  return min_p_on(in) && !top_k_on(in) && !in.params.top_p_on && !settings.wants_kept && !settings.wants_logprob;
}

// Of such a row, where min_p keeps too many for candidates. A call for the same reason.
template <typename Row>
TOKENDRAW_DEVICE_CALL void finish_flat(const Arguments& a, int64_t row, uint32_t status, WeightRule rule) {
  const LogitsFrom which = {smallest_weighing<Row>(rule, Row::shared().inputs.params.min_weight)};
  draw_by_masses<Row>(a, row, status, rule, which);
}

// Where a warp's part of a row is.
template <typename Row>
struct WarpPart {
  typename Row::Source source;
  LineRange block;
  int32_t lines;  // of the block, in the reader's
  GroupRange range;
};

template <typename Row>
TOKENDRAW_DEVICE WarpPart<Row> part_of_warp(const Arguments& a, const void* logits) {
  using Source = typename Row::Source;
  constexpr int32_t kLinesEach = Source::kLine / Row::Reader::kLine;  // of the reader in one of the source
  const Source source(logits, a.request.vocab, true);
  const LineRange block = lines_of_block<Row>(source, a.block_lines);
  const int32_t lines = (block.last - block.first) * kLinesEach;
  const int32_t groups = (lines + a.group_lines - 1) >> Row::shift_of(a.group_lines);
  return {source, block, lines, groups_of_warp<Row>(a.warp_groups, groups, warp_index<Row::kWave>())};
}

// Of a block's lines those of a warp's groups.
template <typename Row>
TOKENDRAW_DEVICE LineRange lines_of_warp(const Arguments& a, int32_t lines, uint32_t warp) {
  const int32_t each = a.warp_groups * a.group_lines;
  const int32_t first = each * static_cast<int32_t>(warp);
  return {first < lines ? first : lines, first + each < lines ? first + each : lines};
}

// Begins a row: its logits on their way, its parameters, its reader. False if it has none; with bad parameters of
// another sort s.valid is 0. *nan: a logit of this thread is NaN, where that is seen this early.
template <typename Row>
TOKENDRAW_DEVICE bool begin_row(const Arguments& a, int64_t row, const WarpPart<Row>& part, bool* nan) {
  using Source = typename Row::Source;
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  if constexpr (Source::kIsEdited) {
    if (thread == 0) {
      s.valid = read_inputs(a, row, &s.inputs) ? 1 : 0;
      s.random_valid = s.valid;
      if (s.valid != 0) {
        s.source = part.source;
        s.source.edit_by(a, row, s.inputs);
      }
    }
    platform::block_barrier();
    if (s.valid == 0) return false;
    *nan = load_edited<Row>(s.source, part.block);
  } else {
    // Two warps read the parameters, which takes as long as the logits; others begin their copies. Not by a call: it
    // would fetch the request's pointers from memory too, each before the value that it points to.
    const uint32_t warp = warp_index<Row::kWave>();
    if (lane_index<Row::kWave>() == 0) {
      if (warp == Row::kWarps - 1) {
        const draw::RawRowParams params = request::raw_row_params(a.request, row);
        s.valid = request::use_row_params(a.request, row, params, &s.inputs) ? 1 : 0;
      } else if (warp == Row::kWarps - 2) {
        const request::RawRowRandom random = request::raw_row_random(a.request, row);
        s.random_valid = request::use_row_random(a.request, random, &s.inputs) ? 1 : 0;
      } else {
        for (uint32_t w = warp; w < Row::kWarps; w += Row::kCopyWarps) {
          const LineRange lines = lines_of_warp<Row>(a, part.lines, w);
          begin_lines<Row>(part.source, part.block, lines.first, lines.last, w);
        }
      }
    }
    platform::warp_barrier<Row::kWave>();
    const LineRange own = lines_of_warp<Row>(a, part.lines, warp);
    load_other_lines<Row>(part.source, part.block, own.first, own.last);
  }
  if (thread == 0) {
    s.settings = {a.group_lines, a.try_candidates, a.wants_logprob, a.request.kept != nullptr,
                  a.request.kept_mass != nullptr};
    s.reader = typename Row::Reader(part.source.id_at(part.block.first * Source::kLine), part.lines, a.request.vocab);
  }
  return true;
}

// Waits for the logits; the warp's group maxima. Ends with a barrier. The result is whether one of the block's logits
// is NaN.
template <typename Row>
TOKENDRAW_DEVICE bool finish_read(const Arguments& a, const WarpPart<Row>& part, bool nan) {
  auto& s = Row::shared();
  if constexpr (Row::Source::kIsEdited) {
    platform::block_barrier();
  } else {
    platform::warp_barrier<Row::kWave>();
    platform::finish_copy(&s.copied[warp_index<Row::kWave>()]);
  }
  if (part.lines > 0) nan |= resident_maxima<Row>(part.range, a.group_lines, part.lines);
  return platform::block_any(nan);
}

template <typename Row>
TOKENDRAW_DEVICE void sample_on_chip(const Arguments& a) {
  auto& s = Row::shared();
  const uint32_t rank = platform::cluster_rank();
  const int64_t row = platform::block_x() >> a.cluster_shift;
  const auto write_by_first = [&](const request::RowResult& result) {
    if (rank == 0) write_result(a, row, result);
  };
  // All that needs nothing of earlier kernels comes before the wait for them.
  Row::Team::prepare();
  prepare_exchange<Row>();
  platform::cluster_arrive();
  platform::read_early(a);
  const bool by_index = a.request.row_index != nullptr;
  const void* logits = by_index ? nullptr : request::logits_of_row(a.request, row);
  WarpPart<Row> part = part_of_warp<Row>(a, logits);
  platform::wait_for_earlier_kernels();
  if (by_index) {
    logits = request::logits_of_row(a.request, row);
    part = part_of_warp<Row>(a, logits);
  }
  bool nan = false;
  const bool readable = logits != nullptr && begin_row<Row>(a, row, part, &nan);
  platform::let_next_kernel_begin();
  platform::cluster_wait();  // all blocks have begun
  if (!readable) return write_by_first(request::row_without_token(draw::kBadParameter));
  tell_maxima<Row>(a, finish_read<Row>(a, part, nan));
  // What follows from the parameters alone, while messages are on their way.
  const bool valid = s.valid != 0 && s.random_valid != 0;
  const uint32_t of_lists = valid ? list_status<Row>(a, row) : 0;
  const Way way = way_of<Row>(s.settings, s.inputs);
  const CandidateRule candidates = candidate_rule(s.inputs);
  const float scale = request::logprob_scale(s.inputs.params);
  platform::wait_for_inbox<Row::kWave>(&s.cluster.maxima_inbox);  // which others write to, so also of a bad row
  if (!valid) return write_by_first(request::row_without_token(draw::kBadParameter));
  const uint32_t status = of_lists | (s.cluster.nan != 0 ? uint32_t{draw::kNanLogit} : 0u);
  const ToldMaxima maxima = told_maxima<Row>();
  const float max = largest_told<Row>(maxima);
  if (max == -draw::infinity()) return write_by_first(request::row_without_token(status | draw::kNoCandidate));
  if (way == Way::kBest) {
    if (warp_index<Row::kWave>() == 0) write_best<Row>(a, row, status, max);
    return;
  }
  const WeightRule rule = {max, scale};
  if (platform::thread_index() == 0) s.rule = rule;
  if (way == Way::kMasses && max != draw::infinity()) return draw_by_masses<Row>(a, row, status, rule, AllLogits{});
  if (way == Way::kNucleus && max != draw::infinity()) return finish_nucleus<Row>(a, row, status, rule, maxima);
  SearchStart start;
  if (way == Way::kCandidates && max != draw::infinity()) {
    if (platform::thread_index() < kNearBuckets) s.lists.ranked.near[platform::thread_index()] = 0;
    const float least = candidate_threshold<Row>(candidates, max, maxima);
    const uint64_t left = try_sure_candidates<Row>(a, row, status, rule, least, candidates.by_k);
    if (left == 0) return;
    start = {least, left <= list_limit<Row>()};
    if (only_min_p(s.settings, s.inputs)) return finish_flat<Row>(a, row, status, rule);
  }
  finish_on_chip<Row>(a, row, status, start);
}

template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(plan::kGpuClusterThreads, plan::kGpuClusterBlocksAtOnce)
    sample_resident(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  if constexpr (platform::kHasClusters) sample_on_chip<ResidentRow<kDtype, kEdited, kWave>>(a);
}

}  // namespace tokendraw::gpu
