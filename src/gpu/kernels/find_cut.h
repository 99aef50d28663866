// SPDX-License-Identifier: Apache-2.0
// The cut of a filter over a whole row, exactly, for any row: histograms over an interval of logits, each inside the
// bucket of the one before, until what is left can be sorted or is one value.
#pragma once

#include "gpu/kernels/row_work.h"

namespace tokendraw::gpu {

enum class Measure { kCount, kMass };

// Of the sorted s.keys[0..n): those whose rank is below `ranks`, whose weight is at least `min_weight`, and with less
// than `need` of weight before them. They are a prefix.
struct Prefix {
  uint32_t size;
  uint32_t weighing;  // of these, how many weigh more than 0
  uint64_t mass;
};

template <typename Work>
TOKENDRAW_DEVICE Prefix prefix_of_list(Work& work, const WeightRule& rule, uint32_t n, uint64_t ranks,
                                       uint64_t min_weight, uint64_t need) {
  const uint32_t each = (n + kThreads - 1) / kThreads;
  const uint32_t first = platform::thread_index() * each;
  uint64_t own = 0;
  for (uint32_t i = first; i < first + each && i < n; ++i) own += rule.weight(draw::rank_key_logit(work.s.keys[i]));
  uint64_t total = 0;
  uint64_t before = work.block.exclusive_sum(own, &total);
  uint64_t counts = 0;  // size, and weighing above it
  uint64_t mass = 0;
  for (uint32_t i = first; i < first + each && i < n; ++i) {
    const uint64_t weight = rule.weight(draw::rank_key_logit(work.s.keys[i]));
    if (i < ranks && weight >= min_weight && before < need) {
      counts += weight > 0 ? (uint64_t{1} << 32) + 1 : 1;
      mass += weight;
    }
    before += weight;
  }
  counts = work.block.sum(counts);
  mass = work.block.sum(mass);
  return {static_cast<uint32_t>(counts), static_cast<uint32_t>(counts >> 32), mass};
}

// The smallest logit that weighs at least `least` >= 1. It exists: the largest weighs 2^42.
template <int kWave>
TOKENDRAW_DEVICE float smallest_weighing(const WeightRule& rule, uint64_t least) {
  const uint32_t bits =
      warp_smallest<kWave>(draw::ordered_bits(-draw::infinity()), draw::ordered_bits(draw::add_rn(rule.max, 0.0f)),
                           [&](uint32_t point) { return rule.weight(draw::from_ordered_bits(point)) >= least; });
  return draw::add_rn(draw::from_ordered_bits(bits), 0.0f);
}

// The key of the `wanted`-th logit (from 1) that equals x, in the order of ids; of the last one if there are fewer.
template <typename Work>
TOKENDRAW_DEVICE uint64_t key_of_tie(Work& work, float x, uint64_t wanted) {
  work.count_ties(x);
  const uint64_t ties = work.block.sum(work.mass_of_own_group());
  uint64_t target = (wanted < ties ? wanted : ties) - 1;
  const int32_t group = work.find_group(&target);
  int32_t id = 0;
  float found = 0;
  work.find_in_group(
      group, target, [x](int32_t, float y) { return y == x ? 1 : 0; }, &id, &found);
  return draw::rank_key(x, static_cast<uint32_t>(id));
}

// Of the logits that weigh something: the key of the last one with less than `goal` of the measure before it.
template <int kWave, typename Work>
TOKENDRAW_DEVICE uint64_t find_cut(Work& work, const WeightRule& rule, Measure measure, uint64_t goal) {
  const float lightest = smallest_weighing<kWave>(rule, 1);
  uint32_t low = draw::ordered_bits(lightest);
  uint32_t high = draw::ordered_bits(draw::add_rn(rule.max, 0.0f));
  bool listable = work.row.vocab() <= kListCapacity;
  // First by distance: logits lie evenly there, while half of all float bits are those of numbers close to zero.
  const float per_unit = static_cast<float>(kBuckets) / draw::sub_rn(rule.max, lightest);
  bool linear = draw::is_finite(per_unit) && per_unit > 0.0f;
  while (low != high) {
    const float low_x = draw::from_ordered_bits(low);
    const float high_x = draw::from_ordered_bits(high);
    if (listable) {
      const uint32_t n = work.gather(low_x, high_x);
      block_sort_descending<kThreads, kWave>(work.s.keys, n);
      const bool counts = measure == Measure::kCount;
      const Prefix prefix = prefix_of_list(work, rule, n, counts ? goal : n, 0, counts ? ~uint64_t{0} : goal);
      return work.s.keys[prefix.size - 1];
    }
    BucketMap map = {linear, rule.max, per_unit, high, 0};
    while (((high - low) >> map.shift) >= kBuckets) ++map.shift;
    work.fill_histogram(rule, low_x, high_x, map, measure == Measure::kMass);

    // Two buckets a thread.
    static_assert(kBuckets == 2 * kThreads);
    const Histogram& h = work.s.histogram;
    const uint32_t first = 2 * platform::thread_index();
    const auto of_bucket = [&](uint32_t b) {
      return measure == Measure::kCount ? h.count[b] : h.mass_low[b] + (static_cast<uint64_t>(h.mass_high[b]) << 32);
    };
    const uint64_t measure0 = of_bucket(first);
    const uint64_t own = measure0 + of_bucket(first + 1);
    uint64_t total = 0;
    const uint64_t before = work.block.exclusive_sum(own, &total);
    if (total < goal) return 0;  // all of them
    const bool mine = before < goal && goal - before <= own;
    const bool second = mine && goal - before > measure0;
    const auto bucket = static_cast<uint32_t>(work.block.broadcast(mine, first + (second ? 1 : 0)));
    goal -= work.block.broadcast(mine, second ? before + measure0 : before);
    listable = h.count[bucket] <= kListCapacity;

    // The bits that fall into the bucket, [low, high]: both bounds by the map itself, so that they are exact.
    const auto bucket_of = [&](uint32_t bits) { return map.bucket(draw::from_ordered_bits(bits), bits); };
    const uint32_t old_low = low;
    const uint32_t old_high = high;
    if (bucket_of(old_low) > bucket) {
      low = warp_smallest<kWave>(old_low, old_high, [&](uint32_t bits) { return bucket_of(bits) <= bucket; });
    }
    if (bucket_of(old_high) < bucket) {
      high = warp_smallest<kWave>(old_low, old_high, [&](uint32_t bits) { return bucket_of(bits) < bucket; }) - 1;
    }
    // No effective logit is -0, which compares equal to the 0 above it.
    if (high == draw::ordered_bits(-0.0f) && high > low) --high;
    linear = false;
  }
  const float x = draw::add_rn(draw::from_ordered_bits(low), 0.0f);
  const uint64_t each = measure == Measure::kCount ? 1 : rule.weight(x);
  return key_of_tie(work, x, (goal + each - 1) / each);
}

}  // namespace tokendraw::gpu
