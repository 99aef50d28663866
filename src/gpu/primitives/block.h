// SPDX-License-Identifier: Apache-2.0
// What the threads of one block do together. All threads of the block call and all get the result.
#pragma once

#include "gpu/primitives/warp.h"

namespace tokendraw::gpu {

template <int kThreads, int kWave>
struct Block {
  static constexpr int kWarps = kThreads / kWave;

  // One value a warp, in two places that take turns: a call needs no barrier against the one before it.
  struct Shared {
    uint64_t slot[2][kWarps];
    uint64_t found[2];
  };

  // The state of a thread, the same in all of them: `turn` counts calls.
  Shared& shared;
  uint32_t turn = 0;

  TOKENDRAW_DEVICE uint64_t sum(uint64_t value) {
    uint64_t* slot = next();
    value = warp_sum<kWave>(value);
    if (lane_index<kWave>() == 0) slot[warp_index<kWave>()] = value;
    platform::block_barrier();
    uint64_t total = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) total += slot[w];
    return total;
  }

  // The sum of the values of the threads before this one; *total: of all.
  TOKENDRAW_DEVICE uint64_t exclusive_sum(uint64_t value, uint64_t* total) {
    uint64_t* slot = next();
    const uint64_t inclusive = warp_inclusive_sum<kWave>(value);
    if (lane_index<kWave>() == kWave - 1) slot[warp_index<kWave>()] = inclusive;
    platform::block_barrier();
    uint64_t before = 0;
    uint64_t all = 0;
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      if (static_cast<uint32_t>(w) < warp_index<kWave>()) before += slot[w];
      all += slot[w];
    }
    *total = all;
    return before + inclusive - value;
  }

  TOKENDRAW_DEVICE float max(float value) {
    uint64_t* slot = next();
    value = warp_max<kWave>(value);
    if (lane_index<kWave>() == 0) slot[warp_index<kWave>()] = draw::float_bits(value);
    platform::block_barrier();
    float largest = draw::bits_float(static_cast<uint32_t>(slot[0]));
#pragma unroll
    for (int w = 1; w < kWarps; ++w) {
      largest = platform::max_number(largest, draw::bits_float(static_cast<uint32_t>(slot[w])));
    }
    return largest;
  }

  // The value of the one thread where `mine` is true.
  TOKENDRAW_DEVICE uint64_t broadcast(bool mine, uint64_t value) {
    const uint32_t place = turn++ % 2;
    if (mine) shared.found[place] = value;
    platform::block_barrier();
    return shared.found[place];
  }

 private:
  TOKENDRAW_DEVICE uint64_t* next() { return shared.slot[turn++ % 2]; }
};

}  // namespace tokendraw::gpu
