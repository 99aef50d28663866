// SPDX-License-Identifier: Apache-2.0
// The passes that sum and count a row's logits, after the first look at it.
#pragma once

#include "gpu/kernels/mass_sum.h"
#include "gpu/kernels/row_visits.h"

namespace tokendraw::gpu {

// Of sums of 64 bits, which are below 2^52 in a lane, since it has at most 2^9 logits of a group: that of a group's
// lanes, where it belongs.
template <int kWave>
TOKENDRAW_DEVICE void finish_group(uint64_t* of_group, int32_t group, uint64_t of_lane) {
  const uint64_t total = warp_sum_of_52_bits<kWave>(of_lane);
  if (lane_index<kWave>() == 0) of_group[group] = total;
}

// Such sums of lines, one after the other, to those of their groups.
template <typename Row>
class GroupSums {
 public:
  TOKENDRAW_DEVICE explicit GroupSums(uint64_t* of_group) : of_group_(of_group) {}
  // Those of a batch's lines; 0 where there is no such line.
  TOKENDRAW_DEVICE void add(const LineBatch<Row>& batch, const ThreadMass<Row::kWave> (&of_lane)[Row::kBatch]) {
    constexpr uint32_t kLast = uint32_t{1} << (Row::kBatch - 1);
    if ((batch.ends & (kLast - 1)) == 0) {  // all of one group
#pragma unroll
      for (int b = 0; b < Row::kBatch; ++b) sum_ += of_lane[b].value();
      finish(batch, Row::kBatch - 1);
      return;
    }
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) {
      sum_ += of_lane[b].value();
      finish(batch, b);
    }
  }

 private:
  TOKENDRAW_DEVICE void finish(const LineBatch<Row>& batch, int b) {
    batch.finish(b, [&](int32_t group) {
      finish_group<Row::kWave>(of_group_, group, sum_);
      sum_ = 0;
    });
  }

  uint64_t* of_group_;
  uint64_t sum_ = 0;
};

// Such sums of those of the groups [first, last) that are not `needed`, which a pass does not visit: 0. No barrier.
template <typename Row, typename Needed>
TOKENDRAW_DEVICE void clear_other_groups(int32_t first, int32_t last, const Needed& needed, uint64_t* of_group) {
  const auto thread = static_cast<int32_t>(platform::thread_index());
  for (int32_t group = first + thread; group < last; group += Row::kThreads) {
    if (!needed(group)) of_group[group] = 0;
  }
}
template <typename Row>
TOKENDRAW_DEVICE void clear_groups_below(float low, int32_t first, int32_t last, uint64_t* of_group) {
  clear_other_groups<Row>(first, last, has_from<Row>(low), of_group);
}

// Which keys are at least a cut, without making the keys.
struct CutTest {
  float x;
  int32_t id;
  TOKENDRAW_DEVICE explicit CutTest(uint64_t cut)
      : x(cut == 0 ? -draw::infinity() : draw::rank_key_logit(cut)),
        id(cut == 0 ? -1 : static_cast<int32_t>(draw::rank_key_id(cut) & 0x7fffffffu)) {}
  // Without a branch, after which lanes would wait for one another.
  TOKENDRAW_DEVICE bool keeps(int32_t other_id, float other_x) const {
    const bool above = other_x > x;
    const bool at = other_x == x;
    const bool early = other_id <= id;
    return above | (at & early);
  }
  // Whether a group may have a key that is kept: by its largest logit, as if the first id had it.
  template <typename Row>
  TOKENDRAW_DEVICE bool reaches(int32_t group) const {
    const auto& s = Row::shared();
    const int32_t place = group * s.settings.group_lines * Row::Reader::kLine;
    return keeps(s.reader.id_at(place), s.group_max[group]);
  }
};

// The mass of each of the groups [first, last) at keys >= cut. No barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL void sum_masses_from(uint64_t cut, int32_t first, int32_t last, uint64_t* group_mass) {
  constexpr int kWave = Row::kWave;
  WeightRule rule = Row::shared().rule;
  // Of a row whose largest is +inf only those weigh something, and all the same: as much as the largest number.
  if (rule.infinite()) {
    const uint64_t infinite = draw::rank_key(draw::infinity(), ~uint32_t{0});
    cut = cut > infinite ? cut : infinite;
    rule.max = draw::kLargestFinite;
  }
  const CutTest test(cut);
  const auto reached = [test](int32_t group) { return test.reaches<Row>(group); };
  clear_other_groups<Row>(first, last, reached, group_mass);
  const typename Row::Reader reader = Row::shared().reader;
  GroupSums<Row> sums(group_mass);
  visit_needed_batches<Row>(first, last, reached, [&](const LineBatch<Row>& batch) {
    ThreadMass<kWave> mass[Row::kBatch];
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) {
      const int32_t id = reader.first_id(batch.line[b]);
#pragma unroll
      for (int i = 0; i < Row::Reader::kWidth; ++i) {
        const float x = batch.x[b][i];
        const float y = rule.exponent(-platform::max_number(-x, -draw::kLargestFinite));
        mass[b].add(test.keeps(id + i, x) ? y : kNoWeight);
      }
    }
    sums.add(batch, mass);
  });
}

// Into the histogram: the weights of exponents y[i] for which `heavy` has bit i, most of them at most two a lane.
// Returns their sum.
template <typename Row, int kWidth>
TOKENDRAW_DEVICE uint64_t add_heavy(const float (&y)[kWidth], uint32_t heavy) {
  constexpr int kWave = Row::kWave;
  using Map = BucketMap<Row::kBuckets>;
  auto& histogram = Row::shared().histogram;
  uint64_t sum = 0;
  const auto own = static_cast<uint32_t>(platform::count_bits(heavy));
  const uint32_t most = platform::warp_largest<kWave>(own);
  if (most <= 2) {
    for (uint32_t turn = 0; turn < most; ++turn) {
      float first = kNoWeight;
      bool found = false;
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        const bool take = !found && (heavy >> i & 1u) != 0;
        first = take ? y[i] : first;
        found = found || take;
      }
      heavy &= heavy - 1;
      if (!found) continue;
      const uint64_t weight = ThreadMass<kWave>::weight_of(first);
      histogram.add(Map::bucket_of_exponent(first), weight);
      sum += weight;
    }
    return sum;
  }
  uint64_t weights[kWidth];
  uint32_t buckets[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    // Light ones add nothing, to some bucket or other, so that they do not wait for one another.
    const bool is_heavy = (heavy >> i & 1u) != 0;
    weights[i] = ThreadMass<kWave>::weight_of(is_heavy ? y[i] : kNoWeight);
    buckets[i] = is_heavy ? Map::bucket_of_exponent(y[i]) : lane_index<kWave>() * kWidth + static_cast<uint32_t>(i);
    sum += weights[i];
  }
  if (heavy != 0) histogram.template add_all<kWidth>(buckets, weights);
  return sum;
}

// The mass of each of the groups [first, last), and with kHistogram the histogram of it too. No barrier.
template <typename Row, bool kHistogram>
TOKENDRAW_DEVICE_CALL void sum_masses(int32_t first, int32_t last, uint64_t* group_mass) {
  constexpr int kWave = Row::kWave;
  constexpr int kWidth = Row::Reader::kWidth;
  using Map = BucketMap<Row::kBuckets>;
  const WeightRule rule = Row::shared().rule;
  if (rule.infinite()) return sum_masses_from<Row>(0, first, last, group_mass);
  uint64_t light = 0;  // of the last bucket, to which most of a peaked row belongs: all but what is heavy
  GroupSums<Row> sums(group_mass);
  visit_batches_backward<Row>(first, last, [&](const LineBatch<Row>& batch) {
    float y[Row::kBatch][kWidth];
    ThreadMass<kWave> mass[Row::kBatch];
    bool any = false;
#pragma unroll
    for (int b = 0; b < Row::kBatch; ++b) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        y[b][i] = rule.exponent(batch.x[b][i]);
        mass[b].add(y[b][i]);
        any = any || y[b][i] > Map::kLightest;
      }
    }
    if constexpr (kHistogram) {
      const bool heavies = platform::warp_ballot<kWave>(any) != 0;
#pragma unroll
      for (int b = 0; b < Row::kBatch; ++b) {
        light += mass[b].value();
        if (!heavies) continue;
        uint32_t heavy = 0;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) heavy |= y[b][i] > Map::kLightest ? uint32_t{1} << i : 0;
        light -= add_heavy<Row>(y[b], heavy);
      }
    }
    sums.add(batch, mass);
  });
  if constexpr (kHistogram) {
    light = warp_sum<kWave>(light);
    if (lane_index<kWave>() == 0) Row::shared().histogram.add(Row::kBuckets - 1, light);
  }
}

// The group masses at keys >= cut, into shared memory. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void sum_all_masses(uint64_t cut) {
  platform::block_barrier();
  sum_masses_from<Row>(cut, 0, Row::groups(), Row::shared().group_mass);
  platform::block_barrier();
}

// How many logits have a key >= cut and are at least `lightest`.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint64_t count_from(uint64_t cut, float lightest) {
  const CutTest test(cut);
  uint32_t count = 0;
  visit_needed_logits<Row>(
      0, Row::groups(), [test](int32_t group) { return test.reaches<Row>(group); },
      [&](int32_t id, float x) { count += test.keeps(id, x) && x >= lightest ? 1 : 0; }, [](int32_t) {});
  return Row::Team::sum(count);
}

// The group masses become the number of logits equal to `tie`, which is not -inf; 0 for those behind so many groups
// that `wanted` are before them. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL void count_ties(float tie, uint64_t wanted) {
  auto& s = Row::shared();
  const auto thread = static_cast<int32_t>(platform::thread_index());
  platform::block_barrier();
  const float largest = thread < Row::groups() ? s.group_max[thread] : -draw::infinity();
  // A group whose largest logit is one has one for sure.
  const uint64_t before = Row::BlockOf::exclusive_sum(largest == tie ? 1 : 0).first;
  if (thread < Row::groups()) s.group_mass[thread] = largest >= tie && before < wanted ? 1 : 0;
  platform::block_barrier();
  uint32_t count = 0;
  visit_needed_logits<Row>(
      0, Row::groups(), [](int32_t group) { return Row::shared().group_mass[group] != 0; },
      [&](int32_t, float x) { count += x == tie ? 1 : 0; },
      [&](int32_t group) {
        finish_group<Row::kWave>(Row::shared().group_mass, group, count);
        count = 0;
      });
  platform::block_barrier();
}

// Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void clear_histogram() {
  platform::block_barrier();
  for (uint32_t b = platform::thread_index(); b < Row::kBuckets; b += Row::kThreads) Row::shared().histogram.set(b, 0);
  platform::block_barrier();
}

// Of a row that a cluster shares: the histograms of its blocks become their sum. Each block adds up a share of the
// buckets and tells it to all. Ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE void add_up_histogram() {
  if constexpr (Row::Team::kIsCluster) {
    auto& histogram = Row::shared().histogram;
    const uint32_t blocks = platform::cluster_blocks();  // a power of two
    const uint32_t thread = platform::thread_index();
    const uint32_t share = Row::kBuckets / blocks;
    const uint32_t first = platform::cluster_rank() * share;
    const uint32_t parts = share < Row::kThreads ? Row::kThreads / share : 1;  // threads of a bucket: neighbours
    platform::cluster_barrier();
    for (uint32_t i = thread; i < share * parts; i += Row::kThreads) {
      const uint32_t bucket = first + i / parts;
      uint64_t sum = 0;
#pragma unroll 4
      for (uint32_t rank = i % parts; rank < blocks; rank += parts) {
        sum += platform::cluster_map(&histogram, rank)->at(bucket);
      }
      for (uint32_t mask = 1; mask < parts; mask *= 2) sum += platform::warp_shuffle_xor<Row::kWave>(sum, mask);
      for (uint32_t rank = i % parts; rank < blocks; rank += parts) {
        platform::cluster_map(&histogram, rank)->set(bucket, sum);
      }
    }
    platform::cluster_barrier();
  }
}

// The histogram of the logits in [low, high]: of their mass, or their number. Begins and ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL void fill_histogram(float low, float high, BucketMap<Row::kBuckets> map, bool of_mass) {
  clear_histogram<Row>();
  visit_vectors_from<Row>(
      low, 0, Row::groups(),
      [&](int32_t, const float(&x)[Row::Reader::kWidth]) {
        constexpr int kWidth = Row::Reader::kWidth;
        bool any = false;
#pragma unroll
        for (int i = 0; i < kWidth; ++i) any = any || (x[i] >= low && x[i] <= high);
        if (!any) return;
        uint64_t values[kWidth];
        uint32_t buckets[kWidth];
#pragma unroll
        for (int i = 0; i < kWidth; ++i) {
          const bool inside = x[i] >= low && x[i] <= high;
          buckets[i] = inside ? map.bucket(x[i], draw::ordered_bits(draw::add_rn(x[i], 0.0f)))
                              : lane_index<Row::kWave>() * kWidth + static_cast<uint32_t>(i);
          values[i] = !inside ? 0 : of_mass ? map.rule.finite_weight(x[i]) : 1;
        }
        Row::shared().histogram.template add_all<kWidth>(buckets, values);
      },
      [](int32_t) {});
  platform::block_barrier();
  add_up_histogram<Row>();
}

}  // namespace tokendraw::gpu
