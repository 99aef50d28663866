// SPDX-License-Identifier: Apache-2.0
// What a block works on of a row that is filtered: all of a row in memory, or its part of a row that the blocks of a
// cluster hold in shared memory. The code after this one is the same for both; a team is the block or the cluster.
#pragma once

#include <type_traits>

#include "gpu/kernels/lane_max.h"
#include "gpu/kernels/mass_sum.h"
#include "gpu/kernels/resident_maxima.h"
#include "gpu/kernels/stored_row.h"
#include "gpu/operation_kernels.h"
#include "request/filter_row.h"

namespace tokendraw::gpu {

inline constexpr uint32_t kFilterBuckets = 2048;
inline constexpr uint32_t kFilterList = 1024;  // elements whose ranks are counted, of all blocks together

// Of the elements of one row, which are not NaN: how they are weighed, and how far they lie below the largest.
template <bool kProbabilities, int kWave>
struct FilterWeights {
  float max;
  float scale;  // of logits
  draw::ProbabilityRule probability;

  // An exponent that falls with the element: 2^y is about its share of the largest weight. At most 0.
  TOKENDRAW_DEVICE float exponent(float x) const {
    if constexpr (kProbabilities) {
      const auto below = static_cast<int32_t>(draw::float_bits(max) - draw::float_bits(x));
      return x >= 0.0f ? draw::mul_rn(static_cast<float>(-below), 0x1p-23f) : kNoWeight;
    }
    if (max == draw::infinity()) return x == max ? 0.0f : kNoWeight;
    return draw::mul_rn(draw::sub_rn(x, max), scale);
  }
  TOKENDRAW_DEVICE uint64_t weight(float x) const {
    if constexpr (kProbabilities) return x > 0.0f ? probability.weight(x) : 0;
    return ThreadMass<kWave>::weight_of(exponent(x));
  }
  TOKENDRAW_DEVICE double as_double(float x) const {
    if constexpr (kProbabilities) return static_cast<double>(weight(x));
    return ThreadMass<kWave>::weight_as_double(exponent(x));
  }
};

// The sum of what some elements of a thread weigh. kQuick: of at most 2^10 logits.
template <bool kQuick, typename Weights, int kWave>
struct FilterMass {
  ThreadMass<kWave> quick;
  uint64_t sum = 0;

  TOKENDRAW_DEVICE void add_if(bool counts, const Weights& weights, float x) {
    if constexpr (kQuick) {
      quick.add(counts ? weights.exponent(x) : kNoWeight);
    } else {
      sum += counts ? weights.weight(x) : 0;
    }
  }
  TOKENDRAW_DEVICE uint64_t value() const { return kQuick ? quick.value() : sum; }
};

// kProbabilities: floats; else logits of the dtype. kResident: the row is a cluster's.
template <request::Dtype kDtype, bool kProbabilities, int kWaveWidth, bool kResident>
struct FilterPart {
  static constexpr bool kOfProbabilities = kProbabilities;
  static constexpr bool kIsResident = kResident;
  static constexpr int kWave = kWaveWidth;
  static constexpr int kThreads = kOperationThreads;
  static constexpr int kWarps = kThreads / kWave;
  using Bits = typename Stored<kDtype>::Bits;
  using Source = RowReader<kDtype, false, kWave>;
  static constexpr int kWidth = Source::kWidth;
  using BlockOf = Block<kThreads, kWave>;
  using Pair = typename BlockOf::Sums;
  using Team = std::conditional_t<kResident, Cluster<kThreads, kWave>, BlockOf>;
  using Weights = FilterWeights<kProbabilities, kWave>;
  using Mass = FilterMass<kResident && !kProbabilities, Weights, kWave>;

  // Largest elements of a few neighbouring threads each, that every block of the team knows.
  static constexpr uint32_t kMaximaThreads = kResident ? 8 : 1;
  static constexpr uint32_t kBlockMaxima = kThreads / kMaximaThreads;
  static constexpr uint32_t kMostBlocks = kResident ? kMaxClusterBlocks : 1;
  static constexpr uint32_t kMaxima = kBlockMaxima * kMostBlocks;

  struct Sums {
    uint32_t low[kFilterBuckets];  // of sums of 64 bits
    uint32_t high[kFilterBuckets];
  };
  struct List {  // what all blocks list
    uint64_t keys[kFilterList];
    uint64_t weights[kFilterList];
  };
  struct Shared {
    platform::CopyBarrier copied[kWarps];
    request::FilterRule rule;
    uint32_t valid;
    uint32_t listed;
    uint32_t bad[kMostBlocks];  // of each block: it has an element that is no number,
    union {
      float maxima[kMaxima];     // and its largest elements; in their place
      uint32_t counts[kMaxima];  // numbers of listed elements
    };
    Pair told[2][kMostBlocks];      // what blocks tell each other, in turns
    uint64_t keys[kFilterList];     // what this block lists,
    uint64_t weights[kFilterList];  // and what that weighs
    union {
      Sums sums;
      List list;
    };
  };
  static_assert(sizeof(Shared) + 2048 <= kResidentSharedBytes, "and what Block and Cluster have");
  TOKENDRAW_DEVICE static Shared& shared() {
    TOKENDRAW_SHARED(Shared, filter_part_shared);
    return filter_part_shared;
  }

  Source source;
  LineRange block;  // the lines of this block
  LineRange own;    // and of its warp, from the block's first on
  uint32_t turn = 0;

  // shape: of a cluster.
  TOKENDRAW_DEVICE FilterPart(const request::Operation& operation, int64_t row, const ResidentShape& shape)
      : source(request::row_of(operation.input, row), static_cast<int32_t>(operation.columns), kResident) {
    block = {0, source.lines()};
    if constexpr (kResident) block = lines_of_block<FilterPart>(source, shape.block_lines);
    const int32_t lines = block.last - block.first;
    const int32_t each = (lines + kWarps - 1) / kWarps;
    const int32_t first = each * static_cast<int32_t>(warp_index<kWave>());
    own = {first < lines ? first : lines, first + each < lines ? first + each : lines};
  }

  TOKENDRAW_DEVICE void begin_read() const {
    if constexpr (kResident) begin_own_lines<FilterPart>(source, block, own);
  }
  TOKENDRAW_DEVICE void finish_read() const {
    if constexpr (kResident) {
      platform::warp_barrier<kWave>();
      platform::finish_copy(&shared().copied[warp_index<kWave>()]);
    }
  }

  TOKENDRAW_DEVICE static uint32_t blocks() { return kResident ? platform::cluster_blocks() : 1; }
  TOKENDRAW_DEVICE static uint32_t rank() { return kResident ? platform::cluster_rank() : 0; }
  // Where the block of this rank has what this one has here.
  template <typename T>
  TOKENDRAW_DEVICE static T* of_block(T* here, uint32_t rank) {
    if constexpr (kResident) return platform::cluster_map(here, rank);
    return here;
  }
  TOKENDRAW_DEVICE static void team_barrier() {
    if constexpr (kResident) {
      platform::cluster_barrier();
    } else {
      platform::block_barrier();
    }
  }

  // Tells all blocks of the team a pair of numbers, the same in all threads of this one. Has a barrier of the team; the
  // pairs of all blocks are at the result then, until the call after the next.
  TOKENDRAW_DEVICE const Pair* tell(Pair of_this) {
    Pair* told = shared().told[turn];
    turn = 1 - turn;
    const uint32_t thread = platform::thread_index();
    if (thread < blocks()) *of_block(&told[rank()], thread) = of_this;
    team_barrier();
    return told;
  }
  // Sums over all threads of the team.
  TOKENDRAW_DEVICE Pair sum_both(uint64_t first, uint64_t second) {
    const Pair own = BlockOf::sum_both(first, second);
    if constexpr (!kResident) return own;
    const Pair* told = tell(own);
    Pair all = {0, 0};
    for (uint32_t r = 0; r < blocks(); ++r) {
      all.first += told[r].first;
      all.second += told[r].second;
    }
    return all;
  }

  TOKENDRAW_DEVICE platform::Words16 words(int32_t line) const {
    const auto lane = static_cast<int32_t>(lane_index<kWave>());
    if constexpr (kResident) return resident_words()[line * kWave + lane];
    if (!source.is_inside(line)) return source.fetch(line);
    // A plain load: in place the row is written in the end.
    const auto loaded = static_cast<const Packet<uint32_t, 4>*>(source.address(line))[lane];
    return {{loaded.element[0], loaded.element[1], loaded.element[2], loaded.element[3]}};
  }

  // Elements as they are ordered: what is no number of its kind as the contract has it, but NaN logits as they are,
  // which no comparison lets pass. -inf outside the row.
  TOKENDRAW_DEVICE void convert(const platform::Words16& stored, int32_t line, float (&x)[kWidth], int32_t* first_id,
                                bool& bad) const {
    *first_id = source.first_id(block.first + line);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      x[i] = Stored<kDtype>::to_float(stored, i);
      if constexpr (kProbabilities) {
        const bool inside = source.is_inside(block.first + line) || source.in_row(*first_id + i);
        x[i] = inside ? draw::clean_probability(x[i], bad) : -draw::infinity();
      }
    }
  }

  // Calls visit(id, x) for the vectors of this warp's elements, x[i] being that of id + i; all its lanes together. From
  // memory a few lines are on their way at once.
  template <typename Visit>
  TOKENDRAW_DEVICE void visit_vectors(bool& bad, const Visit& visit) const {
    constexpr int32_t kAtOnce = kResident ? 1 : 4;
#pragma unroll 1
    for (int32_t line = own.first; line < own.last; line += kAtOnce) {
      platform::Words16 stored[kAtOnce];
#pragma unroll
      for (int32_t i = 0; i < kAtOnce; ++i) stored[i] = words(line + i < own.last ? line + i : line);
#pragma unroll
      for (int32_t i = 0; i < kAtOnce; ++i) {
        if (line + i >= own.last) break;
        float x[kWidth];
        int32_t id = 0;
        convert(stored[i], line + i, x, &id, bad);
        visit(id, x);
      }
    }
  }
  template <typename Visit>
  TOKENDRAW_DEVICE void visit_vectors(const Visit& visit) const {
    bool bad = false;
    visit_vectors(bad, visit);
  }

  // The largest element of this lane, -0 as 0, and whether there is one that is no number.
  TOKENDRAW_DEVICE float largest_of_lane(bool* bad) const {
    float largest = -draw::infinity();
    bool seen = false;
    visit_vectors(seen, [&](int32_t, const float(&x)[kWidth]) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if constexpr (!kProbabilities) seen |= draw::is_nan(x[i]);
        largest = platform::max_number(largest, x[i]);
      }
    });
    *bad = seen;
    return draw::add_rn(largest, 0.0f);
  }
};

}  // namespace tokendraw::gpu
