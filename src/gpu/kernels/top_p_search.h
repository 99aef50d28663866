// SPDX-License-Identifier: Apache-2.0
// The cut of top_p where no other filter has one: from a range of logits that holds it, what lies above by group, and a
// list of what lies inside; the sorted list has the cut, and its part above the cut belongs to the sums.
//
// Where a block reads a row alone, rough_search.h finds the range. Blocks that share a row find it from a histogram of
// the row's mass; they share that, the pass over the row, and the list in the workspace.
#pragma once

#include "gpu/kernels/finish_row.h"

namespace tokendraw::gpu {

// Adds a key's weight to the mass of its group, which this block has.
template <typename Row>
TOKENDRAW_DEVICE void add_to_group(uint64_t key) {
  auto& s = Row::shared();
  const int32_t place = s.reader.place_of(static_cast<int32_t>(draw::rank_key_id(key)));
  const int32_t line = place / Row::Reader::kLine;
  const uint64_t weight = s.rule.weight(draw::rank_key_logit(key));
  platform::add_in_shared(&s.group_mass[line >> Row::shift_of(s.settings.group_lines)], weight);
}

// Of a long list of keys in [low, high]: keeps those of the bucket, of a finer histogram, in which the mass reaches
// *goal, which becomes what is left of it there. What is above belongs to the group masses. Returns the size: 0 if the
// goal is not reached.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint32_t narrow_list(uint32_t n, uint64_t low, uint64_t high, uint64_t* goal) {
  auto& s = Row::shared();
  constexpr uint32_t kEach = (Row::kListCapacity + Row::kThreads - 1) / Row::kThreads;
  const uint32_t thread = platform::thread_index();
  const uint64_t span = high - low;
  const auto upper = static_cast<uint32_t>(span >> 32);
  const int bits =
      64 - (upper != 0 ? platform::leading_zeros(upper) : 32 + platform::leading_zeros(static_cast<uint32_t>(span)));
  const int bucket_bits = Row::shift_of(Row::kBuckets);
  const int shift = bits > bucket_bits ? bits - bucket_bits : 0;
  uint64_t keys[kEach];
  uint64_t weights[kEach];
  uint32_t buckets[kEach];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t place = i * Row::kThreads + thread;
    keys[i] = place < n ? s.keys[place] : 0;
    weights[i] = place < n ? s.rule.finite_weight(draw::rank_key_logit(keys[i])) : 0;
    buckets[i] = place < n ? static_cast<uint32_t>((high - keys[i]) >> shift) : place % Row::kBuckets;
  }
  clear_histogram<Row>();  // takes the list's place
  s.histogram.template add_all<kEach>(buckets, weights);
  platform::block_barrier();
  const Bucket bucket = find_bucket<Row>(*goal);
  if (!bucket.exists) return 0;
  if (thread == 0) s.listed = 0;
  platform::block_barrier();
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (keys[i] == 0) continue;
    if (buckets[i] < bucket.number) add_to_group<Row>(keys[i]);
    if (buckets[i] == bucket.number) s.keys[platform::atomic_add(&s.listed, 1u)] = keys[i];
  }
  platform::block_barrier();
  *goal = bucket.goal;
  return s.listed;
}

// Whether the first n > 0 keys of the list have the same logit. Meets as a block.
template <typename Row>
TOKENDRAW_DEVICE bool listed_are_equal(uint32_t n) {
  const auto& s = Row::shared();
  const float x = draw::rank_key_logit(s.keys[0]);
  bool differ = false;
  for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) {
    differ = differ || draw::rank_key_logit(s.keys[i]) != x;
  }
  return !platform::block_any(differ);
}

// The mass that a cut is to reach in a range: at least `least`, and perhaps up to `slack` more.
struct Goal {
  uint64_t least;
  uint64_t slack;
};

// A cut that was looked for in a range: 0 if the range has too little mass for the goal, or the slack could change it.
struct CutInRange {
  uint64_t cut;
  bool has_too_little;
};

// Of some ties, those that are kept if `most` are of them and the ones before.
TOKENDRAW_DEVICE uint64_t kept_ties(uint64_t most, uint64_t before, uint64_t ties) {
  const uint64_t left = most > before ? most - before : 0;
  return left < ties ? left : ties;
}

// The cut among the n > 0 keys of the list, which are those of a range; what is kept of them becomes part of the group
// masses, which are those above it. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL CutInRange cut_list(uint32_t n, const LogitRange& range, const Goal& goal) {
  auto& s = Row::shared();
  constexpr uint32_t kLong = 2 * Row::kWave;
  uint64_t least = goal.least;
  platform::block_barrier();
  if (n > kLong) {
    const uint32_t low = draw::ordered_bits(draw::add_rn(range.low, 0.0f));
    const uint32_t high = draw::ordered_bits(draw::add_rn(range.high, 0.0f));
    n = narrow_list<Row>(n, uint64_t{low} << 32, uint64_t{high} << 32 | ~uint32_t{0}, &least);
  }
  if (n > kLong && listed_are_equal<Row>(n)) {  // as most of what is so close together: those by id
    const float x = draw::rank_key_logit(s.keys[0]);
    const auto last = static_cast<uint32_t>(s.reader.vocab() - 1);
    n = narrow_list<Row>(n, draw::rank_key(x, last), draw::rank_key(x, 0), &least);
  }
  if (n == 0) return {0, true};
  block_sort_descending<Row, Row::kThreads, Row::kWave>(n);
  const Prefix prefix = prefix_of_list<Row>(n, n, 0, least);
  if (prefix.mass < least + goal.slack) return {0, prefix.mass < least};
  const uint64_t cut = s.keys[prefix.size - 1];
  for (uint32_t i = platform::thread_index(); i < prefix.size; i += Row::kThreads) add_to_group<Row>(s.keys[i]);
  platform::block_barrier();
  return {cut, false};
}

// ---- By the blocks that share a row

// The logits of the bucket of the cut, and what is left of the goal in it.
struct BucketRange {
  LogitRange logits;
  uint64_t goal;
};

// The histogram is ready and the total known. Begins with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL BucketRange find_range() {
  const auto& s = Row::shared();
  platform::block_barrier();
  const Bucket bucket = find_bucket<Row>(draw::top_p_need(s.total, s.inputs.params.top_p));
  // The lightest weigh 1; what is lighter adds nothing.
  const float lightest = s.rule.bound_of_weight(1);
  uint32_t low = draw::ordered_bits(lightest == lightest ? draw::add_rn(lightest, 0.0f) : -draw::infinity());
  uint32_t high = draw::ordered_bits(s.rule.max);
  narrow_to_bucket<Row>({true, s.rule, high, 0}, bucket.number, &low, &high);
  return {{draw::from_ordered_bits(low), draw::from_ordered_bits(high)}, bucket.goal};
}

// The pass over the groups [first, last): group_above[group] becomes the mass above the range; list(x, id) is called by
// all lanes of a warp together for every vector of logits.
template <typename Row, typename List>
TOKENDRAW_DEVICE void sum_above_and_list(const LogitRange& range, int32_t first, int32_t last, uint64_t* group_above,
                                         const List& list) {
  constexpr int kWidth = Row::Reader::kWidth;
  const typename Row::Reader reader = Row::shared().reader;
  const WeightRule rule = Row::shared().rule;
  GroupSums<Row> sums(group_above);
  clear_groups_below<Row>(range.low, first, last, group_above);
  visit_needed_batches<Row>(first, last, has_from<Row>(range.low), [&](const LineBatch<Row>& batch) {
    ThreadMass<Row::kWave> above[Row::kBatch];
    // In peaked rows most batches have none.
    if (batch.warp_has([&](float x) { return x > range.high; })) {
#pragma unroll
      for (int b = 0; b < Row::kBatch; ++b) {
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          above[b].add(batch.x[b][i] > range.high ? rule.exponent(batch.x[b][i]) : kNoWeight);
        }
      }
    }
    sums.add(batch, above);
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) {
      if (batch.line[b] >= 0) list(batch.x[b], reader.first_id(batch.line[b]));
    }
  });
}

template <typename Row>
TOKENDRAW_DEVICE uint32_t shared_list_limit() {
  constexpr uint32_t kRoom = plan::kGpuListCapacity;
  return list_limit<Row>() < kRoom ? list_limit<Row>() : kRoom;
}

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
    s.histogram.set(b, mass);
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
    state->low = range.logits.low;
    state->high = range.logits.high;
  }
  uint64_t* list = a.list != nullptr ? a.list + row * plan::kGpuListCapacity : nullptr;
  const auto list_in_memory = [&](const float(&x)[Row::Reader::kWidth], int32_t id) {
    if (list == nullptr) return;
    // One reservation for the warp: its blocks share the counter with others.
    constexpr int kWave = Row::kWave;
    const uint32_t hits = hits_in(x, range.logits.low, range.logits.high);
    if (platform::warp_ballot<kWave>(hits != 0) == 0) return;
    const auto own = static_cast<uint32_t>(platform::count_bits(hits));
    const auto up_to = static_cast<uint32_t>(warp_inclusive_sum<kWave>(own));
    uint32_t place = 0;
    if (lane_index<kWave>() == kWave - 1) place = platform::atomic_add(&state->listed, up_to);
    place = platform::warp_shuffle<kWave>(place, static_cast<uint32_t>(kWave - 1)) + up_to - own;
#pragma unroll
    for (int i = 0; i < Row::Reader::kWidth; ++i) {
      if ((hits >> i & 1u) == 0) continue;
      if (place < shared_list_limit<Row>()) {
        list[place] = draw::rank_key(draw::add_rn(x[i], 0.0f), static_cast<uint32_t>(id + i));
      }
      ++place;
    }
  };
  sum_above_and_list<Row>(range.logits, first, last, a.group_mass + row * kMaxGroups, list_in_memory);
}

// The cut of such a row, by the one block that finishes it and knows the group masses, which become those of what it
// keeps; 0 if the bucket holds too many.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t cut_of_shared_search(const Arguments& a, int64_t row) {
  auto& s = Row::shared();
  const SearchState state = a.search_state[row];
  uint32_t n = state.listed;
  if (a.list == nullptr) {
    n = gather<Row>(state.low, state.high);
    if (n > list_limit<Row>()) return 0;
  } else {
    if (n > shared_list_limit<Row>()) return 0;
    platform::block_barrier();
    for (uint32_t i = platform::thread_index(); i < n; i += Row::kThreads) {
      s.keys[i] = a.list[row * plan::kGpuListCapacity + i];
    }
  }
  return n > 0 ? cut_list<Row>(n, {state.low, state.high}, {state.goal, 0}).cut : 0;
}

}  // namespace tokendraw::gpu
