// SPDX-License-Identifier: Apache-2.0
// The cut of a filter over a whole row, exactly, for any row: histograms over an interval of logits, each inside the
// bucket of the one before, until what is left can be sorted or is one value.
#pragma once

#include "gpu/kernels/candidates.h"
#include "gpu/kernels/find_in_row.h"
#include "gpu/primitives/sort.h"

namespace tokendraw::gpu {

enum class Measure { kCount, kMass };

// Of the sorted list's first n keys: those whose rank is below `ranks`, whose weight is at least `min_weight`, and with
// less than `need` of weight before them. They are a prefix.
struct Prefix {
  uint32_t size;
  uint32_t weighing;  // of these, how many weigh more than 0
  uint64_t mass;
};

template <typename Row>
TOKENDRAW_DEVICE_CALL Prefix prefix_of_list(uint32_t n, uint64_t ranks, uint64_t min_weight, uint64_t need) {
  const auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const uint32_t each = (n + Row::kThreads - 1) / Row::kThreads;
  const uint32_t first = platform::thread_index() * each;
  uint64_t own = 0;
  for (uint32_t i = first; i < first + each && i < n; ++i) own += rule.weight(draw::rank_key_logit(s.keys[i]));
  uint64_t before = Row::BlockOf::exclusive_sum(own).first;
  uint64_t counts = 0;  // size, and weighing above it
  uint64_t mass = 0;
  for (uint32_t i = first; i < first + each && i < n; ++i) {
    const uint64_t weight = rule.weight(draw::rank_key_logit(s.keys[i]));
    if (i < ranks && weight >= min_weight && before < need) {
      counts += weight > 0 ? (uint64_t{1} << 32) + 1 : 1;
      mass += weight;
    }
    before += weight;
  }
  const auto sums = Row::BlockOf::sum_both(counts, mass);
  return {static_cast<uint32_t>(sums.first), static_cast<uint32_t>(sums.first >> 32), sums.second};
}

// The smallest logit that weighs at least `least` >= 1. It exists: the largest weighs 2^42.
template <typename Row>
TOKENDRAW_DEVICE_CALL float smallest_weighing(WeightRule rule, uint64_t least) {
  const uint32_t bits =
      warp_smallest<Row::kWave>(draw::ordered_bits(-draw::infinity()), draw::ordered_bits(rule.max),
                                [&](uint32_t point) { return rule.weight(draw::from_ordered_bits(point)) >= least; });
  return draw::add_rn(draw::from_ordered_bits(bits), 0.0f);
}

// The key of the `wanted`-th logit (from 1) that equals x, in the order of ids; of the last one if there are fewer.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t key_of_tie(float x, uint64_t wanted) {
  count_ties<Row>(x, wanted);
  const FoundInRow tie = find_in_row<Row>(
      Row::mass_of_own_group(), [wanted](uint64_t ties) { return (wanted < ties ? wanted : ties) - 1; },
      [x](int32_t, float y) { return y == x ? 1 : 0; });
  return draw::rank_key(x, static_cast<uint32_t>(tie.found.id));
}

// The bucket of the histogram in which the running measure reaches `goal`, and what is left of the goal there.
struct Bucket {
  bool exists;  // false: all of it is less
  uint32_t number;
  uint64_t goal;
};

template <typename Row>
TOKENDRAW_DEVICE_CALL Bucket find_bucket(uint64_t goal) {
  constexpr uint32_t kEach = Row::kBuckets / Row::kThreads;
  static_assert(kEach * Row::kThreads == Row::kBuckets, "as many buckets for each thread");
  const auto& histogram = Row::shared().histogram;
  const uint32_t first = kEach * platform::thread_index();
  uint64_t own = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) own += histogram.at(first + i);
  const auto sums = Row::BlockOf::exclusive_sum(own);
  if (sums.second < goal) return {false, 0, 0};
  const bool mine = sums.first < goal && goal - sums.first <= own;
  uint32_t bucket = first;
  uint64_t before = sums.first;
  if (mine) {
    while (goal - before > histogram.at(bucket)) before += histogram.at(bucket++);
  }
  const auto found = Row::BlockOf::broadcast(mine, bucket, before);
  return {true, static_cast<uint32_t>(found.first), goal - found.second};
}

// Of the bits [*low, *high] those that fall into a bucket: both bounds by the map itself, so that they are exact.
template <typename Row>
TOKENDRAW_DEVICE_CALL void narrow_to_bucket(BucketMap<Row::kBuckets> map, uint32_t bucket, uint32_t* low,
                                            uint32_t* high) {
  const auto bucket_of = [&](uint32_t bits) { return map.bucket(draw::from_ordered_bits(bits), bits); };
  const uint32_t old_low = *low;
  const uint32_t old_high = *high;
  // The bounds lie near where a bucket ends by calculation; that is tried first.
  const auto smallest = [&](float end, const auto& enough) {
    uint32_t below = old_low;
    uint32_t reaches = old_high;
    if (map.by_exponent && map.rule.scale > 0.0f) {
      const float x = map.rule.max - end / (BucketMap<Row::kBuckets>::kPerUnit * map.rule.scale);
      const float margin = 0x1p-20f * ((x < 0.0f ? -x : x) + (map.rule.max < 0.0f ? -map.rule.max : map.rule.max));
      const uint32_t lower = draw::ordered_bits(x - margin);
      const uint32_t upper = draw::ordered_bits(x + margin);
      if (lower > below && lower < reaches && !enough(lower)) below = lower;
      if (upper > below && upper < reaches && enough(upper)) reaches = upper;
    }
    return warp_smallest<Row::kWave>(below, reaches, enough);
  };
  const auto end = static_cast<float>(bucket);
  if (bucket_of(old_low) > bucket) {
    *low = smallest(end + 0.5f, [&](uint32_t bits) { return bucket_of(bits) <= bucket; });
  }
  if (bucket_of(old_high) < bucket) {
    *high = smallest(end - 0.5f, [&](uint32_t bits) { return bucket_of(bits) < bucket; }) - 1;
  }
  // No effective logit is -0, which compares equal to the 0 above it.
  if (*high == draw::ordered_bits(-0.0f) && *high > *low) --*high;
}

// Logits as ordered bits, both ends included.
struct BitRange {
  uint32_t low;
  uint32_t high;
};

// From the smallest to the largest logit of those in a range that holds some. Quantised logits leave one value of many.
template <typename Row>
TOKENDRAW_DEVICE_CALL BitRange tighten(BitRange range) {
  const float low = draw::from_ordered_bits(range.low);
  const float high = draw::from_ordered_bits(range.high);
  float largest = -draw::infinity();
  float largest_negative = -draw::infinity();
  visit_logits_from<Row>(
      low, 0, Row::groups(),
      [&](int32_t, float x) {
        const bool inside = x >= low && x <= high;
        largest = platform::max_number(largest, inside ? x : -draw::infinity());
        largest_negative = platform::max_number(largest_negative, inside ? -x : -draw::infinity());
      },
      [](int32_t) {});
  largest = Row::Team::max(largest);
  const float smallest = -Row::Team::max(largest_negative);
  return {draw::ordered_bits(draw::add_rn(smallest, 0.0f)), draw::ordered_bits(draw::add_rn(largest, 0.0f))};
}

// Of the logits in a range: the key of the last one with less than `goal` of the measure before it; 0 if the measure of
// all of them is less. `listable`: a list may have room for them, and is tried first.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t find_cut_in(Measure measure, uint64_t goal, BitRange range, bool by_exponent,
                                           bool listable) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const bool counts = measure == Measure::kCount;
  while (range.low != range.high) {
    const float low_x = draw::from_ordered_bits(range.low);
    const float high_x = draw::from_ordered_bits(range.high);
    if (listable) {
      const uint32_t n = gather<Row>(low_x, high_x);
      if (n <= list_limit<Row>()) {
        block_sort_descending<Row, Row::kThreads, kWave>(n);
        const Prefix prefix = prefix_of_list<Row>(n, counts ? goal : n, 0, counts ? ~uint64_t{0} : goal);
        return s.keys[prefix.size - 1];
      }
      if (!by_exponent) {
        const BitRange tight = tighten<Row>(range);
        if (tight.low != range.low || tight.high != range.high) {
          range = tight;
          listable = false;
          continue;
        }
      }
    }
    BucketMap<Row::kBuckets> map = {by_exponent, rule, range.high, 0};
    while (((range.high - range.low) >> map.shift) >= Row::kBuckets) ++map.shift;
    fill_histogram<Row>(low_x, high_x, map, !counts);

    const Bucket bucket = find_bucket<Row>(goal);
    if (!bucket.exists) return 0;
    goal = bucket.goal;
    narrow_to_bucket<Row>(map, bucket.number, &range.low, &range.high);
    listable = true;
    by_exponent = false;
  }
  const float x = draw::add_rn(draw::from_ordered_bits(range.low), 0.0f);
  const uint64_t each = counts ? 1 : rule.weight(x);
  return key_of_tie<Row>(x, (goal + each - 1) / each);
}

// The same of all logits that weigh something and are at least `least`, which of most rows are far fewer than all.
template <typename Row>
TOKENDRAW_DEVICE uint64_t find_cut(Measure measure, uint64_t goal, float least, bool listable) {
  const auto& s = Row::shared();
  const float lightest = smallest_weighing<Row>(s.rule, 1);
  const bool few = least > lightest;
  BitRange range = {draw::ordered_bits(draw::add_rn(few ? least : lightest, 0.0f)), draw::ordered_bits(s.rule.max)};
  // So many that are so close together are often equal.
  if (few && !listable) range = tighten<Row>(range);
  return find_cut_in<Row>(measure, goal, range, !few, listable);
}

}  // namespace tokendraw::gpu
