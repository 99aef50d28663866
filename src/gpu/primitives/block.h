// SPDX-License-Identifier: Apache-2.0
// What the threads of one block do together. All threads of the block call and all get the result. Every function
// begins with a barrier, so that one call's place in shared memory is free for the next.
#pragma once

#include "gpu/primitives/warp.h"

namespace tokendraw::gpu {

template <int kThreads, int kWave>
struct Block {
  static constexpr int kWarps = kThreads / kWave;
  static constexpr bool kIsCluster = false;

  struct Sums {
    uint64_t first;
    uint64_t second;
  };

  TOKENDRAW_DEVICE_CALL static Sums sum_both(uint64_t first, uint64_t second) {
    Shared& s = shared();
    first = warp_sum<kWave>(first);
    second = warp_sum<kWave>(second);
    platform::block_barrier();
    if (lane_index<kWave>() == 0) {
      s.of_warp[0][warp_index<kWave>()] = first;
      s.of_warp[1][warp_index<kWave>()] = second;
    }
    platform::block_barrier();
    Sums total = {0, 0};
#pragma unroll platform::kLoadsAtOnce
    for (int w = 0; w < kWarps; ++w) {
      total.first += s.of_warp[0][w];
      total.second += s.of_warp[1][w];
    }
    return total;
  }
  TOKENDRAW_DEVICE static uint64_t sum(uint64_t value) { return sum_both(value, 0).first; }

  // first: the sum of the values of the threads before this one; second: of all.
  TOKENDRAW_DEVICE_CALL static Sums exclusive_sum(uint64_t value) {
    Shared& s = shared();
    const uint64_t inclusive = warp_inclusive_sum<kWave>(value);
    platform::block_barrier();
    if (lane_index<kWave>() == kWave - 1) s.of_warp[0][warp_index<kWave>()] = inclusive;
    platform::block_barrier();
    Sums sums = {inclusive - value, 0};
#pragma unroll platform::kLoadsAtOnce
    for (int w = 0; w < kWarps; ++w) {
      if (static_cast<uint32_t>(w) < warp_index<kWave>()) sums.first += s.of_warp[0][w];
      sums.second += s.of_warp[0][w];
    }
    return sums;
  }

  TOKENDRAW_DEVICE_CALL static float max(float value) {
    Shared& s = shared();
    value = warp_max<kWave>(value);
    platform::block_barrier();
    if (lane_index<kWave>() == 0) s.of_warp[0][warp_index<kWave>()] = draw::float_bits(value);
    platform::block_barrier();
    float largest = draw::bits_float(static_cast<uint32_t>(s.of_warp[0][0]));
#pragma unroll platform::kLoadsAtOnce
    for (int w = 1; w < kWarps; ++w) {
      largest = platform::max_number(largest, draw::bits_float(static_cast<uint32_t>(s.of_warp[0][w])));
    }
    return largest;
  }

  // The values of the one thread where `mine` is true.
  TOKENDRAW_DEVICE static Sums broadcast(bool mine, uint64_t first, uint64_t second = 0) {
    Shared& s = shared();
    platform::block_barrier();
    if (mine) s.found = {first, second};
    platform::block_barrier();
    return s.found;
  }

 private:
  struct Shared {
    uint64_t of_warp[2][kWarps];
    Sums found;
  };
  TOKENDRAW_DEVICE static Shared& shared() {
    TOKENDRAW_SHARED(Shared, block_shared);
    return block_shared;
  }
};

}  // namespace tokendraw::gpu
