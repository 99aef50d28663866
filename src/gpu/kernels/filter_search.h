// SPDX-License-Identifier: Apache-2.0
// The cut of a filter: the largest key at which the number or the mass of the elements from there on reaches a goal.
// Sums over 2048 intervals say in which of them that is; the elements of that one are listed, and each counts those
// above it. Where the list has no room the interval is cut again, by the bits of its elements, down to one value, whose
// ties are counted in the order of ids. All sums are of integers, so it does not matter which intervals they are.
#pragma once

#include "gpu/kernels/filter_part.h"

namespace tokendraw::gpu {

enum class FilterMeasure { kCount, kMass };

// A subset of a row's elements, an interval of their order, in as many intervals as there are sums.
struct FilterIntervals {
  bool by_exponent;  // all elements; else those whose ordered bits lie in [low, high]
  float lightest;    // exponents from here down share the last interval,
  float per_unit;    // of so many a unit
  uint32_t low, high;
  uint32_t shift;

  TOKENDRAW_DEVICE static FilterIntervals down_to(float lightest) {
    return {true, lightest, static_cast<float>(kFilterBuckets - 1) / -lightest, 0, 0, 0};
  }
  TOKENDRAW_DEVICE static FilterIntervals of_bits(float smallest, float largest) {
    FilterIntervals intervals = {false, 0, 0, draw::ordered_bits(smallest), draw::ordered_bits(largest), 0};
    while ((intervals.high - intervals.low) >> intervals.shift >= kFilterBuckets) ++intervals.shift;
    return intervals;
  }

  template <typename Weights>
  TOKENDRAW_DEVICE uint32_t number(const Weights& weights, float x) const {
    if (by_exponent) {
      float y = weights.exponent(x);
      y = y > lightest ? y : lightest;                                                         // for NaN too
      return draw::float_bits(draw::fma_rn(y, -per_unit, 8388608.0f)) & (kFilterBuckets - 1);  // 2^23 rounds
    }
    return (high - draw::ordered_bits(draw::add_rn(x, 0.0f))) >> shift;
  }
  TOKENDRAW_DEVICE bool has(float x) const {
    if (by_exponent) return x > -draw::infinity();
    return x >= draw::from_ordered_bits(low) && x <= draw::from_ordered_bits(high);
  }
};

// No barrier.
template <typename Part>
TOKENDRAW_DEVICE void add_to_sums(uint32_t bucket, uint64_t value) {
  auto& sums = Part::shared().sums;
  const auto low = static_cast<uint32_t>(value);
  const uint32_t old = platform::atomic_add(&sums.low[bucket], low);
  const uint32_t high = static_cast<uint32_t>(value >> 32) + (old + low < low ? 1u : 0u);
  if (high != 0) platform::atomic_add(&sums.high[bucket], high);
}

// Begins and ends with a barrier.
template <typename Part>
TOKENDRAW_DEVICE void clear_sums() {
  platform::block_barrier();
  for (uint32_t b = platform::thread_index(); b < kFilterBuckets; b += Part::kThreads) {
    Part::shared().sums.low[b] = 0;
    Part::shared().sums.high[b] = 0;
  }
  platform::block_barrier();
}

// The sums of a cluster's blocks become those of all: each block adds up a share of them and tells it to all. Begins
// and ends with a barrier.
template <typename Part>
TOKENDRAW_DEVICE void add_up_sums() {
  platform::block_barrier();
  if constexpr (Part::kIsResident) {
    auto& sums = Part::shared().sums;
    const uint32_t blocks = platform::cluster_blocks();  // a power of two
    const uint32_t share = kFilterBuckets / blocks;
    const uint32_t first = platform::cluster_rank() * share;
    platform::cluster_barrier();
    for (uint32_t b = first + platform::thread_index(); b < first + share; b += Part::kThreads) {
      uint64_t sum = 0;
#pragma unroll 4
      for (uint32_t rank = 0; rank < blocks; ++rank) {
        sum += *platform::cluster_map(&sums.low[b], rank);
        sum += static_cast<uint64_t>(*platform::cluster_map(&sums.high[b], rank)) << 32;
      }
#pragma unroll 4
      for (uint32_t rank = 0; rank < blocks; ++rank) {
        *platform::cluster_map(&sums.low[b], rank) = static_cast<uint32_t>(sum);
        *platform::cluster_map(&sums.high[b], rank) = static_cast<uint32_t>(sum >> 32);
      }
    }
    platform::cluster_barrier();
  }
}

// The interval in which the running sum reaches the goal, and what is left of the goal there.
struct FilterBucket {
  bool exists;  // false: all of it is less
  uint32_t number;
  uint64_t goal;
};

template <typename Part>
TOKENDRAW_DEVICE_CALL FilterBucket find_filter_bucket(uint64_t goal) {
  constexpr uint32_t kEach = kFilterBuckets / Part::kThreads;
  const auto& sums = Part::shared().sums;
  const auto at = [&](uint32_t b) { return sums.low[b] + (static_cast<uint64_t>(sums.high[b]) << 32); };
  const uint32_t first = kEach * platform::thread_index();
  uint64_t own = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) own += at(first + i);
  const auto running = Part::BlockOf::exclusive_sum(own);
  if (running.second < goal) return {false, 0, 0};
  const bool mine = running.first < goal && goal - running.first <= own;
  uint32_t bucket = first;
  uint64_t before = running.first;
  if (mine) {
    while (goal - before > at(bucket)) before += at(bucket++);
  }
  const auto found = Part::BlockOf::broadcast(mine, bucket, before);
  return {true, static_cast<uint32_t>(found.first), goal - found.second};
}

template <typename Part>
TOKENDRAW_DEVICE uint64_t total_of_sums() {
  const auto& sums = Part::shared().sums;
  uint64_t own = 0;
  for (uint32_t b = platform::thread_index(); b < kFilterBuckets; b += Part::kThreads) {
    own += sums.low[b] + (static_cast<uint64_t>(sums.high[b]) << 32);
  }
  return Part::BlockOf::sum(own);
}

// The sums of all elements of the subset. Ends with a barrier.
template <typename Part>
TOKENDRAW_DEVICE void fill_sums(const Part& part, const typename Part::Weights& weights, FilterMeasure measure,
                                const FilterIntervals& intervals) {
  clear_sums<Part>();
  const bool of_mass = measure == FilterMeasure::kMass;
  uint64_t of_last = 0;  // most elements of a peaked row are in the last interval
  part.visit_vectors([&](int32_t, const float(&x)[Part::kWidth]) {
#pragma unroll
    for (int i = 0; i < Part::kWidth; ++i) {
      if (!intervals.has(x[i])) continue;
      const uint32_t bucket = intervals.number(weights, x[i]);
      const uint64_t value = of_mass ? weights.weight(x[i]) : 1;
      if (bucket == kFilterBuckets - 1) {
        of_last += value;
      } else if (value != 0) {
        add_to_sums<Part>(bucket, value);
      }
    }
  });
  of_last = warp_sum<Part::kWave>(of_last);
  if (lane_index<Part::kWave>() == 0 && of_last != 0) add_to_sums<Part>(kFilterBuckets - 1, of_last);
  add_up_sums<Part>();
}

// Adds an element to this block's list.
template <typename Part>
TOKENDRAW_DEVICE void list_element(const typename Part::Weights& weights, int32_t id, float x) {
  auto& s = Part::shared();
  // A list that is full already does not need to know by how much.
  if (*static_cast<volatile const uint32_t*>(&s.listed) > kFilterList) return;
  const uint32_t place = platform::atomic_add(&s.listed, 1u);
  if (place >= kFilterList) return;
  s.keys[place] = request::filter_key(draw::add_rn(x, 0.0f), id);
  s.weights[place] = weights.weight(x);
}

// Begins a list: before list_element and a barrier of the block.
template <typename Part>
TOKENDRAW_DEVICE void begin_list() {
  platform::block_barrier();
  if (platform::thread_index() == 0) Part::shared().listed = 0;
  platform::block_barrier();
}

// The list of the team, which takes the place of the sums in every block.
struct FilterListed {
  uint32_t size;  // more than kFilterList: the list is of no use
  uint64_t mass;  // the sum of the second numbers of all blocks
};

// Ends it: each block tells how many elements it has listed, and a mass of its own, and then the elements.
template <typename Part>
TOKENDRAW_DEVICE FilterListed end_list(Part& part, uint64_t mass) {
  auto& s = Part::shared();
  platform::block_barrier();
  const uint32_t own = s.listed;
  const typename Part::Pair* told = part.tell({own, mass});
  FilterListed listed = {0, 0};
  uint32_t before = 0;
  for (uint32_t r = 0; r < Part::blocks(); ++r) {
    before += r < Part::rank() ? static_cast<uint32_t>(told[r].first) : 0;
    listed.size += static_cast<uint32_t>(told[r].first);
    listed.mass += told[r].second;
  }
  if (listed.size > kFilterList) return listed;
  for (uint32_t i = platform::thread_index(); i < own; i += Part::kThreads) {
    const uint64_t key = s.keys[i];
    const uint64_t weight = s.weights[i];
    for (uint32_t r = 0; r < Part::blocks(); ++r) {
      auto* list = Part::of_block(&s.list, r);
      list->keys[before + i] = key;
      list->weights[before + i] = weight;
    }
  }
  Part::team_barrier();
  return listed;
}

// Calls visit(key, weight, count, mass) once for each element of the list: how many elements other(theirs, own) says
// yes to, and what they weigh. A few neighbouring threads share an element.
template <typename Part, typename Other, typename Visit>
TOKENDRAW_DEVICE void compare_listed(uint32_t size, const Other& other, const Visit& visit) {
  constexpr int kWave = Part::kWave;
  const auto& list = Part::shared().list;
  uint32_t shift = 0;
  while ((2u << shift) <= kWave && size << (shift + 1) <= Part::kThreads) ++shift;
  const uint32_t parts = 1u << shift;
  const uint32_t part = platform::thread_index() & (parts - 1);
  for (uint32_t begin = 0; begin < size; begin += Part::kThreads >> shift) {
    const uint32_t i = begin + (platform::thread_index() >> shift);
    const uint64_t key = list.keys[i < size ? i : 0];
    uint32_t count = 0;
    uint64_t mass = 0;
#pragma unroll 4
    for (uint32_t j = part; j < size; j += parts) {
      const bool yes = other(list.keys[j], key);
      count += yes ? 1 : 0;
      mass += yes ? list.weights[j] : 0;
    }
    for (uint32_t mask = 1; mask < parts; mask *= 2) {
      count += platform::warp_shuffle_xor<kWave>(count, mask);
      mass += platform::warp_shuffle_xor<kWave>(mass, mask);
    }
    if (part == 0 && i < size) visit(key, list.weights[i], count, mass);
  }
}
// The same with the elements above each.
template <typename Part, typename Visit>
TOKENDRAW_DEVICE void rank_listed(uint32_t size, const Visit& visit) {
  compare_listed<Part>(
      size, [](uint64_t theirs, uint64_t own) { return theirs > own; }, visit);
}

// The first id at which the running sum of measure_of(id, x) over the row exceeds target_of(total), and the total.
// `own` is the measure of this lane's elements.
struct FoundElement {
  int32_t id;
  uint64_t total;
};

template <typename Part, typename TargetOf, typename MeasureOf>
TOKENDRAW_DEVICE FoundElement find_in_order(const Part& part, uint64_t own, const TargetOf& target_of,
                                            const MeasureOf& measure_of) {
  constexpr int kWave = Part::kWave;
  const uint64_t of_warp = warp_sum<kWave>(own);
  const auto sums = Part::Team::exclusive_sum(lane_index<kWave>() == 0 ? of_warp : 0);
  const uint64_t before = platform::warp_shuffle<kWave>(sums.first, 0u);
  uint64_t target = target_of(sums.second);
  uint32_t found = 0;  // the id + 1
  if (target >= before && target - before < of_warp) {
    target -= before;
    for (int32_t line = part.own.first; line < part.own.last; ++line) {
      float x[Part::kWidth];
      int32_t id = 0;
      bool bad = false;
      part.convert(part.words(line), line, x, &id, bad);
      uint64_t of_lane = 0;
#pragma unroll
      for (int i = 0; i < Part::kWidth; ++i) of_lane += measure_of(id + i, x[i]);
      const uint64_t up_to = warp_inclusive_sum<kWave>(of_lane);
      const uint64_t of_line = platform::warp_shuffle<kWave>(up_to, static_cast<uint32_t>(kWave - 1));
      if (of_line <= target) {
        target -= of_line;
        continue;
      }
      uint64_t running = up_to - of_lane;
      const bool mine = running <= target && target < up_to;
#pragma unroll
      for (int i = 0; i < Part::kWidth; ++i) {
        running += measure_of(id + i, x[i]);
        if (mine && found == 0 && running > target) found = static_cast<uint32_t>(id + i) + 1;
      }
      break;
    }
  }
  return {static_cast<int32_t>(Part::Team::sum(found)) - 1, sums.second};
}

// Elements from a key on, without making keys.
struct FilterTest {
  float x;
  int32_t id;
  TOKENDRAW_DEVICE explicit FilterTest(uint64_t cut)
      : x(cut == 0 ? -draw::infinity() : draw::from_ordered_bits(static_cast<uint32_t>(cut >> 21))),
        id(cut == 0 ? -1 : request::kMaxVocab - 1 - static_cast<int32_t>(cut & (request::kMaxVocab - 1))) {}
  TOKENDRAW_DEVICE bool keeps(int32_t other_id, float other_x) const {
    return other_x > x || (other_x == x && other_id <= id);
  }
};

// What this lane's elements from a key on weigh, and how many of them are at least `least`.
struct FilterKept {
  uint64_t mass;
  uint32_t count;
};

template <typename Part>
TOKENDRAW_DEVICE FilterKept sum_kept(const Part& part, const typename Part::Weights& weights, uint64_t cut,
                                     float least) {
  const FilterTest test(cut);
  typename Part::Mass mass;
  uint32_t count = 0;
  part.visit_vectors([&](int32_t id, const float(&x)[Part::kWidth]) {
    bool any = false;
#pragma unroll
    for (int i = 0; i < Part::kWidth; ++i) any = any || test.keeps(id + i, x[i]);
    if (!any) return;
#pragma unroll
    for (int i = 0; i < Part::kWidth; ++i) {
      const bool kept = test.keeps(id + i, x[i]);
      mass.add_if(kept, weights, x[i]);
      count += kept && x[i] >= least ? 1 : 0;
    }
  });
  return {mass.value(), count};
}

// The smallest element that weighs at least `least` >= 1, which the largest does.
template <typename Part>
TOKENDRAW_DEVICE float smallest_element(const typename Part::Weights& weights, uint64_t least) {
  const uint32_t lowest = draw::ordered_bits(Part::kOfProbabilities ? 0.0f : -draw::infinity());
  const uint32_t bits = warp_smallest<Part::kWave>(lowest, draw::ordered_bits(weights.max), [&](uint32_t point) {
    return weights.weight(draw::from_ordered_bits(point)) >= least;
  });
  return draw::add_rn(draw::from_ordered_bits(bits), 0.0f);
}

// The key at which the measure of the elements reaches goal_of(measure of all); 0 if it does not.
template <typename Part, typename GoalOf>
TOKENDRAW_DEVICE uint64_t find_filter_key(Part& part, const typename Part::Weights& weights, FilterMeasure measure,
                                          const GoalOf& goal_of) {
  const bool counts = measure == FilterMeasure::kCount;
  // A nucleus seldom reaches down to 2^-18 of the largest weight, whatever else is above a rank may.
  FilterIntervals intervals = FilterIntervals::down_to(counts ? -64.0f : -18.0f);
  uint64_t goal = 0;
  while (true) {
    fill_sums(part, weights, measure, intervals);
    if (intervals.by_exponent) goal = goal_of(total_of_sums<Part>());
    const FilterBucket bucket = find_filter_bucket<Part>(goal);
    if (!bucket.exists) return 0;
    goal = bucket.goal;
    float largest = -draw::infinity();
    float largest_negative = -draw::infinity();
    begin_list<Part>();
    part.visit_vectors([&](int32_t id, const float(&x)[Part::kWidth]) {
#pragma unroll
      for (int i = 0; i < Part::kWidth; ++i) {
        if (intervals.number(weights, x[i]) != bucket.number || !intervals.has(x[i])) continue;
        largest = platform::max_number(largest, x[i]);
        largest_negative = platform::max_number(largest_negative, -x[i]);
        list_element<Part>(weights, id + i, x[i]);
      }
    });
    const FilterListed listed = end_list(part, 0);
    if (listed.size <= kFilterList) {
      uint64_t found = 0;
      rank_listed<Part>(listed.size, [&](uint64_t key, uint64_t weight, uint32_t rank, uint64_t before) {
        const uint64_t above = counts ? rank : before;
        if (above < goal && goal - above <= (counts ? 1 : weight)) found = key;
      });
      return Part::BlockOf::sum(found);
    }
    largest = draw::add_rn(Part::Team::max(largest), 0.0f);
    const float smallest = draw::add_rn(-Part::Team::max(largest_negative), 0.0f);
    if (smallest == largest) {
      const uint64_t each = counts ? 1 : weights.weight(largest);
      const uint64_t wanted = (goal + each - 1) / each;
      const auto is_tie = [=](int32_t, float x) { return uint64_t{x == largest ? 1u : 0u}; };
      uint64_t own = 0;
      part.visit_vectors([&](int32_t id, const float(&x)[Part::kWidth]) {
#pragma unroll
        for (int i = 0; i < Part::kWidth; ++i) own += is_tie(id + i, x[i]);
      });
      const FoundElement last = find_in_order(
          part, own, [=](uint64_t) { return wanted - 1; }, is_tie);
      return request::filter_key(largest, last.id);
    }
    intervals = FilterIntervals::of_bits(smallest, largest);
  }
}

}  // namespace tokendraw::gpu
