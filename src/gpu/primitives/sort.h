// SPDX-License-Identifier: Apache-2.0
// Bitonic sort (Batcher, "Sorting networks and their applications", 1968) of keys in shared memory.
#pragma once

#include "gpu/primitives/warp.h"

namespace tokendraw::gpu {

TOKENDRAW_DEVICE void exchange_step(uint64_t* keys, uint32_t pair, uint32_t distance, uint32_t run) {
  const uint32_t low = 2 * pair - (pair & (distance - 1));
  const uint32_t high = low + distance;
  const uint64_t a = keys[low];
  const uint64_t b = keys[high];
  const bool descending = (low & run) == 0;
  if ((a < b) == descending) {
    keys[low] = b;
    keys[high] = a;
  }
}

// Sorts the first n of Owner::shared().keys in descending order; there is room for the power of two at or above n,
// whose rest is filled with zeros. All threads of the block call; begins and ends with a barrier.
template <typename Owner, int kThreads, int kWave>
TOKENDRAW_DEVICE_CALL void block_sort_descending(uint32_t n) {
  uint64_t* keys = Owner::shared().keys;
  const uint32_t thread = platform::thread_index();
  uint32_t size = 2;
  while (size < n) size *= 2;
  platform::block_barrier();
  for (uint32_t i = n + thread; i < size; i += kThreads) keys[i] = 0;
  platform::block_barrier();
  if (size <= 2 * kWave) {  // one warp, without barriers of the block
    if (thread < kWave) {
      for (uint32_t run = 2; run <= size; run *= 2) {
        for (uint32_t distance = run / 2; distance > 0; distance /= 2) {
          if (thread < size / 2) exchange_step(keys, thread, distance, run);
          platform::warp_barrier<kWave>();
        }
      }
    }
    platform::block_barrier();
    return;
  }
  for (uint32_t run = 2; run <= size; run *= 2) {
    for (uint32_t distance = run / 2; distance > 0; distance /= 2) {
      for (uint32_t pair = thread; pair < size / 2; pair += kThreads) exchange_step(keys, pair, distance, run);
      // Pairs of a warp stay within 2 * kWave keys while the distance does.
      if (distance > kWave || distance == 1) {
        platform::block_barrier();
      } else {
        platform::warp_barrier<kWave>();
      }
    }
  }
}

}  // namespace tokendraw::gpu
