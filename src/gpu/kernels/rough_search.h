// SPDX-License-Identifier: Apache-2.0
// top_p where no other filter has a cut, in a row that one block reads: the histogram of the first read (rough_row.h)
// says in which range of logits the cut is likely to be. One more pass, over the groups that reach up to it, sums
// exactly what lies above the range and lists what is inside, among which the cut is found. How much mass is wanted
// follows from an estimate of the row's (mass_estimate.h); where that is too rough to tell, the pass sums all of what
// it visits, and at last all of the row.
#pragma once

#include "gpu/kernels/estimated_draw.h"
#include "gpu/kernels/top_p_search.h"

namespace tokendraw::gpu {

// Whether the first read of a row is to count its masses by buckets.
template <typename Row>
TOKENDRAW_DEVICE bool may_read_roughly(const Settings& settings, const request::RowInputs& in) {
  return settings.try_candidates && searches_top_p<Row>(in);
}

// The first read of such a row. All threads get whether one of the logits is NaN. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE bool read_roughly() {
  auto& s = Row::shared();
  platform::block_barrier();
  for (uint32_t b = platform::thread_index(); b < kRoughRowBuckets; b += Row::kThreads) s.rough[b] = 0;
  platform::block_barrier();
  return platform::block_any(
      read_groups<Row, kFindsMasses | kFindsBuckets>(0, Row::groups(), s.inputs.params.scale, 0.0f));
}

// The logits among which the cut is likely to be, and what a token weighs there.
struct RoughCut {
  LogitRange range;
  uint64_t weight;
};

// `beyond` is the mass of what is not kept, and `total` the row's. Nothing (low > high) if the rough sums cannot tell.
template <typename Row>
TOKENDRAW_DEVICE_CALL RoughCut find_rough_cut(uint64_t beyond, uint64_t total) {
  constexpr uint32_t kEach = kRoughRowBuckets / Row::kThreads;
  constexpr RoughCut kNothing = {{1.0f, 0.0f}, 0};
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const RoughRow rough = RoughRow::of(s.reader.vocab(), s.inputs.params);
  float least = draw::infinity();
#pragma unroll
  for (int w = 0; w < Row::kWarps; ++w) least = s.first_counted[w] < least ? s.first_counted[w] : least;
  if (!rough.is_sound(rule.max, least)) return kNothing;
  float above_middle = 0.0f;
  const int32_t top = rough.first_number(rule.max, &above_middle);
  const int32_t bottom = top - static_cast<int32_t>(kRoughRowBuckets - 1);
  // A token of bucket bottom + i, and the sum of the bucket, in the contract's units.
  const auto weight_of = [&](uint32_t i) {
    const auto below_top = static_cast<float>(kRoughRowBuckets - 1 - i);
    return platform::exp2_estimate(float{kWeightBits} - above_middle - below_top * (1.0f / RoughRow::kPerUnit));
  };
  const float unit = draw::bits_float(static_cast<uint32_t>(127 - rough.bits) << 23);  // 2^-bits
  const auto counted = [&](uint32_t i) -> uint32_t& {
    return s.rough[static_cast<uint32_t>(bottom + static_cast<int32_t>(i)) & (kRoughRowBuckets - 1)];
  };
  // A thread's buckets become what they weigh, as floats.
  const uint32_t thread = platform::thread_index();
  const uint32_t first = kEach * thread;
  float of_thread = 0.0f;
#pragma unroll 4
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t bucket = first + ((i + thread) & (kEach - 1));  // of different banks
    const float mass = static_cast<float>(counted(bucket)) * unit * weight_of(bucket);
    counted(bucket) = draw::float_bits(mass);
    of_thread += mass;
  }
  const auto mass_of = [&](uint32_t i) { return draw::bits_float(counted(i)); };
  const auto own = static_cast<uint64_t>(of_thread);
  const auto sums = Row::BlockOf::exclusive_sum(own);
  // Where the sums, from the lightest on, reach `want`: the bucket, and how much of it.
  struct Place {
    uint32_t bucket;
    float share;
  };
  const auto place_of = [&](uint64_t want) {
    const bool mine = sums.first < want && want - sums.first <= own;
    const auto of_own = static_cast<float>(want - sums.first);
    uint32_t bucket = first;
    float before = 0.0f;
    if (mine) {
      float up_to = 0.0f;
#pragma unroll platform::kLoadsAtOnce
      for (uint32_t i = 0; i < kEach - 1; ++i) {
        up_to += mass_of(first + i);
        bucket += up_to < of_own ? 1 : 0;
        before = up_to < of_own ? up_to : before;
      }
    }
    const float share = draw::div_rn(of_own - before, mass_of(bucket) + 1.0f);
    const auto found = Row::BlockOf::broadcast(mine, bucket, draw::float_bits(share < 1.0f ? share : 1.0f));
    return Place{static_cast<uint32_t>(found.first), draw::bits_float(static_cast<uint32_t>(found.second))};
  };
  if (sums.second < beyond || beyond == 0) return kNothing;
  // One token in kOneOf counted for all: the variance of what they weigh is at most kOneOf - 1 times the heaviest's
  // weight, times the mass.
  constexpr float kDeviations = 2.5f;
  const uint64_t of_all = total >> (kHeavyBits - 2);  // what is heavier has been counted for sure
  const uint32_t cut_bucket = place_of(beyond).bucket;
  const auto of_cut = static_cast<uint64_t>(weight_of(cut_bucket)) + 1;
  const float variance_bits = log2_near(of_cut < of_all ? of_cut : of_all) + log2_near(beyond) +
                              log2_near(static_cast<uint64_t>(kOneOf - 1)) + 0.3f;
  auto off = static_cast<uint64_t>(kDeviations * platform::exp2_estimate(0.5f * variance_bits)) + (beyond >> 12);
  const uint64_t listable = of_cut * (3 * list_limit<Row>() / 8);  // to either side, or the list would overflow
  off = off < listable ? off : listable;
  const Place low = place_of(beyond > off + 1 ? beyond - off : 1);
  const Place high = place_of(beyond + off < sums.second ? beyond + off : sums.second);
  // Whole buckets, since what lies in one may be one value; but not where they are a part of many, beside the cut's.
  constexpr uint32_t kMany = 3;
  const bool many = high.bucket - low.bucket >= kMany;
  const auto end = [&](const Place& place, float of_whole) {
    const float share = many && place.bucket != cut_bucket ? place.share : of_whole;
    return static_cast<float>(bottom + static_cast<int32_t>(place.bucket)) - 0.5f + share;
  };
  return {rough.range_of(end(low, 0.0f), end(high, 1.0f), rule.max), of_cut};
}

// values[number % kCount], kCount being a power of two, of values in registers: by halves.
template <int kCount, typename T>
TOKENDRAW_DEVICE T picked(const T* values, uint32_t number) {
  if constexpr (kCount == 1) {
    return values[0];
  } else {
    const T lower = picked<kCount / 2>(values, number);
    const T upper = picked<kCount / 2>(values + kCount / 2, number);
    return (number & (kCount / 2)) != 0 ? upper : lower;
  }
}

// Lists those of this lane's logits that are in [low, high] and not -inf: a place is asked for once for all lines,
// since all lanes wait for it.
template <typename Row>
TOKENDRAW_DEVICE void list_hits_of_batch(const LineBatch<Row>& batch, float low, float high) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  static_assert(Row::kBatch * kWidth <= 32);
  uint32_t hits = 0;  // bit b * kWidth + i: x[b][i]
#pragma unroll
  for (int b = 0; b < Row::kBatch; ++b) hits |= hits_in(batch.x[b], low, high) << (b * kWidth);
  // Where most lanes have some, as where logits are equal, the list is soon full.
  const int lanes = platform::count_bits(platform::warp_ballot<kWave>(hits != 0));
  if (lanes > kWave / 4 && list_is_full<Row>()) return;
  if (hits == 0) return;
  auto& s = Row::shared();
  uint32_t place = platform::atomic_add(&s.listed, static_cast<uint32_t>(platform::count_bits(hits)));
  for (; hits != 0 && place < list_limit<Row>(); hits &= hits - 1) {
    const auto number = static_cast<uint32_t>(platform::first_bit(hits));
    float of_line[Row::kBatch];
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) of_line[b] = picked<kWidth>(batch.x[b], number);
    const auto x = picked<Row::kBatch>(of_line, number / kWidth);
    const auto line = picked<Row::kBatch>(batch.line, number / kWidth);
    const int32_t id = s.reader.first_id(line) + static_cast<int32_t>(number % kWidth);
    s.keys[place++] = draw::rank_key(draw::add_rn(x, 0.0f), static_cast<uint32_t>(id));
  }
}

// What a pass over a row finds beside a range of logits.
struct RangeFound {
  uint64_t seen;    // what the groups that it visited weigh, if it summed that,
  uint64_t above;   // and what of that lies above the range
  uint32_t inside;  // how many logits lie in it; if more than a list takes, that many or some number between
};

// That pass over the groups whose largest logit is at least `least`: the group masses become those above the range, and
// the list has what is inside, as much as there is room for. sums_seen: whether to sum all of what it visits.
template <typename Row>
TOKENDRAW_DEVICE_CALL RangeFound sum_beside_range(const LogitRange& range, float least, bool sums_seen) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  auto& s = Row::shared();
  const WeightRule rule = s.rule;
  const float low = range.low;
  const float high = range.high;
  const uint32_t thread = platform::thread_index();
  platform::block_barrier();
  if (thread == 0) s.listed = 0;
  clear_groups_below<Row>(least, 0, Row::groups(), s.group_mass);
  platform::block_barrier();
  uint64_t total = 0;
  GroupSums<Row> sums_above(s.group_mass);
  visit_needed_batches<Row>(0, Row::groups(), has_from<Row>(least), [&](const LineBatch<Row>& batch) {
    // In peaked rows most batches have none.
    const bool any = batch.warp_has([low](float x) { return x >= low; });
    ThreadMass<kWave> above[Row::kBatch];
    if (any || sums_seen) {
#pragma unroll
      for (int b = 0; b < Row::kBatch; ++b) {
        ThreadMass<kWave> seen;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          const auto weight = ThreadMass<kWave>::unrounded(rule.exponent(batch.x[b][i]));
          seen.add_unrounded(weight);
          above[b].add_unrounded(batch.x[b][i] > high ? weight : 0);
        }
        total += seen.value();
      }
    }
    sums_above.add(batch, above);
    if (any) list_hits_of_batch<Row>(batch, low, high);
  });
  platform::block_barrier();
  const auto sums = Row::BlockOf::sum_both(total, Row::mass_of_own_group());
  return {sums.first, sums.second, s.listed};
}

// The cut in a range with more logits than a list takes, of which it has some; what lies above it is known by group. 0
// if the range does not reach the goal, or the goal's slack could change the cut. What is kept becomes part of the
// group masses.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t cut_crowded_range(const LogitRange& range, const Goal& goal) {
  auto& s = Row::shared();
  const float low = range.low;
  const float high = range.high;
  if (listed_are_equal<Row>(list_limit<Row>())) {
    // Then all are, most likely, and how many of them are wanted says which, in the order of ids.
    const float x = draw::rank_key_logit(s.keys[0]);
    const uint64_t weight = s.rule.weight(x);
    if (weight == 0) return 0;
    const uint64_t wanted = (goal.least + weight - 1) / weight;
    if ((goal.least + goal.slack + weight - 1) / weight != wanted) return 0;
    const auto thread = static_cast<int32_t>(platform::thread_index());
    if (thread < Row::groups()) s.inside[thread] = 0;
    platform::block_barrier();
    uint32_t count = 0;
    bool others = false;
    visit_logits_from<Row>(
        low, 0, Row::groups(),
        [&](int32_t, float y) {
          count += y == x ? 1 : 0;
          others = others || (y >= low && y <= high && y != x);
        },
        [&](int32_t group) {
          const uint32_t of_group = platform::warp_add<Row::kWave>(count);
          if (lane_index<Row::kWave>() == 0) s.inside[group] = of_group;
          count = 0;
        });
    if (!platform::block_any(others)) {
      const uint64_t own = thread < Row::groups() ? s.inside[thread] : 0;
      const auto ties = Row::BlockOf::exclusive_sum(own);
      if (wanted > ties.second) return 0;
      if (own > 0) s.group_mass[thread] += weight * kept_ties(wanted, ties.first, own);
      const FoundInRow last = find_in_row<Row>(
          own, [wanted](uint64_t) { return wanted - 1; }, [x](int32_t, float y) { return y == x ? 1 : 0; });
      platform::block_barrier();
      return draw::rank_key(x, static_cast<uint32_t>(last.found.id));
    }
  }
  if (goal.slack != 0) return 0;
  const BitRange bits = {draw::ordered_bits(low), draw::ordered_bits(draw::add_rn(high, 0.0f))};
  const uint64_t cut = find_cut_in<Row>(Measure::kMass, goal.least, bits, false, false);
  if (cut != 0) sum_all_masses<Row>(cut);
  return cut;
}

// What is known exactly of a row's mass while its cut is looked for.
enum Known {
  kNothing,
  kSeen,  // what the groups weigh that are looked at, which are most of it
  kAll
};

// The cut of a row whose rule is known, and whose group masses are estimates still, counted roughly; 0 if it is not
// found. The group masses become those of what it keeps. Where the slack of what is known could decide, more is made
// known; where the cut lies beside the range, the range beside it is next.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t search_by_estimates() {
  constexpr int kMostPasses = 4;
  auto& s = Row::shared();
  const auto thread = static_cast<int32_t>(platform::thread_index());
  const RowEstimate row = keep_estimates<Row>();
  if (row.apart >= row.total) return 0;
  const draw::Fraction top_p = s.inputs.params.top_p;
  const RoughCut rough = find_rough_cut<Row>(row.total - draw::top_p_need(row.total, top_p), row.total);
  LogitRange range = rough.range;
  const uint64_t own_mass = Row::mass_of_own_group();  // as estimated: the group masses are about to become others
  const uint64_t off = row.alike + row.apart;
  int known = s.settings.wants_logprob ? kAll : 8 * off > rough.weight ? kSeen : kNothing;
  uint64_t cut = 0;
  Goal crowded = {0, 0};  // in a range with more logits than a list takes
#pragma unroll 1
  for (int pass = 0; pass < kMostPasses && cut == 0; ++pass) {
    if (!(range.low <= range.high && range.low > -draw::infinity())) return 0;
    const RangeFound found =
        sum_beside_range<Row>(range, known == kAll ? -draw::infinity() : range.low, known != kNothing);
    uint64_t total = row.total;
    uint64_t error = off;
    if (known != kNothing) {
      const bool unseen = known == kSeen && thread < Row::groups() && s.group_max[thread] < range.low;
      const auto sums = Row::BlockOf::sum_both(unseen ? own_mass : 0, unseen ? row.own_error : 0);
      total = found.seen + sums.first;
      error = sums.second > 0 ? sums.second + cut_off<Row>() : 0;
    }
    if (thread == 0) {
      s.total = total;
      s.total_error = error;
    }
    const uint64_t least = draw::top_p_need(total - error, top_p);
    const uint64_t most = draw::top_p_need(total + error, top_p);
    const float width = draw::sub_rn(range.high, range.low);
    if (found.above >= most) {
      const float high = draw::add_rn(range.high, width);
      range = {range.high, high < s.rule.max ? high : s.rule.max};
      continue;
    }
    CutInRange in_range = {0, found.inside == 0};
    if (found.above < least && found.inside > 0) {
      const Goal goal = {least - found.above, most - least};
      if (found.inside > list_limit<Row>()) {
        crowded = goal;
        break;
      }
      in_range = cut_list<Row>(found.inside, range, goal);
    }
    cut = in_range.cut;
    if (in_range.has_too_little) {
      range = {draw::sub_rn(range.low, width), range.low};
    } else {
      known = known == kNothing ? kSeen : kAll;
    }
  }
  if (crowded.least == 0) return cut;
  // After the loop, whose registers would be kept for what is called here.
  cut = cut_crowded_range<Row>(range, crowded);
  if (cut != 0 || crowded.slack == 0) return cut;
  const RangeFound of_all = sum_beside_range<Row>(range, -draw::infinity(), true);
  if (thread == 0) {
    s.total = of_all.seen;
    s.total_error = 0;
  }
  const uint64_t need = draw::top_p_need(of_all.seen, top_p);
  if (of_all.above >= need || of_all.inside <= list_limit<Row>()) return 0;
  return cut_crowded_range<Row>(range, {need - of_all.above, 0});
}

}  // namespace tokendraw::gpu
