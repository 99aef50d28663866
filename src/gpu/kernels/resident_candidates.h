// SPDX-License-Identifier: Apache-2.0
// The token of a row that a cluster holds by its candidates: the logits at or above a threshold that all blocks know.
// Each block lists its own and sends them to block 0, which draws.
#pragma once

#include "gpu/kernels/resident_draw.h"
#include "gpu/kernels/warp_find.h"

namespace tokendraw::gpu {

// How candidates are found, all of it known before the maxima.
struct CandidateRule {
  bool by_k;       // the top k are among them
  bool by_m;       // those that min_p keeps are
  float distance;  // below the largest logit, of those that min_p keeps; NaN or inf: no bound
};

TOKENDRAW_DEVICE CandidateRule candidate_rule(const request::RowInputs& in) {
  const bool base_needs_k = in.params.top_p_on && in.params.base == draw::TopPBase::kAfterTopK && top_k_on(in);
  const bool by_m = min_p_on(in) && !base_needs_k;
  const float distance = by_m ? WeightRule::distance_of_weight(in.params.min_weight, in.params.scale) : 0.0f;
  return {top_k_on(in), by_m, distance};
}

// At or above what a row's logits are candidates. May have a barrier.
template <typename Row>
TOKENDRAW_DEVICE float candidate_threshold(const CandidateRule& candidates, float max, const ToldMaxima& maxima) {
  const auto wanted = static_cast<uint32_t>(Row::shared().inputs.params.top_k);
  float threshold = -draw::kLargestFinite;
  if (candidates.by_k) threshold = threshold_of_told<Row>(maxima, max, wanted);
  if (candidates.by_m) threshold = platform::max_number(threshold, draw::sub_rn(max, candidates.distance));
  return threshold;
}

// Which of a lane's logits in a few lines reach a threshold, a bit for each: lines first, first + kWarps, ...
template <typename Row>
TOKENDRAW_DEVICE uint32_t find_in_few_lines(int32_t first, float threshold) {
  constexpr int kWidth = Row::Reader::kWidth;
  const typename Row::Reader reader = Row::shared().reader;
  uint32_t found = 0;
#pragma unroll
  for (int32_t i = 0; i < 32 / kWidth; ++i) {
    const int32_t line = first + i * Row::kWarps;
    const bool exists = line < reader.lines();
    float x[kWidth];
    bool nan = false;
    reader.convert(reader.fetch_inside(exists ? line : first), line, x, nan);
#pragma unroll
    for (int e = 0; e < kWidth; ++e) found |= exists && x[e] >= threshold ? 1u << (i * kWidth + e) : 0;
  }
  return found;
}

// Finds a block's logits at or above the threshold: first = reserve(n) gives the place of the first of n more,
// put(place, x, id) is called for each of them whose place is below kAllCandidates. A row's largest logits often lie
// close together, in one block; so its warps take its lines in turn, and of many lines all are looked at before a place
// is asked for.
template <typename Row, typename Reserve, typename Put>
TOKENDRAW_DEVICE void visit_candidates(float threshold, const Reserve& reserve, const Put& put) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  constexpr int32_t kFew = 32 / kWidth;  // lines that are looked at together, twice for one place
  static_assert(2 * kFew <= kWave);
  const auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const int32_t group_shift = Row::shift_of(s.settings.group_lines);
  const auto lane = static_cast<int32_t>(lane_index<kWave>());
  for (auto first = static_cast<int32_t>(warp_index<kWave>()); first < reader.lines();
       first += 2 * kFew * Row::kWarps) {
    const int32_t own_line = first + lane * Row::kWarps;
    const uint64_t lines = platform::warp_ballot<kWave>(lane < 2 * kFew && own_line < reader.lines() &&
                                                        s.group_max[own_line >> group_shift] >= threshold);
    if (lines == 0) continue;
    uint32_t found[2] = {0, 0};
    if ((lines & ((1u << kFew) - 1)) != 0) found[0] = find_in_few_lines<Row>(first, threshold);
    if (lines >> kFew != 0) found[1] = find_in_few_lines<Row>(first + kFew * Row::kWarps, threshold);
    const auto own = static_cast<uint32_t>(platform::count_bits(found[0] | static_cast<uint64_t>(found[1]) << 32));
    uint32_t up_to = own;
#pragma unroll
    for (uint32_t by = 1; by < kWave; by *= 2) {
      const uint32_t before = platform::warp_shuffle_up<kWave>(up_to, by);
      if (lane_index<kWave>() >= by) up_to += before;
    }
    uint32_t place = reserve(platform::warp_shuffle<kWave>(up_to, static_cast<uint32_t>(kWave - 1))) + up_to - own;
    while ((found[0] | found[1]) != 0 && place < kAllCandidates) {
      const bool lower = found[0] != 0;
      const uint32_t word = lower ? found[0] : found[1];
      const int32_t bit = 31 - platform::leading_zeros(word & (0u - word));
      if (lower) found[0] &= found[0] - 1;
      if (!lower) found[1] &= found[1] - 1;
      const int32_t line = first + (bit / kWidth + (lower ? 0 : kFew)) * Row::kWarps;
      const int32_t id = reader.first_id(line) + bit % kWidth;
      put(place++, reader.load_one(id), id);
    }
  }
}

// Sends a warp's candidates to block 0. The block's last warp announces what all of them have sent, and `more_bytes`.
template <typename Row>
TOKENDRAW_DEVICE void send_candidates(float threshold, uint32_t more_bytes) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const uint32_t lane = lane_index<kWave>();
  uint32_t bytes = 0;
  visit_candidates<Row>(
      threshold,
      [&](uint32_t n) {
        uint32_t first = 0;
        if (lane == 0) first = platform::atomic_add(platform::cluster_map(&s.cluster.candidates, 0u), n);
        first = platform::warp_shuffle<kWave>(first, 0u);
        const uint32_t room = first < kAllCandidates ? kAllCandidates - first : 0;
        bytes += (n < room ? n : room) * static_cast<uint32_t>(sizeof(uint64_t));
        return first;
      },
      [&](uint32_t place, float x, int32_t id) {
        const uint64_t key = draw::rank_key(x, static_cast<uint32_t>(id));
        platform::send(s.lists.candidates, place, key, &s.cluster.candidates_inbox, 0);
      });
  if (lane != 0) return;
  constexpr uint32_t kOneWarp = 1u << 24;
  const uint32_t before = platform::atomic_add(&s.sent, kOneWarp + bytes);
  if (before / kOneWarp == Row::kWarps - 1) {
    platform::announce(&s.cluster.candidates_inbox, 0, before % kOneWarp + bytes + more_bytes);
  }
}

// By candidates that are above the threshold for sure. 0 if they decide, else how many they are: in all blocks alike.
template <typename Row>
TOKENDRAW_DEVICE uint64_t try_sure_candidates(const Arguments& a, int64_t row, uint32_t status, const WeightRule& rule,
                                              float threshold, bool by_k) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t lane = lane_index<kWave>();
  const uint32_t blocks = platform::cluster_blocks();
  const uint32_t rank = platform::cluster_rank();
  const bool total_needed = needs_total(s.settings, s.inputs);
  send_candidates<Row>(threshold, total_needed ? sizeof(uint64_t) : 0);
  if (total_needed) {
    const uint64_t of_warp = warp_masses<Row>(rule, AllLogits{}, groups_of_warp<Row>(a.warp_groups));
    if (lane == 0) s.warp_mass[warp_index<kWave>()] = of_warp;
    platform::block_barrier();
    if (thread == 0) platform::send(s.cluster.mass, rank, mass_of_block<Row>(), &s.cluster.candidates_inbox, 0);
  }
  if (rank != 0) {
    platform::wait_for_inbox<kWave>(&s.cluster.decides_inbox);
    return s.cluster.undecided;
  }
  platform::wait_for_inbox<kWave>(&s.cluster.candidates_inbox);
  const uint32_t n = s.cluster.candidates;
  const bool decides = n <= kAllCandidates && n <= list_limit<Row>();
  if (thread > 0 && thread < blocks) {
    platform::send(&s.cluster.undecided, 0, uint64_t{decides ? 0u : n}, &s.cluster.decides_inbox, thread);
  }
  if (!decides) return n;
  if (total_needed) {
    if (warp_index<kWave>() == 0) {
      const uint64_t total = warp_sum<kWave>(lane < blocks ? s.cluster.mass[lane] : 0);
      if (lane == 0) s.total = total;
    }
    platform::block_barrier();
  }
  draw_from_all_candidates<Row>(a, row, status, rule, n, by_k);
  return 0;
}

}  // namespace tokendraw::gpu
