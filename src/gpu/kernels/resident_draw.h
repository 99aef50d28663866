// SPDX-License-Identifier: Apache-2.0
// Block 0's part of a draw from candidates: few of them, all of which it has.
#pragma once

#include "gpu/kernels/finish_row.h"
#include "gpu/kernels/resident_exchange.h"
#include "gpu/kernels/row_request.h"

namespace tokendraw::gpu {

// Leaves out of block 0's n candidates what cannot be among the top k; returns how many are left. Has barriers.
template <typename Row>
TOKENDRAW_DEVICE uint32_t keep_top_candidates(const WeightRule& rule, uint32_t n) {
  constexpr int kWave = Row::kWave;
  constexpr uint32_t kEach = kAllCandidates / Row::kThreads;
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  uint64_t keys[kEach];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t place = i * Row::kThreads + thread;
    keys[i] = place < n ? s.lists.candidates[place] : 0;
    if (place < n) count_near(s.lists.ranked.near, rule.max, draw::rank_key_logit(keys[i]));
  }
  platform::block_barrier();
  const float threshold =
      threshold_of_counts<Row>(s.lists.ranked.near, rule.max, static_cast<uint32_t>(s.inputs.params.top_k));
  const uint64_t least = draw::rank_key(threshold, ~uint32_t{0});
  uint64_t stays[kEach];  // of all lanes
  uint32_t of_warp = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    stays[i] = platform::warp_ballot<kWave>(keys[i] >= least && keys[i] != 0);
    of_warp += static_cast<uint32_t>(platform::count_bits(stays[i]));
  }
  const uint32_t lane = lane_index<kWave>();
  uint32_t place = 0;
  if (lane == 0 && of_warp > 0) place = platform::atomic_add(&s.hits, of_warp);
  place = platform::warp_shuffle<kWave>(place, 0u);
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint64_t before = stays[i] & ((uint64_t{1} << lane) - 1);
    if ((stays[i] >> lane & 1u) != 0) {
      s.lists.candidates[place + static_cast<uint32_t>(platform::count_bits(before))] = keys[i];
    }
    place += static_cast<uint32_t>(platform::count_bits(stays[i]));
  }
  platform::block_barrier();
  const uint32_t left = s.hits;
  if (thread >= left && thread < kRankedAtOnce) s.lists.candidates[thread] = 0;
  platform::block_barrier();
  return left;
}

// Puts n candidates in both orders, by comparing all with all: their weights by rank, and for each place in the order
// of ids which one it is. A few threads for each. Those up to kRankedAtOnce that do not exist are 0. Has a barrier.
template <typename Row>
TOKENDRAW_DEVICE void rank_candidates(const WeightRule& rule, uint32_t n) {
  constexpr uint32_t kAtOnce = 4;
  static_assert(Row::kThreads == 2 * kRankedAtOnce);
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t parts_shift = n <= kRankedAtOnce / 2 ? 2 : 1;
  const uint32_t parts = 1u << parts_shift;  // threads of one key; neighbours in a warp
  const uint32_t own = thread >> parts_shift;
  const uint32_t part = thread & (parts - 1);
  const uint64_t key = s.lists.candidates[own];
  const auto* pairs = reinterpret_cast<const platform::Words16*>(s.lists.candidates);
  uint32_t before = 0;  // how many come before it: by rank, and in the upper half by id
  for (uint32_t begin = part; 2 * begin < n; begin += kAtOnce * parts) {
#pragma unroll
    for (uint32_t i = 0; i < kAtOnce; ++i) {
      const platform::Words16 words = pairs[begin + i * parts];
#pragma unroll
      for (uint32_t j = 0; j < 2; ++j) {
        const uint64_t other = words.word[2 * j] | static_cast<uint64_t>(words.word[2 * j + 1]) << 32;
        before += other > key ? 1 : 0;
        before += words.word[2 * j] > static_cast<uint32_t>(key) ? 1u << 16 : 0;
      }
    }
  }
  before += platform::warp_shuffle_xor<Row::kWave>(before, 1u);
  if (parts > 2) before += platform::warp_shuffle_xor<Row::kWave>(before, 2u);
  if (part == 0 && own < n) {
    const uint32_t rank = before & 0xffffu;
    s.lists.ranked.weights[rank] = rule.finite_weight(draw::rank_key_logit(key));
    s.lists.ranked.by_id[before >> 16] = own << 16 | rank;
  }
  platform::block_barrier();
}

// Draws from n ranked candidates and writes the result: one warp.
template <typename Row>
TOKENDRAW_DEVICE void draw_from_ranked(const Arguments& a, int64_t row, uint32_t status, const WeightRule& rule,
                                       uint32_t n) {
  constexpr int kWave = Row::kWave;
  constexpr uint32_t kEach = kRankedAtOnce / kWave;
  const auto& s = Row::shared();
  const draw::RowParams& params = s.inputs.params;
  const uint32_t first = lane_index<kWave>() * kEach;
  const auto k = static_cast<uint32_t>(params.top_k);
  uint64_t weights[kEach];
  uint64_t own = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    weights[i] = first + i < n ? s.lists.ranked.weights[first + i] : 0;
    own += weights[i];
  }
  uint64_t need = ~uint64_t{0};
  uint64_t before = 0;
  if (params.top_p_on) {
    before = warp_inclusive_sum<kWave>(own) - own;
    uint64_t base = s.total;
    if (!base_is_row(s.inputs)) {
      const uint64_t least = base_min_weight(s.inputs);
      base = 0;
#pragma unroll
      for (uint32_t i = 0; i < kEach; ++i) base += first + i < k && weights[i] >= least ? weights[i] : 0;
      base = warp_sum_of_52_bits<kWave>(base);
    }
    need = draw::top_p_need(base, params.top_p);
  }
  uint32_t size = 0;  // kept candidates are a prefix of the order
  uint32_t weighing = 0;
  uint64_t mass = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const bool kept = first + i < n && first + i < k && weights[i] >= params.min_weight && before < need;
    size += kept ? 1 : 0;
    weighing += kept && weights[i] > 0 ? 1 : 0;
    mass += kept ? weights[i] : 0;
    before += weights[i];
  }
  size = platform::warp_add<kWave>(size);
  mass = warp_sum_of_52_bits<kWave>(mass);
  if (s.settings.wants_kept) weighing = platform::warp_add<kWave>(weighing);

  const uint64_t target = draw::draw_target(s.inputs.random, mass);
  uint32_t by_id[kEach];
  own = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    by_id[i] = s.lists.ranked.by_id[first + i];
    const uint32_t rank = by_id[i] & 0xffffu;
    weights[i] = first + i < n && rank < size ? s.lists.ranked.weights[rank] : 0;
    own += weights[i];
  }
  const uint64_t reached = warp_inclusive_sum<kWave>(own);
  const uint64_t beyond = platform::warp_ballot<kWave>(reached > target);
  if (lane_index<kWave>() != static_cast<uint32_t>(platform::first_bit(beyond))) return;
  uint64_t running = reached - own;
  uint32_t place = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (running <= target) place = by_id[i] >> 16;
    running += weights[i];
  }
  const uint64_t key = s.lists.candidates[place];
  request::RowResult result;
  result.status = status;
  result.token = static_cast<int32_t>(draw::rank_key_id(key));
  result.kept = weighing;
  result.kept_mass = mass;
  if (s.settings.wants_logprob) {
    result.logprob = request::log_probability(s.inputs, draw::rank_key_logit(key), rule.max, s.total);
  }
  request::write_row_result(a.request, row, result);
}

// From block 0's n candidates, which decide; `by_k`: the top k are among them. Begins after a barrier.
template <typename Row>
TOKENDRAW_DEVICE void draw_from_all_candidates(const Arguments& a, int64_t row, uint32_t status, const WeightRule& rule,
                                               uint32_t n, bool by_k) {
  auto& s = Row::shared();
  // To leave out some of fewer takes longer than to compare them.
  if (by_k && n > kRankedAtOnce) n = keep_top_candidates<Row>(rule, n);
  if (n <= kRankedAtOnce) {
    rank_candidates<Row>(rule, n);
    if (warp_index<Row::kWave>() == 0) draw_from_ranked<Row>(a, row, status, rule, n);
    return;
  }
  for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) s.keys[i] = s.lists.candidates[i];
  write_result(a, row, result_of<Row>(draw_from_sorted<Row>(n), status));
}

}  // namespace tokendraw::gpu
