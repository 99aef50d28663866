// SPDX-License-Identifier: Apache-2.0
// What the threads of all blocks of a cluster do together, with the same calls as Block. All threads of the cluster
// call and all get the result. Threads are ordered by their block's rank first.
#pragma once

#include "gpu/primitives/block.h"

namespace tokendraw::gpu {

inline constexpr uint32_t kMaxClusterBlocks = 16;

template <int kThreads, int kWave>
struct Cluster {
  using BlockOf = Block<kThreads, kWave>;
  using Sums = typename BlockOf::Sums;
  static constexpr bool kIsCluster = true;

  // To be called once, before a cluster barrier that comes before the first of the calls below.
  TOKENDRAW_DEVICE static void prepare() {
    if (platform::thread_index() == 0) shared().turn = 0;
  }

  TOKENDRAW_DEVICE static uint64_t sum(uint64_t value) {
    const Sums own = BlockOf::sum_both(value, 0);
    return sum_of_blocks(own.first).second;
  }

  TOKENDRAW_DEVICE_CALL static float max(float value) {
    const uint32_t turn = tell(draw::float_bits(BlockOf::max(value)));
    float largest = -draw::infinity();
    for (uint32_t rank = 0; rank < platform::cluster_blocks(); ++rank) {
      largest = platform::max_number(largest, draw::bits_float(static_cast<uint32_t>(shared().of_block[turn][rank])));
    }
    return largest;
  }

  // first: the sum of the values of the threads before this one; second: of all.
  TOKENDRAW_DEVICE_CALL static Sums exclusive_sum(uint64_t value) {
    const Sums own = BlockOf::exclusive_sum(value);
    const Sums of_blocks = sum_of_blocks(own.second);
    return {of_blocks.first + own.first, of_blocks.second};
  }

  // Of a value of each block, the same in all its threads: the sum of those of the blocks before, and of all.
  TOKENDRAW_DEVICE_CALL static Sums sum_of_blocks(uint64_t of_block) {
    const uint32_t turn = tell(of_block);
    const uint32_t own_rank = platform::cluster_rank();
    Sums sums = {0, 0};
    for (uint32_t rank = 0; rank < platform::cluster_blocks(); ++rank) {
      const uint64_t value = shared().of_block[turn][rank];
      sums.first += rank < own_rank ? value : 0;
      sums.second += value;
    }
    return sums;
  }

  // The values of the one thread where `mine` is true.
  TOKENDRAW_DEVICE_CALL static Sums broadcast(bool mine, uint64_t first, uint64_t second) {
    platform::block_barrier();
    const uint32_t turn = shared().turn;
    if (mine) {
      for (uint32_t rank = 0; rank < platform::cluster_blocks(); ++rank) {
        *platform::cluster_map(&shared().told[turn], rank) = {first, second};
      }
    }
    finish_turn(turn);
    return shared().told[turn];
  }

 private:
  struct Shared {
    uint64_t of_block[2][kMaxClusterBlocks];
    Sums told[2];
    uint32_t turn;  // which half the next call uses: a slow block may still read the other one
  };
  TOKENDRAW_DEVICE static Shared& shared() {
    TOKENDRAW_SHARED(Shared, cluster_shared);
    return cluster_shared;
  }

  // All threads know `turn` before; after it what was written is there.
  TOKENDRAW_DEVICE static void finish_turn(uint32_t turn) {
    platform::cluster_barrier();
    if (platform::thread_index() == 0) shared().turn = 1 - turn;
  }

  // Tells all blocks a value of each, the same in all its threads. Returns where they are.
  TOKENDRAW_DEVICE static uint32_t tell(uint64_t of_block) {
    platform::block_barrier();
    const uint32_t turn = shared().turn;
    const uint32_t thread = platform::thread_index();
    if (thread < platform::cluster_blocks()) {
      *platform::cluster_map(&shared().of_block[turn][platform::cluster_rank()], thread) = of_block;
    }
    finish_turn(turn);
    return turn;
  }
};

}  // namespace tokendraw::gpu
