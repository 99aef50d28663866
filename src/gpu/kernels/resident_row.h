// SPDX-License-Identifier: Apache-2.0
// A row that the blocks of a cluster hold in shared memory, each a part: the passes and searches of the other headers
// work on it as on a row in memory, every block on its part, and meet where they need the whole.
#pragma once

#include <type_traits>

#include "gpu/kernels/resident_reader.h"
#include "gpu/kernels/row_shared.h"
#include "gpu/primitives/cluster.h"

namespace tokendraw::gpu {

inline constexpr uint32_t kAllCandidates = 512;  // that block 0 gets from all

// So few candidates are compared all with all; more are sorted.
inline constexpr uint32_t kRankedAtOnce = 128;

// Of the search for a nucleus (resident_nucleus.h, rough_buckets.h). The weights of the 110 thousand logits that a
// block may hold do not overflow 32 bits.
inline constexpr uint32_t kRoughBuckets = 2048;
inline constexpr int32_t kRoughBits = 15;

// How often the range of logits with the cut is narrowed.
inline constexpr int kNucleusRounds = 2;

// What a block found beside a range of logits.
struct RangePart {
  uint64_t above;        // mass above it,
  uint32_t above_count;  // and how many logits
  uint32_t listed;       // logits in the range,
  uint32_t largest;      // as ordered bits,
  uint32_t least;        // and their complement
  uint32_t unused[2];    // for whole messages
};

template <int kGroups>
struct RangeFindings {
  alignas(16) RangePart parts[kMaxClusterBlocks];
  uint32_t inside[kGroups];  // of each group of this block: its logits in the range
};

struct NucleusInboxes {  // of one round
  platform::Inbox sums;
  platform::Inbox bucket;
  platform::Inbox parts;
};

// What the blocks of a cluster tell each other beside their logits.
struct ClusterShared {
  uint64_t mass[kMaxClusterBlocks];      // what all of a block's logits weigh, or its share of the buckets,
  uint64_t row_mass[kMaxClusterBlocks];  // and its logits where both are needed
  uint64_t bucket;                       // with the cut
  uint64_t undecided;                    // from block 0: 0 if its candidates decide, else how many they are
  uint32_t candidates;                   // in block 0: how many it gets
  uint32_t nan;                          // a block saw a NaN
  NucleusInboxes nucleus[kNucleusRounds];
  platform::Inbox maxima_inbox;
  platform::Inbox mass_inbox;
  platform::Inbox candidates_inbox;  // of block 0
  platform::Inbox decides_inbox;     // of the others
};

// In block 0, of its candidates.
struct RankedCandidates {
  uint64_t weights[kRankedAtOnce];  // by rank
  uint32_t by_id[kRankedAtOnce];    // place among the candidates, and rank, in the order of ids
  uint32_t near[kNearBuckets];      // distances below the largest logit
};

// In the place of a histogram.
struct ClusterLists {
  union {
    float maxima[plan::kGpuClusterMaxima];  // of groups of all blocks, by rank
    RankedCandidates ranked;                // when they are no longer needed
  };
  uint64_t candidates[kAllCandidates];  // in block 0: keys of all blocks at or above the threshold
};

template <request::Dtype kDtype, bool kEdited, int kWaveWidth>
struct ResidentRow : GroupsOf<ResidentRow<kDtype, kEdited, kWaveWidth>> {
  static constexpr int kWave = kWaveWidth;
  static constexpr int kThreads = plan::kGpuClusterThreads;
  static constexpr int kWarps = kThreads / kWave;
  static constexpr bool kIsOfMany = false;
  static constexpr int kMaxGroups = plan::kGpuClusterGroups;  // of a block
  static constexpr int kListCapacity = 1024;
  static constexpr int kBuckets = 1024;
  static constexpr request::Dtype kStored = kEdited ? request::Dtype::kF32 : kDtype;
  static constexpr int kCopyWarps = kWarps - 2;  // begin all warps' copies; the others read the row's parameters
  using Source = RowReader<kDtype, kEdited, kWave>;
  using Reader = ResidentReader<kStored, kWave>;
  using BlockOf = Block<kThreads, kWave>;
  using Team = Cluster<kThreads, kWave>;
  // Memory is near, and code that runs once for a row is slower to fetch than to run: short loops.
  static constexpr int kBatch = 1;
  // Of a line of 16-bit logits those at even and at odd places have a maximum each.
  static constexpr int kMaximaOfGroup = Reader::kWidth == 8 ? 2 : 1;

  struct Shared {
    request::RowInputs inputs;
    std::conditional_t<kEdited, Source, uint32_t> source;  // of an edited row
    Reader reader;
    Settings settings;
    WeightRule rule;
    uint64_t total;
    uint64_t total_error;  // 0: no row that is held is estimated
    // Three blocks that hold 64 KB of a row each are to fit into a multiprocessor, so what is used one after the other
    // shares its place.
    union {
      // The maxima that other blocks are told, those of a group side by side.
      alignas(16) float told[kMaximaOfGroup * kMaxGroups];
      uint64_t group_mass[kMaxGroups];
      uint16_t hit[kMaxGroups];
    };
    float group_max[kMaxGroups];
    union {
      uint64_t keys[kListRoom<kListCapacity>];
      Histogram<kBuckets> histogram;
      ClusterLists lists;
      uint32_t rough[kRoughBuckets];  // histogram
    };
    ClusterShared cluster;
    union {
      uint32_t near[kNearBuckets];  // distances of maxima below the largest logit
      RangeFindings<kMaxGroups> range;
    };
    platform::CopyBarrier copied[kWarps];
    uint64_t warp_mass[kWarps];
    uint32_t warp_max[kWarps];  // as ordered bits
    RangePart own_part;
    uint32_t hits;
    uint32_t listed;
    uint32_t sent;          // bytes of candidates, and above them how many warps have sent theirs
    uint32_t valid;         // the row's parameters are,
    uint32_t random_valid;  // and its random number is
  };

  TOKENDRAW_DEVICE static Shared& shared() {
    TOKENDRAW_SHARED(Shared, resident_row_shared);
    return resident_row_shared;
  }
};

}  // namespace tokendraw::gpu
