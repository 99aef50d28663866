// SPDX-License-Identifier: Apache-2.0
// What a block knows of the row it works on, in shared memory. The functions of the other headers take no pointers to
// it: Row::shared() names it, so that compilers see which memory it is.
#pragma once

#include "draw/exp2_fixed.h"
#include "gpu/kernels/row_reader.h"
#include "gpu/primitives/block.h"

namespace tokendraw::gpu {

inline constexpr int kBlockThreads = plan::kGpuBlockThreads;  // of the kernels that read rows from memory
inline constexpr int kMaxGroups = plan::kGpuMaxGroups;        // of their rows

// How logits become weights: the contract's section 4 for one row.
struct WeightRule {
  float max;
  float scale;

  TOKENDRAW_DEVICE bool infinite() const { return max == draw::infinity(); }

  // Of a logit that is not above the largest; 0 for -inf and NaN.
  TOKENDRAW_DEVICE uint64_t weight(float x) const {
    if (infinite()) return x == max ? draw::kWeightOne : 0;
    return finite_weight(x);
  }
  // The same if the largest logit is finite.
  TOKENDRAW_DEVICE uint64_t finite_weight(float x) const { return draw::exp2_fixed_quick(exponent(x)); }
  // A lower bound of the logits that weigh at least `least`, near it.
  TOKENDRAW_DEVICE float bound_of_weight(uint64_t least) const {
    return draw::sub_rn(max, distance_of_weight(least, scale));
  }
  // How far below the largest logit it is: 2^e (1 + f) has a logarithm of at least e + f.
  TOKENDRAW_DEVICE static float distance_of_weight(uint64_t least, float scale) {
    const uint32_t bits = draw::float_bits(static_cast<float>(least));
    const float logarithm = static_cast<float>(static_cast<int32_t>(bits >> 23) - (127 + 42)) +
                            static_cast<float>(bits & 0x7fffffu) * 0x1p-23f;
    // Weights are monotone and right to 2^-21; this leaves room for that and for the roundings here.
    return draw::div_rn(draw::sub_rn(0.01f, logarithm), scale);
  }
  TOKENDRAW_DEVICE float exponent(float x) const { return draw::mul_rn(draw::sub_rn(x, max), scale); }
};

// Logits in [low, high].
struct LogitRange {
  float low;
  float high;
};

inline constexpr uint32_t kRoughRowBuckets = 4096;  // of a first read's histogram (rough_row.h)

// Of masses or counts, 64 bits in two halves.
template <int kBuckets, bool kAddsWide = platform::kAddsWideInShared>
struct Histogram {
  uint32_t low[kBuckets];
  uint32_t high[kBuckets];

  TOKENDRAW_DEVICE uint64_t at(uint32_t bucket) const {
    return low[bucket] + (static_cast<uint64_t>(high[bucket]) << 32);
  }
  TOKENDRAW_DEVICE void set(uint32_t bucket, uint64_t value) {
    low[bucket] = static_cast<uint32_t>(value);
    high[bucket] = static_cast<uint32_t>(value >> 32);
  }
  // Memory for other counts, while the histogram is not in use.
  TOKENDRAW_DEVICE uint32_t* second_half() { return high; }
  // A sum of 64 bits by two additions of 32: the old value tells the carry.
  TOKENDRAW_DEVICE void add(uint32_t bucket, uint64_t value) {
    const uint32_t buckets[1] = {bucket};
    const uint64_t values[1] = {value};
    add_all<1>(buckets, values);
  }
  // The first additions of all values are under way before the first old value is looked at, and none hangs on a
  // branch.
  template <int kCount>
  TOKENDRAW_DEVICE void add_all(const uint32_t (&buckets)[kCount], const uint64_t (&values)[kCount]) {
    uint32_t old[kCount];
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      old[i] = platform::atomic_add(&low[buckets[i]], static_cast<uint32_t>(values[i]));
    }
#pragma unroll
    for (int i = 0; i < kCount; ++i) {
      const auto value_low = static_cast<uint32_t>(values[i]);
      const uint32_t carry = old[i] + value_low < value_low ? 1 : 0;
      platform::atomic_add(&high[buckets[i]], static_cast<uint32_t>(values[i] >> 32) + carry);
    }
  }
};

// The same where a shared sum of 64 bits takes one addition.
template <int kBuckets>
struct Histogram<kBuckets, true> {
  uint64_t sums[kBuckets];

  TOKENDRAW_DEVICE uint64_t at(uint32_t bucket) const { return sums[bucket]; }
  TOKENDRAW_DEVICE void set(uint32_t bucket, uint64_t value) { sums[bucket] = value; }
  TOKENDRAW_DEVICE uint32_t* second_half() { return reinterpret_cast<uint32_t*>(sums) + kBuckets; }
  TOKENDRAW_DEVICE void add(uint32_t bucket, uint64_t value) { platform::atomic_add(&sums[bucket], value); }
  template <int kCount>
  TOKENDRAW_DEVICE void add_all(const uint32_t (&buckets)[kCount], const uint64_t (&values)[kCount]) {
#pragma unroll
    for (int i = 0; i < kCount; ++i) platform::atomic_add(&sums[buckets[i]], values[i]);
  }
};

// Numbers of a histogram's buckets: they rise as logits fall.
template <int kBuckets>
struct BucketMap {
  static constexpr float kLightest = -18.0f;  // what has this exponent or a smaller one shares the last bucket
  static constexpr float kPerUnit = static_cast<float>(kBuckets - 1) / -kLightest;

  bool by_exponent;  // by the exponent of a weight, in which logits lie evenly; else by the order-preserving bits
  WeightRule rule;
  uint32_t high;  // by bits: those of the first bucket's first logit
  uint32_t shift;

  // Fine enough that the bucket of a cut in a flat row holds few of its logits.
  TOKENDRAW_DEVICE static uint32_t bucket_of_exponent(float y) {
    y = y > kLightest ? y : kLightest;
    return draw::float_bits(draw::fma_rn(y, -kPerUnit, 8388608.0f)) & (kBuckets - 1);  // 2^23 rounds to an integer
  }
  TOKENDRAW_DEVICE uint32_t bucket(float x, uint32_t bits) const {
    return by_exponent ? bucket_of_exponent(rule.exponent(x)) : (high - bits) >> shift;
  }
};

// Numbers of distances below the largest value: sixteen for each power of two from 2^-8 to 2^8.
inline constexpr uint32_t kNearBuckets = 256;
inline constexpr uint32_t kNearShift = 19;  // of a float's bits: leaves four of the mantissa
inline constexpr uint32_t kNearBase = (127 - 8) << 4;

// Pairs of candidates are compared where the list is, however short a test build makes that.
template <int kCapacity>
inline constexpr int kListRoom = kCapacity < 512 ? 512 : kCapacity;

// What a kernel's arguments say about the way, the same for all rows.
struct Settings {
  int32_t group_lines;
  bool try_candidates;
  bool wants_logprob;
  bool wants_kept;
  bool wants_kept_mass;
};

// The groups of a row that Row::shared() knows.
template <typename Row>
struct GroupsOf {
  TOKENDRAW_DEVICE static int32_t groups() {
    const int32_t group_lines = Row::shared().settings.group_lines;
    return (Row::shared().reader.lines() + group_lines - 1) >> shift_of(group_lines);
  }
  // log2 of a power of two
  TOKENDRAW_DEVICE static int32_t shift_of(int32_t group_lines) {
    return 31 - platform::leading_zeros(static_cast<uint32_t>(group_lines));
  }

  // The mass of the group with this thread's number.
  TOKENDRAW_DEVICE static uint64_t mass_of_own_group() {
    const auto thread = static_cast<int32_t>(platform::thread_index());
    return thread < groups() ? Row::shared().group_mass[thread] : 0;
  }
};

// How many keys a list takes. The emulator's tests ask for few, so that short rows take the ways of long ones.
template <typename Row>
TOKENDRAW_DEVICE uint32_t list_limit() {
#if defined(TOKENDRAW_PLATFORM_SIMT)
  return platform::list_limit(Row::kListCapacity);
#else
  return Row::kListCapacity;
#endif
}

// Whether a list takes a whole row.
template <typename Row>
TOKENDRAW_DEVICE bool fits_list(int32_t vocab) {
  return vocab <= static_cast<int32_t>(list_limit<Row>());
}

// One kind of row: its dtype, whether it is edited while it is read, and the threads of the block that reads it.
template <request::Dtype kDtype, bool kEdited, int kWaveWidth, int kBlockThreads = gpu::kBlockThreads>
struct Row : GroupsOf<Row<kDtype, kEdited, kWaveWidth, kBlockThreads>> {
  static constexpr int kWave = kWaveWidth;
  static constexpr int kThreads = kBlockThreads;
  static constexpr int kWarps = kThreads / kWave;
  // Smaller blocks are for so many rows that the device's memory is busy throughout, and what a row needs to be read
  // once is worth its time; a row of fewer would wait for it longer than for another read.
  static constexpr bool kIsOfMany = kThreads < gpu::kBlockThreads;
  static constexpr int kMaxGroups = gpu::kMaxGroups < kThreads ? gpu::kMaxGroups : kThreads;
  static constexpr int kListCapacity = 2048;          // keys that are sorted in shared memory
  static constexpr int kBuckets = plan::kGpuBuckets;  // of a histogram, which takes the place of the list
  static_assert(kMaxGroups <= kThreads, "one thread for every group");
  using Reader = RowReader<kDtype, kEdited, kWave>;
  using BlockOf = Block<kThreads, kWave>;
  using Team = BlockOf;  // who works on the row together
  // Lines that a warp fetches before it looks at the first: as many as keep memory busy and the code small. Edited rows
  // wait for more than their logits anyway.
  static constexpr int kMaximaBatch = kEdited ? 1 : 4;
  static constexpr int kBatch = kEdited ? 1 : platform::kLogitsAtOnce / Reader::kWidth;

  struct Shared {
    request::RowInputs inputs;
    Reader reader;
    Settings settings;
    WeightRule rule;
    uint64_t total;        // mass of the row, where it is needed,
    uint64_t total_error;  // and how far it may be off: 0, or what estimates are (mass_estimate.h)
    uint64_t group_mass[kMaxGroups];
    float group_max[kMaxGroups];
    uint16_t hit[kMaxGroups];     // groups that a gather visits
    uint32_t inside[kMaxGroups];  // logits of each group in the range of a search
    union {
      uint64_t keys[kListRoom<kListCapacity>];
      Histogram<kBuckets> histogram;
      uint32_t rough[kRoughRowBuckets + kWave];  // what does not count goes to the end, another place for each lane
    };
    float first_counted[kWarps];  // by each warp in `rough`: the least logit that it would have counted
    uint32_t hits;
    uint32_t listed;
    uint32_t valid;      // the row's parameters are
    uint32_t estimates;  // whether its first read estimates masses,
    uint32_t counts;     // counts them in a histogram,
    uint32_t collects;   // and lists what may be among the top k;
    uint32_t collected;  // whether all of that is in the list
  };

  TOKENDRAW_DEVICE static Shared& shared() {
    TOKENDRAW_SHARED(Shared, row_shared);
    return row_shared;
  }
};

}  // namespace tokendraw::gpu
