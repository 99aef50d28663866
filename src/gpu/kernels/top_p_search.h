// SPDX-License-Identifier: Apache-2.0
// The cut of top_p where no other filter has one: from a histogram of the row's mass, in one more pass. It sums what is
// above the bucket of the cut, by group, and lists what is in the bucket; the sorted list then has the cut, and its
// part above the cut belongs to the sums. Blocks that share a row share the histogram, the pass and the list in the
// workspace.
#pragma once

#include "gpu/kernels/finish_row.h"

namespace tokendraw::gpu {

// Whether a row takes this way.
template <typename Row>
TOKENDRAW_DEVICE bool searches_top_p(const request::RowInputs& in) {
  return !in.params.greedy && in.params.top_p_on && !top_k_on(in) && !min_p_on(in) && in.vocab > Row::kListCapacity;
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
  narrow_to_bucket<Row>({true, s.rule, high, 0}, bucket.number, &low, &high);
  return {draw::from_ordered_bits(low), draw::from_ordered_bits(high), bucket.goal};
}

// The pass over the groups [first, last): group_above[group] becomes the mass above the range, and list(hit, id, x) is
// called by all lanes of a warp together, `hit` saying whether a lane's logit is in the range. No barrier.
template <typename Row, typename List>
TOKENDRAW_DEVICE void sum_above_and_list(const BucketRange& range, int32_t first, int32_t last, uint64_t* group_above,
                                         const List& list) {
  const WeightRule rule = Row::shared().rule;
  GroupSum<Row::kWave> above = {group_above};
  visit_logits_from<Row>(
      range.low, first, last,
      [&](int32_t id, float x) {
        above.sum += x > range.high ? rule.finite_weight(x) : 0;
        list(x >= range.low && x <= range.high, id, x);
      },
      [&](int32_t group) { above.finish(group); });
}

// From the n keys of the list and the group masses above the range.
template <typename Row>
TOKENDRAW_DEVICE_CALL Drawn draw_from_range(uint32_t n, uint64_t goal) {
  auto& s = Row::shared();
  block_sort_descending<Row, Row::kThreads, Row::kWave>(n);
  const Prefix prefix = prefix_of_list<Row>(n, n, 0, goal);
  const uint64_t cut = s.keys[prefix.size - 1];
  const int32_t group_length = s.settings.group_lines * Row::Reader::kLine;
  for (uint32_t i = platform::thread_index(); i < prefix.size; i += Row::kThreads) {
    const uint64_t key = s.keys[i];
    const int32_t place = s.reader.place_of(static_cast<int32_t>(draw::rank_key_id(key)));
    if constexpr (Row::Team::kIsCluster) {
      if (!s.reader.has_place(place)) continue;  // another block's
    }
    platform::atomic_add(&s.group_mass[place / group_length], s.rule.weight(draw::rank_key_logit(key)));
  }
  platform::block_barrier();
  int64_t kept = 0;
  if (s.settings.wants_kept) kept = static_cast<int64_t>(count_from<Row>(cut, smallest_weighing<Row>(1)));
  Drawn drawn = draw_by_group<Row>(cut);
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
  sum_above_and_list<Row>(range, 0, Row::groups(), s.group_mass, [&](bool hit, int32_t id, float x) {
    if (!hit) return;
    const uint32_t place = platform::atomic_add(&s.listed, 1u);
    if (place < Row::kListCapacity) s.keys[place] = draw::rank_key(draw::add_rn(x, 0.0f), static_cast<uint32_t>(id));
  });
  platform::block_barrier();
  const uint32_t n = share_list<Row>();
  if (n > Row::kListCapacity) return false;
  *drawn = draw_from_range<Row>(n, range.goal);
  return true;
}

// ---- The same by the blocks that share a row

template <typename Row>
inline constexpr uint32_t kSharedListCapacity =
    Row::kListCapacity < plan::kGpuListCapacity ? Row::kListCapacity : plan::kGpuListCapacity;

// Empties the row's histogram and list, a share of it by each block.
template <typename Row>
TOKENDRAW_DEVICE void clear_shared_search(const Arguments& a, int64_t row) {
  const auto step = static_cast<uint32_t>(a.splits) * Row::kThreads;
  for (uint32_t i = platform::block_x() * Row::kThreads + platform::thread_index(); i < Row::kBuckets; i += step) {
    a.histogram[row * Row::kBuckets + i] = 0;
  }
  if (platform::block_x() == 0 && platform::thread_index() == 0) a.search_state[row].listed = 0;
}

// Adds the block's histogram to the row's. Begins with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void add_to_shared_histogram(const Arguments& a, int64_t row) {
  platform::block_barrier();
  for (uint32_t b = platform::thread_index(); b < Row::kBuckets; b += Row::kThreads) {
    const uint64_t mass = Row::shared().histogram.at(b);
    if (mass != 0) platform::atomic_add(a.histogram + row * Row::kBuckets + b, mass);
  }
}

// The pass over the groups [first, last), whose masses become those above the bucket. The rule is known.
template <typename Row>
TOKENDRAW_DEVICE void search_shared_groups(const Arguments& a, int64_t row, int32_t first, int32_t last) {
  auto& s = Row::shared();
  platform::block_barrier();
  uint64_t own = 0;
  for (uint32_t b = platform::thread_index(); b < Row::kBuckets; b += Row::kThreads) {
    const uint64_t mass = a.histogram[row * Row::kBuckets + b];
    s.histogram.low[b] = static_cast<uint32_t>(mass);
    s.histogram.high[b] = static_cast<uint32_t>(mass >> 32);
    own += mass;
  }
  // The group masses are about to change under other blocks' hands; the histogram holds all of them too.
  const uint64_t total = Row::BlockOf::sum(own);
  if (platform::thread_index() == 0) s.total = total;
  const BucketRange range = find_range<Row>();
  SearchState* state = a.search_state + row;
  if (platform::block_x() == 0 && platform::thread_index() == 0) {
    state->total = total;
    state->goal = range.goal;
    state->low = range.low;
    state->high = range.high;
  }
  uint64_t* list = a.list != nullptr ? a.list + row * plan::kGpuListCapacity : nullptr;
  sum_above_and_list<Row>(range, first, last, a.group_mass + row * kMaxGroups, [&](bool hit, int32_t id, float x) {
    if (list == nullptr) return;
    // One reservation for the warp: its blocks share the counter with others.
    constexpr int kWave = Row::kWave;
    const uint64_t hits = platform::warp_ballot<kWave>(hit);
    if (hits == 0) return;
    const auto leader = static_cast<uint32_t>(platform::first_bit(hits));
    const uint32_t lane = lane_index<kWave>();
    uint32_t place = 0;
    if (lane == leader) {
      place = platform::atomic_add(&state->listed, static_cast<uint32_t>(platform::count_bits(hits)));
    }
    place = platform::warp_shuffle<kWave>(place, leader);
    place += static_cast<uint32_t>(platform::count_bits(hits & ((uint64_t{1} << lane) - 1)));
    if (hit && place < kSharedListCapacity<Row>) {
      list[place] = draw::rank_key(draw::add_rn(x, 0.0f), static_cast<uint32_t>(id));
    }
  });
}

// The token of such a row, by the one block that finishes it and knows the group masses; false if the bucket holds too
// many.
template <typename Row>
TOKENDRAW_DEVICE_CALL bool draw_after_shared_search(const Arguments& a, int64_t row, Drawn* drawn) {
  auto& s = Row::shared();
  const SearchState state = a.search_state[row];
  uint32_t n = state.listed;
  if (a.list == nullptr) {
    n = gather<Row>(state.low, state.high);
    if (n > Row::kListCapacity) return false;
  } else {
    if (n > kSharedListCapacity<Row>) return false;
    platform::block_barrier();
    for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) {
      s.keys[i] = a.list[row * plan::kGpuListCapacity + i];
    }
  }
  *drawn = draw_from_range<Row>(n, state.goal);
  return true;
}

}  // namespace tokendraw::gpu
