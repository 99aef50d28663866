// SPDX-License-Identifier: Apache-2.0
// Candidates: a threshold from the group maxima, and the list of the logits above one.
#pragma once

#include "gpu/kernels/row_passes.h"

namespace tokendraw::gpu {

TOKENDRAW_DEVICE uint32_t near_bucket(float distance) {
  const uint32_t number = draw::float_bits(distance) >> kNearShift;
  const uint32_t above = number > kNearBase ? number - kNearBase : 0;
  return above < kNearBuckets - 1 ? above : kNearBuckets - 1;  // NaN too: it is inf - inf
}

// Sets the counts to zero, which lie in the second half of the histogram. No barrier.
template <typename Row>
TOKENDRAW_DEVICE void clear_near() {
  const uint32_t thread = platform::thread_index();
  if (thread < kNearBuckets) Row::shared().histogram.second_half()[thread] = 0;
}

// A value that at least `wanted` of the counted values reach, and not many more, from the counts of their distances
// below `max`; the smallest finite one if there are fewer or the wanted ones lie far away. All warps get it.
template <typename Row>
TOKENDRAW_DEVICE float threshold_of_counts(const uint32_t* near, float max, uint32_t wanted) {
  constexpr int kWave = Row::kWave;
  constexpr uint32_t kEach = kNearBuckets / kWave;
  const uint32_t lane = lane_index<kWave>();
  uint32_t up_to[kEach];  // of this lane's buckets up to one
  uint32_t own = 0;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    own += near[lane * kEach + i];
    up_to[i] = own;
  }
  uint32_t reached = own;  // by the lanes up to this one
#pragma unroll
  for (uint32_t by = 1; by < kWave; by *= 2) {
    const uint32_t before = platform::warp_shuffle_up<kWave>(reached, by);
    if (lane >= by) reached += before;
  }
  const uint64_t enough = platform::warp_ballot<kWave>(reached >= wanted);
  if (enough == 0) return -draw::kLargestFinite;
  uint32_t bucket = lane * kEach;
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) bucket += reached - own + up_to[i] < wanted ? 1 : 0;
  bucket = platform::warp_shuffle<kWave>(bucket, static_cast<uint32_t>(platform::first_bit(enough)));
  if (bucket == kNearBuckets - 1) return -draw::kLargestFinite;
  // The distances in the buckets up to this one are below its upper end. A value above the exact difference is not
  // below the rounded one.
  return draw::sub_rn(max, draw::bits_float((bucket + 1 + kNearBase) << kNearShift));
}

// The same of n values, the i-th being value_at(i / kThreads, i). n is at most kMost. Uses clear_near()'s memory, which
// is zero and known to be by a barrier.
template <typename Row, int kMost, typename ValueAt>
TOKENDRAW_DEVICE float threshold_of(float max, uint32_t n, uint32_t wanted, const ValueAt& value_at) {
  static_assert(kNearBuckets <= Row::kBuckets && kNearBuckets <= Row::kThreads);
  uint32_t* near = Row::shared().histogram.second_half();
  const uint32_t thread = platform::thread_index();
#pragma unroll
  for (uint32_t step = 0; step < (kMost + Row::kThreads - 1) / Row::kThreads; ++step) {
    const uint32_t i = step * Row::kThreads + thread;
    const float value = i < n ? value_at(step, i) : -draw::infinity();
    if (value != -draw::infinity()) platform::atomic_add(&near[near_bucket(draw::sub_rn(max, value))], 1u);
  }
  platform::block_barrier();
  return threshold_of_counts<Row>(near, max, wanted);
}

// Of a row's group maxima.
template <typename Row>
TOKENDRAW_DEVICE_CALL float threshold_of_maxima(int32_t k) {
  platform::block_barrier();
  clear_near<Row>();
  platform::block_barrier();
  return threshold_of<Row, Row::kMaxGroups>(Row::shared().rule.max, static_cast<uint32_t>(Row::groups()),
                                            static_cast<uint32_t>(k),
                                            [](uint32_t, uint32_t group) { return Row::shared().group_max[group]; });
}

// So few candidates are compared all with all; more are sorted.
inline constexpr uint32_t kPairwise = 128;

// Whether more is listed than there is room for, as the whole warp sees it.
template <typename Row>
TOKENDRAW_DEVICE bool list_is_full() {
  uint32_t listed = 0;
  if (lane_index<Row::kWave>() == 0) listed = platform::atomic_add(&Row::shared().listed, 0u);
  return platform::warp_shuffle<Row::kWave>(listed, 0u) > list_limit<Row>();
}

// Which of this lane's logits are in [low, high] and not -inf: bit i says it of x[i].
template <int kWidth>
TOKENDRAW_DEVICE uint32_t hits_in(const float (&x)[kWidth], float low, float high) {
  low = platform::max_number(low, -draw::kLargestFinite);
  uint32_t hits = 0;
#pragma unroll
  for (int i = 0; i < kWidth; ++i) hits |= x[i] >= low && x[i] <= high ? uint32_t{1} << i : 0;
  return hits;
}

// Lists those of this lane's logits that are hits.
template <typename Row>
TOKENDRAW_DEVICE void list_hits(const float (&x)[Row::Reader::kWidth], int32_t id, uint32_t hits) {
  constexpr int kWidth = Row::Reader::kWidth;
  if (hits == 0) return;
  uint32_t place = platform::atomic_add(&Row::shared().listed, static_cast<uint32_t>(platform::count_bits(hits)));
#pragma unroll
  for (int i = 0; i < kWidth; ++i) {
    if ((hits >> i & 1u) == 0) continue;
    if (place < list_limit<Row>()) {
      Row::shared().keys[place] = draw::rank_key(draw::add_rn(x[i], 0.0f), static_cast<uint32_t>(id + i));
    }
    ++place;
  }
}

// How many keys are listed. Those that the blocks of a cluster listed become one list, if it has room for them, which
// all of them have then. Begins after a barrier and ends with one.
template <typename Row>
TOKENDRAW_DEVICE uint32_t share_list() {
  auto& s = Row::shared();
  if constexpr (!Row::Team::kIsCluster) return s.listed;
  if constexpr (Row::Team::kIsCluster) {
    const uint32_t own = s.listed;
    const auto counts = Row::Team::sum_of_blocks(own);
    const auto n = static_cast<uint32_t>(counts.second);
    if (n > list_limit<Row>()) return n;
    const auto first = static_cast<uint32_t>(counts.first);
    constexpr uint32_t kEach = (Row::kListCapacity + Row::kThreads - 1) / Row::kThreads;
    uint64_t keys[kEach];
#pragma unroll
    for (uint32_t i = 0; i < kEach; ++i) {
      const uint32_t place = i * Row::kThreads + platform::thread_index();
      keys[i] = place < own ? s.keys[place] : 0;
    }
    platform::cluster_barrier();
    for (uint32_t rank = 0; rank < platform::cluster_blocks() && own > 0; ++rank) {
      uint64_t* to = platform::cluster_map(&s.keys[0], rank) + first;
#pragma unroll
      for (uint32_t i = 0; i < kEach; ++i) {
        const uint32_t place = i * Row::kThreads + platform::thread_index();
        if (place < own) to[place] = keys[i];
      }
    }
    platform::cluster_barrier();
    return n;
  }
}

// Lists the rank keys of the logits in [low, high], unordered, as many as there is room for. Returns how many there
// are, or some number above the capacity if there are more. Begins and ends with a barrier. -inf is never listed.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint32_t gather(float low, float high) {
  constexpr int kWave = Row::kWave;
  constexpr int kBatch = Row::kBatch;
  auto& s = Row::shared();
  const typename Row::Reader reader = s.reader;
  const int32_t group_lines = s.settings.group_lines;
  const int32_t group_shift = Row::shift_of(group_lines);
  const uint32_t thread = platform::thread_index();
  platform::block_barrier();
  if (thread == 0) {
    s.hits = 0;
    s.listed = 0;
  }
  platform::block_barrier();
  const bool hit = static_cast<int32_t>(thread) < Row::groups() && s.group_max[thread] >= low;
  const uint64_t hits = platform::warp_ballot<kWave>(hit);
  const uint32_t lane = lane_index<kWave>();
  uint32_t begin = 0;
  if (lane == 0 && hits != 0) {
    begin = platform::atomic_add(&s.hits, static_cast<uint32_t>(platform::count_bits(hits)));
  }
  begin = platform::warp_shuffle<kWave>(begin, 0u);
  if (hit) {
    const auto before = static_cast<uint32_t>(platform::count_bits(hits & ((uint64_t{1} << lane) - 1)));
    s.hit[begin + before] = static_cast<uint16_t>(thread);
  }
  platform::block_barrier();

  // The line at position i of the lines of all hit groups; one past the row where there is none.
  const int32_t lines = static_cast<int32_t>(s.hits) << group_shift;
  const auto line_at = [&](int32_t i) {
    if (i >= lines) return reader.lines();
    return (static_cast<int32_t>(s.hit[i >> group_shift]) << group_shift) + (i & (group_lines - 1));
  };
  for (int32_t first = static_cast<int32_t>(warp_index<kWave>()) * kBatch; first < lines;
       first += Row::kWarps * kBatch) {
    if (list_is_full<Row>()) break;
    platform::Words16 words[kBatch] = {};
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int32_t line = line_at(first + b);
      if (line < reader.lines()) {
        words[b] = reader.is_inside(line) ? reader.fetch_inside(line) : reader.fetch(line);
      }
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int32_t line = line_at(first + b);
      if (line >= reader.lines()) continue;
      float x[Row::Reader::kWidth];
      bool nan = false;
      reader.convert(words[b], line, x, nan);
      list_hits<Row>(x, reader.first_id(line), hits_in(x, low, high));
    }
  }
  platform::block_barrier();
  return share_list<Row>();
}

// Leaves out of a list of n keys, whose largest logit is `max`, what cannot be among the top k; returns how many are
// left, which are those from *threshold on. Ends with a barrier.
template <typename Row>
TOKENDRAW_DEVICE_CALL uint32_t keep_top_k(uint32_t n, float max, int32_t k, float* threshold) {
  auto& s = Row::shared();
  constexpr uint32_t kEach = (Row::kListCapacity + Row::kThreads - 1) / Row::kThreads;
  const uint32_t thread = platform::thread_index();
  uint64_t keys[kEach];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    const uint32_t place = i * Row::kThreads + thread;
    keys[i] = place < n ? s.keys[place] : 0;
  }
  // The counts may take the list's place, so the keys are looked at from registers.
  platform::block_barrier();
  clear_near<Row>();
  platform::block_barrier();
  *threshold = threshold_of<Row, Row::kListCapacity>(
      max, n, static_cast<uint32_t>(k), [&](uint32_t step, uint32_t) { return draw::rank_key_logit(keys[step]); });
  const uint64_t least = draw::rank_key(*threshold, ~uint32_t{0});
  if (thread == 0) s.listed = 0;
  platform::block_barrier();
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (keys[i] >= least && keys[i] != 0) s.keys[platform::atomic_add(&s.listed, 1u)] = keys[i];
  }
  platform::block_barrier();
  return s.listed;
}

}  // namespace tokendraw::gpu
