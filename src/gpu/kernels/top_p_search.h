// SPDX-License-Identifier: Apache-2.0
// The cut of top_p where no other filter has one: from a histogram of the row's mass, in one more pass. It sums what is
// above the bucket of the cut, by group, and lists what is in the bucket; the sorted list then has the cut, and its
// part above the cut belongs to the sums. Blocks that share a row share the histogram, the pass and the list in the
// workspace.
#pragma once

#include "gpu/kernels/finish_row.h"

namespace tokendraw::gpu {

// Whether a row takes this way.
TOKENDRAW_DEVICE bool searches_top_p(const request::RowInputs& in) {
  return !in.params.greedy && in.params.top_p_on && !top_k_on(in) && !min_p_on(in) && in.vocab > kListCapacity;
}

// The logits of the bucket of the cut, and what is left of the goal in it.
struct BucketRange {
  float low;
  float high;
  uint64_t goal;
};

// The histogram is ready and the total known. Begins with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL BucketRange find_range() {
  const auto& s = Row::shared();
  platform::block_barrier();
  const Bucket bucket = find_bucket<Row>(draw::top_p_need(s.total, s.inputs.params.top_p));
  uint32_t low = draw::ordered_bits(smallest_weighing<Row>(1));
  uint32_t high = draw::ordered_bits(s.rule.max);
  narrow_to_bucket<Row::kWave>({true, s.rule, high, 0}, bucket.number, &low, &high);
  return {draw::from_ordered_bits(low), draw::from_ordered_bits(high), bucket.goal};
}

// The pass over the groups [first, last): group_above[group] becomes the mass above the range, and place_of(n) gives
// the first of n places in a list for keys in it. No barrier.
template <typename Row, typename PlaceOf, typename List>
TOKENDRAW_DEVICE void sum_above_and_list(const BucketRange& range, int32_t first, int32_t last, uint64_t* group_above,
                                         const PlaceOf& take_places, const List& list) {
  constexpr int kWave = Row::kWave;
  const WeightRule rule = Row::shared().rule;
  const uint32_t lane = lane_index<kWave>();
  GroupSum<kWave> above = {group_above};
  visit_logits_from<Row>(
      range.low, first, last,
      [&](int32_t id, float x) {
        above.sum += x > range.high ? rule.finite_weight(x) : 0;
        const bool hit = x >= range.low && x <= range.high;
        const uint64_t hits = platform::warp_ballot<kWave>(hit);
        if (hits == 0) return;
        const auto leader = static_cast<uint32_t>(platform::first_bit(hits));
        uint32_t place = 0;
        if (lane == leader) place = take_places(static_cast<uint32_t>(platform::count_bits(hits)));
        place = platform::warp_shuffle<kWave>(place, leader);
        place += static_cast<uint32_t>(platform::count_bits(hits & ((uint64_t{1} << lane) - 1)));
        if (hit) list(place, draw::rank_key(draw::add_rn(x, 0.0f), static_cast<uint32_t>(id)));
      },
      [&](int32_t group) { above.finish(group); });
}

// From the n keys of the list and the group masses above the range.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_from_range(uint32_t n, uint64_t goal) {
  auto& s = Row::shared();
  block_sort_descending<Row, kThreads, Row::kWave>(n);
  const Prefix prefix = prefix_of_list<Row>(n, n, 0, goal);
  const uint64_t cut = s.keys[prefix.size - 1];
  const int32_t group_length = s.settings.group_lines * Row::Reader::kLine;
  for (uint32_t i = platform::thread_index(); i < prefix.size; i += kThreads) {
    const uint64_t key = s.keys[i];
    const int32_t place = s.reader.place_of(static_cast<int32_t>(draw::rank_key_id(key)));
    platform::atomic_add(&s.group_mass[place / group_length], s.rule.weight(draw::rank_key_logit(key)));
  }
  platform::block_barrier();
  int64_t kept = 0;
  if (s.settings.wants_kept) kept = static_cast<int64_t>(count_from<Row>(cut, smallest_weighing<Row>(1)));
  Drawn drawn = draw_by_group<Row>(cut, Row::BlockOf::sum(Row::mass_of_own_group()));
  drawn.kept = kept;
  return drawn;
}

// One block does all of it: the histogram and the group masses are ready. False if the bucket holds too many for the
// list; the group masses are lost then.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool search_top_p(Drawn* drawn) {
  auto& s = Row::shared();
  const BucketRange range = find_range<Row>();
  platform::block_barrier();
  if (platform::thread_index() == 0) s.listed = 0;
  platform::block_barrier();
  sum_above_and_list<Row>(
      range, 0, Row::groups(), s.group_mass, [&](uint32_t n) { return platform::atomic_add(&s.listed, n); },
      [&](uint32_t place, uint64_t key) {
        if (place < kListCapacity) s.keys[place] = key;
      });
  platform::block_barrier();
  if (s.listed > kListCapacity) return false;
  *drawn = draw_from_range<Row>(s.listed, range.goal);
  return true;
}

// ---- The same by the blocks that share a row

inline constexpr int kSharedListCapacity =
    kListCapacity < plan::kGpuListCapacity ? kListCapacity : plan::kGpuListCapacity;

// Empties the row's histogram and list, a share of it by each block.
TOKENDRAW_DEVICE void clear_shared_search(const Arguments& a, int64_t row) {
  const auto step = static_cast<uint32_t>(a.splits) * kThreads;
  for (uint32_t i = platform::block_x() * kThreads + platform::thread_index(); i < kBuckets; i += step) {
    a.histogram[row * kBuckets + i] = 0;
  }
  if (platform::block_x() == 0 && platform::thread_index() == 0) a.search_state[row].listed = 0;
}

// Adds the block's histogram to the row's. Begins with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void add_to_shared_histogram(const Arguments& a, int64_t row) {
  platform::block_barrier();
  for (uint32_t b = platform::thread_index(); b < kBuckets; b += kThreads) {
    const uint64_t mass = Row::shared().histogram.at(b);
    if (mass != 0) platform::atomic_add(a.histogram + row * kBuckets + b, mass);
  }
}

// The pass over the groups [first, last). The rule and the total are known.
template <typename Row>
TOKENDRAW_DEVICE void search_shared_groups(const Arguments& a, int64_t row, int32_t first, int32_t last) {
  auto& s = Row::shared();
  platform::block_barrier();
  for (uint32_t b = platform::thread_index(); b < kBuckets; b += kThreads) {
    const uint64_t mass = a.histogram[row * kBuckets + b];
    s.histogram.low[b] = static_cast<uint32_t>(mass);
    s.histogram.high[b] = static_cast<uint32_t>(mass >> 32);
  }
  const BucketRange range = find_range<Row>();
  SearchState* state = a.search_state + row;
  if (platform::block_x() == 0 && platform::thread_index() == 0) state->goal = range.goal;
  uint64_t* list = a.list + row * plan::kGpuListCapacity;
  sum_above_and_list<Row>(
      range, first, last, a.group_above + row * kMaxGroups,
      [&](uint32_t n) { return platform::atomic_add(&state->listed, n); },
      [&](uint32_t place, uint64_t key) {
        if (place < kSharedListCapacity) list[place] = key;
      });
}

// The token of such a row, by the one block that finishes it; false if its bucket holds too many.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool draw_after_shared_search(const Arguments& a, int64_t row, Drawn* drawn) {
  auto& s = Row::shared();
  const SearchState state = a.search_state[row];
  if (state.listed > kSharedListCapacity) return false;
  const auto thread = static_cast<int32_t>(platform::thread_index());
  platform::block_barrier();
  for (uint32_t i = platform::thread_index(); i < state.listed; i += kThreads) {
    s.keys[i] = a.list[row * plan::kGpuListCapacity + i];
  }
  if (thread < Row::groups()) s.group_mass[thread] = a.group_above[row * kMaxGroups + thread];
  *drawn = draw_from_range<Row>(state.listed, state.goal);
  return true;
}

}  // namespace tokendraw::gpu
