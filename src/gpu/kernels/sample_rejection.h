// SPDX-License-Identifier: Apache-2.0
// Dual-pivot rejection sampling (docs/semantics.md, section 8), after Ye et al., "Sorting-Free GPU Kernels for LLM
// Sampling", 2025: one block a row and no workspace. Each round draws from what lies above `low` and reads the row once
// more, for the number and the mass of the logits above its two pivots. The masses are kept by group for both, so that
// those above the pivot which becomes the new `low` are what the next round draws from.
#pragma once

#include "draw/rejection.h"
#include "gpu/kernels/sample_rows.h"

namespace tokendraw::gpu {

// Which logits have keys above q, for a q that need be no logit's key.
struct AboveKey {
  float x;
  uint32_t end_id;  // of the ids at x itself

  TOKENDRAW_DEVICE explicit AboveKey(uint64_t q) : end_id(~static_cast<uint32_t>(q)) {
    auto bits = static_cast<uint32_t>(q >> 32);
    if (bits == draw::ordered_bits(-0.0f)) {  // no logit is -0, which compares equal to the 0 above it
      --bits;
      end_id = 0;
    }
    x = draw::from_ordered_bits(bits);  // NaN, with which nothing compares, if q is above every logit's key
  }
  TOKENDRAW_DEVICE bool has(int32_t id, float other_x) const {
    const bool above = other_x > x;  // without a branch, as in CutTest
    const bool at = other_x == x;
    const bool early = static_cast<uint32_t>(id) < end_id;
    return above | (at & early);
  }
};

// How many logits have keys above each of two.
struct CountsAbove {
  uint64_t first;
  uint64_t second;
};

// Counts what is above `first` and above `second`, which is not below it, and sums the masses by group: above `first`
// they become the group masses, above `second` they go to where lists are otherwise. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL CountsAbove sum_above(uint64_t first, uint64_t second) {
  auto& s = Row::shared();
  static_assert(Row::kMaxGroups <= kListRoom<Row::kListCapacity>);
  const WeightRule rule = s.rule;
  const bool infinite = rule.infinite();
  const AboveKey one(first);
  const AboveKey two(second);
  uint64_t mass_one = 0;
  uint64_t mass_two = 0;
  uint32_t count_one = 0;
  uint32_t count_two = 0;
  platform::block_barrier();
  clear_groups_below<Row>(one.x, 0, Row::groups(), s.group_mass);
  clear_groups_below<Row>(one.x, 0, Row::groups(), s.keys);
  visit_vectors_from<Row>(
      one.x, 0, Row::groups(),
      [&](int32_t id, const float(&x)[Row::Reader::kWidth]) {
        constexpr int kWidth = Row::Reader::kWidth;
        bool any = false;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) any = any || x[i] >= one.x;
        if (!any) return;  // most of a peaked row
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          // Of a row whose largest is +inf only those weigh something, and all the same.
          const float y = infinite ? (x[i] == rule.max ? 0.0f : kNoWeight) : rule.exponent(x[i]);
          const uint64_t weight = ThreadMass<Row::kWave>::weight_of(y);
          const bool above_one = one.has(id + i, x[i]);
          const bool above_two = two.has(id + i, x[i]);
          count_one += above_one ? 1 : 0;
          count_two += above_two ? 1 : 0;
          mass_one += above_one ? weight : 0;
          mass_two += above_two ? weight : 0;
        }
      },
      [&](int32_t group) {
        finish_group<Row::kWave>(s.group_mass, group, mass_one);
        finish_group<Row::kWave>(s.keys, group, mass_two);
        mass_one = 0;
        mass_two = 0;
      });
  const auto counts = Row::BlockOf::sum_both(count_one, count_two);
  platform::block_barrier();
  return {counts.first, counts.second};
}

// The mass of the tokens that top_p is a share of, where these are not the whole row. Takes the place of group masses.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t mass_of_base() {
  const auto& s = Row::shared();
  const request::RowInputs& in = s.inputs;
  const auto k = static_cast<uint64_t>(in.params.top_k);
  uint64_t cut = 0;
  if (top_k_on(in)) {
    // As for candidates: few logits hold the top k.
    float least = -draw::infinity();
    const bool all = fits_list<Row>(in.vocab);
    if (all || k_bounds(in, Row::groups())) {
      if (!all) least = threshold_of_maxima<Row>(in.params.top_k);
      uint32_t n = gather<Row>(least, draw::infinity());
      if (n <= list_limit<Row>()) {
        float unused = 0.0f;
        if (n > kPairwise) n = keep_top_k<Row>(n, s.rule.max, in.params.top_k, &unused);
        block_sort_descending<Row, Row::kThreads, Row::kWave>(n);
        return prefix_of_list<Row>(n, k, base_min_weight(in), ~uint64_t{0}).mass;
      }
    }
    cut = find_cut<Row>(Measure::kCount, k, least, false);
  }
  if (base_min_weight(in) > 0) {
    const uint64_t cut_m = draw::rank_key(smallest_weighing<Row>(s.rule, base_min_weight(in)), ~uint32_t{0});
    if (cut_m > cut) cut = cut_m;
  }
  sum_all_masses<Row>(cut);
  return Row::BlockOf::sum(Row::mass_of_own_group());
}

// Whether a token with key q passes the filter that needs no sum.
template <typename Row>
TOKENDRAW_DEVICE bool reaches_min_p(uint64_t q) {
  const auto& s = Row::shared();
  const auto bits = static_cast<uint32_t>(q >> 32);
  return bits >= draw::ordered_bits(s.rule.max) ||
         s.rule.weight(draw::from_ordered_bits(bits)) >= s.inputs.params.min_weight;
}

struct RejectionDraw {
  Found token;
  int32_t rounds;
};

// From a row whose group masses are known, all of them. `need`: what top_p compares with.
template <typename Row>
TOKENDRAW_DEVICE_CALL RejectionDraw draw_by_rejection(uint64_t need) {
  auto& s = Row::shared();
  const request::RowInputs& in = s.inputs;
  const auto k = static_cast<uint64_t>(in.params.top_k);
  const bool needs_sums = top_k_on(in) || in.params.top_p_on;
  const auto thread = static_cast<int32_t>(platform::thread_index());
  draw::RejectionInterval interval;
  RejectionDraw drawn = {{-1, -draw::infinity()}, 0};
  while (drawn.rounds < draw::kMaxRejectionRounds) {
    const uint64_t random =
        draw::random_bits(in.seed, in.stream, in.offset, draw::kPurposeRejection + static_cast<uint32_t>(drawn.rounds));
    const WeightRule rule = s.rule;
    const AboveKey above(interval.low);
    const bool everything = drawn.rounds == 0;
    drawn.token = find_in_row<Row>(
                      Row::mass_of_own_group(), [random](uint64_t mass) { return draw::draw_target(random, mass); },
                      [rule, above, everything](int32_t id, float y) {
                        return everything || above.has(id, y) ? rule.weight(y) : 0;
                      })
                      .found;
    ++drawn.rounds;
    const uint64_t pivot1 = draw::rank_key(drawn.token.x, static_cast<uint32_t>(drawn.token.id));
    const uint64_t pivot2 = draw::second_pivot(interval, pivot1);
    const bool passes_one = reaches_min_p<Row>(pivot1);
    if (passes_one && !needs_sums) break;
    const CountsAbove counts = sum_above<Row>(pivot1, pivot2);
    const uint64_t mass_one = Row::mass_of_own_group();
    const uint64_t mass_two = thread < Row::groups() ? s.keys[thread] : 0;
    const auto masses = Row::BlockOf::sum_both(mass_one, mass_two);
    if (passes_one && counts.first < k && masses.first < need) break;
    const bool valid_two = reaches_min_p<Row>(pivot2) && counts.second < k && masses.second < need;
    interval = draw::narrow_interval(interval, pivot1, pivot2, valid_two);
    if (!valid_two && thread < Row::groups()) s.group_mass[thread] = mass_two;
  }
  return drawn;
}

// All threads get the row's answer; its log-probability is for thread 0.
template <typename Row>
TOKENDRAW_DEVICE_CALL request::RowResult sample_by_rejection(bool wants_kept_set, uint32_t status) {
  auto& s = Row::shared();
  const request::RowInputs& in = s.inputs;
  uint64_t need = ~uint64_t{0};
  if (in.params.top_p_on && !base_is_row(in)) need = draw::top_p_need(mass_of_base<Row>(), in.params.top_p);
  platform::block_barrier();
  sum_masses<Row, false>(0, Row::groups(), s.group_mass);
  platform::block_barrier();
  keep_total<Row>();
  if (in.params.top_p_on && base_is_row(in)) need = draw::top_p_need(s.total, in.params.top_p);
  const RejectionDraw drawn = draw_by_rejection<Row>(need);
  // A draw that is accepted does not tell what else would have been; the other algorithms' draw does.
  Drawn kept = {};
  if (wants_kept_set) kept = draw_row<Row>(0, {});
  kept.token = drawn.token.id;
  kept.x = drawn.token.x;
  request::RowResult result = result_of<Row>(kept, status);
  result.rounds = drawn.rounds;
  return result;
}

// The token by rejection: grid (rows)
template <request::Dtype kDtype, bool kEdited, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kBlockThreads, 2)
    sample_rejection(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  using Row = gpu::Row<kDtype, kEdited, kWave>;
  const int64_t row = platform::block_x();
  auto& s = Row::shared();
  const request::RowResult bad = request::row_without_token(draw::kBadParameter);
  if (!begin_first_read<Row>(a, row)) return write_result(a, row, bad);
  const bool nan = platform::block_any(read_maxima<Row>(0, Row::groups(), s.group_max));
  if (s.valid == 0) return write_result(a, row, bad);
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const float max = Row::BlockOf::max(thread < Row::groups() ? s.group_max[thread] : -draw::infinity());
  const uint32_t status = (nan ? uint32_t{draw::kNanLogit} : 0u) | list_status<Row>(a, row);
  if (max == -draw::infinity()) {
    return write_result(a, row, request::row_without_token(status | draw::kNoCandidate));
  }
  keep_rule<Row>(max);
  if (!s.inputs.params.greedy) {
    const bool wants_kept_set = a.request.kept != nullptr || a.request.kept_mass != nullptr;
    return write_result(a, row, sample_by_rejection<Row>(wants_kept_set, status));
  }
  if (s.settings.wants_logprob) {
    sum_masses<Row, false>(0, Row::groups(), s.group_mass);
    platform::block_barrier();
    keep_total<Row>();
  }
  write_result(a, row, result_of<Row>(take_best<Row>(), status));
}

}  // namespace tokendraw::gpu
