// SPDX-License-Identifier: Apache-2.0
// The token of a row that a cluster holds by its candidates: the logits at or above a threshold that all blocks know.
// Each block lists its own; block 0 collects the lists and draws.
#pragma once

#include "gpu/kernels/row_request.h"
#include "gpu/kernels/top_p_search.h"
#include "gpu/kernels/warp_find.h"

namespace tokendraw::gpu {

// Ranks of the threshold for a nucleus: of the real rows shipped for tests, two in five need no more, and more do not
// fit into the short list, for their largest logits lie close together.
inline constexpr int32_t kNucleusCandidates = 32;

// How candidates are found.
struct CandidateRule {
  bool by_k;        // at least this many reach the threshold
  bool by_m;        // those that min_p keeps do
  bool must_check;  // whether the cut is among them, by their mass
};

TOKENDRAW_DEVICE CandidateRule candidate_rule(const request::RowInputs& in) {
  const bool base_needs_k = in.params.top_p_on && in.params.base == draw::TopPBase::kAfterTopK && top_k_on(in);
  const bool by_m = min_p_on(in) && !base_needs_k;
  const bool by_nucleus = !top_k_on(in) && !by_m;
  return {top_k_on(in) || by_nucleus, by_m, by_nucleus};
}

// At or above what a row's logits are candidates.
template <typename Row>
TOKENDRAW_DEVICE float candidate_threshold(const CandidateRule& candidates) {
  const auto& s = Row::shared();
  const WeightRule rule = s.rule;
  float threshold = draw::from_ordered_bits(draw::ordered_bits(-draw::infinity()) + 1);
  if (candidates.by_k) {
    const int32_t k = candidates.must_check ? kNucleusCandidates : s.inputs.params.top_k;
    threshold =
        threshold_of<Row, plan::kGpuClusterMaxima>(rule.max, plan::kGpuClusterMaxima, static_cast<uint32_t>(k),
                                                   [](uint32_t, uint32_t i) { return Row::shared().lists.maxima[i]; });
  }
  if (candidates.by_m) {
    const float least = rule.bound_of_weight(s.inputs.params.min_weight);  // NaN or -inf: no bound
    threshold = platform::max_number(threshold, least);
  }
  return threshold;
}

// Lists this warp's logits at or above the threshold, for block 0. kFew: into the short list, and adds up what they
// weigh.
template <typename Row, bool kFew>
TOKENDRAW_DEVICE void list_candidates(GroupRange range, float threshold) {
  constexpr uint32_t kRoom = kFew ? kFewCandidates : kBlockCandidates;
  constexpr int kWidth = Row::Reader::kWidth;
  auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const WeightRule rule = s.rule;
  const int32_t group_lines = s.settings.group_lines;
  const int32_t own = range.first + static_cast<int32_t>(lane_index<Row::kWave>());
  uint64_t hits = platform::warp_ballot<Row::kWave>(own < range.last && s.group_max[own] >= threshold);
  while (hits != 0) {
    const int32_t group = range.first + platform::first_bit(hits);
    hits &= hits - 1;
    for (int32_t line = group * group_lines; line < (group + 1) * group_lines && line < reader.lines(); ++line) {
      float x[kWidth];
      bool nan = false;
      reader.convert(reader.fetch_inside(line), line, x, nan);
      uint32_t found = 0;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) found |= x[i] >= threshold ? uint32_t{1} << i : 0;
      if (found == 0) continue;
      uint32_t place = platform::atomic_add(&s.listed, static_cast<uint32_t>(platform::count_bits(found)));
      const int32_t id = reader.first_id(line);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if ((found >> i & 1u) == 0) continue;
        const float effective = draw::add_rn(x[i], 0.0f);
        const uint64_t key = draw::rank_key(effective, static_cast<uint32_t>(id + i));
        if (place < kRoom) (kFew ? s.few : s.lists.candidates)[place] = key;
        if constexpr (kFew) platform::atomic_add(&s.listed_mass, rule.finite_weight(effective));
        ++place;
      }
    }
  }
}

// The candidates of all blocks into this block's list. Ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void collect_candidates(uint32_t n, bool few) {
  auto& s = Row::shared();
  for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) {
    uint32_t rank = 0;
    uint32_t begin = 0;
    uint32_t end = s.cluster.listed[0];
    while (i >= end) {
      begin = end;
      end += s.cluster.listed[++rank];
    }
    s.keys[i] = platform::cluster_map(few ? &s.few[0] : &s.lists.candidates[0], rank)[i - begin];
  }
  platform::block_barrier();
}

// The mass of the block, from those of its warps; all warps have theirs.
template <typename Row>
TOKENDRAW_DEVICE uint64_t mass_of_block() {
  uint64_t mass = 0;
#pragma unroll
  for (int w = 0; w < Row::kWarps; ++w) mass += Row::shared().warp_mass[w];
  return mass;
}

// By candidates, of a row whose largest logit is finite. False if they do not decide, in all blocks alike; where they
// had to be checked, the total is known then, the group masses, and each block's histogram.
template <typename Row>
TOKENDRAW_DEVICE bool try_candidates(const Arguments& a, int64_t row, uint32_t status) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const CandidateRule rule = candidate_rule(s.inputs);
  const bool total_needed = needs_total(s.settings, s.inputs);
  const GroupRange range = groups_of_warp<Row>(a.warp_groups);
  const float threshold = candidate_threshold<Row>(rule);
  platform::block_barrier();  // the maxima have been used
  uint64_t mass = 0;          // of the block
  if (rule.must_check) {
    list_candidates<Row, true>(range, threshold);
    clear_histogram<Row>();
    sum_masses<Row, true>(0, Row::groups(), s.group_mass);
    platform::block_barrier();
    mass = Row::BlockOf::sum(Row::mass_of_own_group());
  } else {
    list_candidates<Row, false>(range, threshold);
    if (total_needed) {
      const uint64_t of_warp = warp_masses<Row>(range);
      if (lane == 0) s.warp_mass[warp_index<kWave>()] = of_warp;
    }
    platform::block_barrier();
    if (total_needed) mass = mass_of_block<Row>();
  }
  if (thread < blocks) {
    *platform::cluster_map(&s.cluster.listed[rank], thread) = s.listed;
    *platform::cluster_map(&s.cluster.mass[rank], thread) = mass;
    if (rule.must_check) *platform::cluster_map(&s.cluster.listed_mass[rank], thread) = s.listed_mass;
  }
  platform::cluster_barrier();
  // Every warp looks for itself.
  const uint32_t listed = lane < blocks ? s.cluster.listed[lane] : 0;
  const uint32_t n = platform::warp_add<kWave>(listed);
  const uint32_t room = rule.must_check ? kFewCandidates : kBlockCandidates;
  bool decides = platform::warp_largest<kWave>(listed) <= room && n <= kBlockCandidates && n <= Row::kListCapacity;
  if (total_needed) {
    const uint64_t total = warp_sum<kWave>(lane < blocks ? s.cluster.mass[lane] : 0);
    if (thread == 0) s.total = total;
    if (rule.must_check) {
      const uint64_t listed_mass = warp_sum<kWave>(lane < blocks ? s.cluster.listed_mass[lane] : 0);
      decides = decides && listed_mass >= draw::top_p_need(total, s.inputs.params.top_p);
    }
  }
  if (!decides) return false;
  if (rank == 0) collect_candidates<Row>(n, rule.must_check);
  platform::cluster_arrive();
  if (rank == 0) {
    const uint32_t size = n > kPairwise && rule.by_k && !rule.must_check ? keep_top_k<Row>(n) : n;
    const Drawn drawn = size <= kPairwise ? draw_from_pairs<Row>(size) : draw_from_sorted<Row>(size);
    write_result(a, row, result_of<Row>(drawn, status));
  }
  platform::cluster_wait();  // what block 0 collects from is there until it has it
  return true;
}

}  // namespace tokendraw::gpu
