// SPDX-License-Identifier: Apache-2.0
// What all blocks of a cluster tell all: the maxima of their groups. By messages, for which nobody waits but who needs
// them: a barrier of the cluster takes as long as a message there and an acknowledgement back, and the slowest block.
#pragma once

#include "gpu/kernels/candidates.h"
#include "gpu/kernels/resident_maxima.h"

namespace tokendraw::gpu {

// Opens the block's inboxes and empties what others add to. Before a barrier of the cluster.
template <typename Row>
TOKENDRAW_DEVICE void prepare_exchange() {
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  const uint32_t blocks = platform::cluster_blocks();
  if (lane_index<Row::kWave>() == 0 && warp_index<Row::kWave>() < Row::kCopyWarps) {
    for (uint32_t w = warp_index<Row::kWave>(); w < Row::kWarps; w += Row::kCopyWarps) {
      platform::prepare_copy(&s.copied[w]);
    }
  }
  if (thread == 0) {
    const uint32_t rank = platform::cluster_rank();
    platform::open_inbox(&s.cluster.maxima_inbox, 1);
    platform::open_inbox(&s.cluster.mass_inbox, 1);
    platform::open_inbox(&s.cluster.candidates_inbox, blocks);
    platform::open_inbox(&s.cluster.decides_inbox, 1);
    platform::announce(&s.cluster.maxima_inbox, rank, plan::kGpuClusterMaxima * sizeof(float));
    platform::announce(&s.cluster.mass_inbox, rank, blocks * sizeof(uint64_t));
    platform::announce(&s.cluster.decides_inbox, rank, sizeof(uint64_t));
    s.cluster.nan = 0;
    s.cluster.candidates = 0;
    s.listed = 0;
    s.sent = 0;
    s.total_error = 0;
    s.hits = 0;
  }
  static_assert(kNearBuckets <= Row::kThreads && kRankedAtOnce <= Row::kThreads);
  if (thread < kNearBuckets) s.near[thread] = 0;
  if (thread < kRankedAtOnce) s.lists.candidates[thread] = 0;
}

// Tells all blocks the maxima of this block's groups, and whether it saw NaN, the same in all threads. After a barrier.
template <typename Row>
TOKENDRAW_DEVICE void tell_maxima(const Arguments& a, bool nan) {
  auto& s = Row::shared();
  const uint32_t thread = platform::thread_index();
  if (nan) {  // seldom, so it has no place in the messages; it is there before they are sent
    if (thread < platform::cluster_blocks()) {
      (void)platform::atomic_or(platform::cluster_map(&s.cluster.nan, thread), 1u);
    }
    platform::fence_device();
    platform::block_barrier();
  }
  constexpr uint32_t kEach = sizeof(platform::Words16) / sizeof(float);
  static_assert(kEach * Row::kThreads == plan::kGpuClusterMaxima, "one message a thread");
  const uint32_t messages = Row::kThreads >> a.cluster_shift;  // to each block
  const uint32_t message = thread & (messages - 1);
  const auto maxima = static_cast<uint32_t>(Row::groups() * Row::kMaximaOfGroup);
  platform::Words16 words = {};
  if (message * kEach < maxima) words = reinterpret_cast<const platform::Words16*>(s.told)[message];
#pragma unroll
  for (uint32_t i = 0; i < kEach; ++i) {
    if (message * kEach + i >= maxima) words.word[i] = draw::float_bits(-draw::infinity());
  }
  // A power of two
  const uint32_t each_shift = 31 - static_cast<uint32_t>(platform::leading_zeros(messages));
  platform::send(reinterpret_cast<platform::Words16*>(s.lists.maxima),
                 (platform::cluster_rank() << each_shift) + message, words, &s.cluster.maxima_inbox,
                 thread >> each_shift);
}

// A thread's share of all maxima.
struct ToldMaxima {
  float x[4];
};

template <typename Row>
TOKENDRAW_DEVICE ToldMaxima told_maxima() {
  const auto& s = Row::shared();
  ToldMaxima maxima;
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) maxima.x[i] = s.lists.maxima[4 * platform::thread_index() + i];
  return maxima;
}

// The largest of all. Has a barrier.
template <typename Row>
TOKENDRAW_DEVICE float largest_told(const ToldMaxima& maxima) {
  constexpr int kWave = Row::kWave;
  auto& s = Row::shared();
  const float largest = platform::max_number(platform::max_number(maxima.x[0], maxima.x[1]),
                                             platform::max_number(maxima.x[2], maxima.x[3]));
  const uint32_t of_warp = platform::warp_largest<kWave>(draw::ordered_bits(largest));
  if (lane_index<kWave>() == 0) s.warp_max[warp_index<kWave>()] = of_warp;
  platform::block_barrier();
  uint32_t of_block = 0;
#pragma unroll
  for (int w = 0; w < Row::kWarps; ++w) of_block = s.warp_max[w] > of_block ? s.warp_max[w] : of_block;
  return draw::from_ordered_bits(of_block);
}

// Of the counts of distances: one more, but in the last bucket, which is far away and never looked for.
TOKENDRAW_DEVICE void count_near(uint32_t* near, float max, float value) {
  const uint32_t bucket = near_bucket(draw::sub_rn(max, value));  // of -inf: the last one
  if (bucket < kNearBuckets - 1) platform::atomic_add(&near[bucket], 1u);
}

// A logit that at least `wanted` of all maxima reach, and so as many logits of the row, and not many more; the lowest
// finite one if there are fewer. Has a barrier.
template <typename Row>
TOKENDRAW_DEVICE float threshold_of_told(const ToldMaxima& maxima, float max, uint32_t wanted) {
#pragma unroll
  for (uint32_t i = 0; i < 4; ++i) count_near(Row::shared().near, max, maxima.x[i]);
  platform::block_barrier();
  return threshold_of_counts<Row>(Row::shared().near, max, wanted);
}

}  // namespace tokendraw::gpu
