// SPDX-License-Identifier: Apache-2.0
// A histogram of a row's mass from its first read, before its largest logit is known: it says about where a cut lies
// (rough_search.h), and decides nothing.
//
// Its buckets are by c x itself, kPerUnit for each halving of a weight, by number modulo kRoughRowBuckets, so that no
// reference is needed. A bucket's sum is that of weights as multiples of the bucket's own: one addition of 32 bits for
// each logit that is counted. What is counted is at most `depth` below the largest logit that its warp has seen;
// whether all of that has buckets of its own is known in the end.
//
// An addition to shared memory takes a warp longer than all else that is done with a logit, so only what is heavy is
// counted for sure, and of the others one in kOneOf, for so many. A token is heavy if it weighs more than 2^-kHeavyBits
// of what its warp has read, times the number of warps. So the mass of what is lighter than some logit is known, where
// that is more than a few tokens, better than that of what is heavier.
#pragma once

#include "gpu/kernels/mass_estimate.h"

namespace tokendraw::gpu {

struct RoughRow {
  float per_logit;  // buckets
  float depth;      // of what is counted, in logits
  int32_t bits;     // multiples are in units of 2^-bits, so that as many as the row has logits fit into 32 bits

  // For the cut of top_p. The logits beyond it have a share of 1 - p of the mass, so one of them has that over their
  // number; and the mass is at least the largest weight.
  TOKENDRAW_DEVICE static RoughRow of(int32_t vocab, const draw::RowParams& params) {
    const uint64_t beyond = (uint64_t{1} << 32) - draw::top_p_need(uint64_t{1} << 32, params.top_p);
    constexpr float kMost = 40.0f;
    // Of what lies beyond the cut little is to be left out.
    constexpr float kDeeper = 6.2f;
    const float wanted =
        log2_near(static_cast<uint64_t>(vocab)) + (32.0f - log2_near(beyond > 0 ? beyond : 1)) + kDeeper;
    const int32_t room = platform::leading_zeros(static_cast<uint32_t>(vocab)) - 1;
    return {draw::mul_rn(params.scale, kPerUnit), draw::div_rn(wanted < kMost ? wanted : kMost, params.scale),
            room < kMostBits ? room : kMostBits};
  }

  // What counts while `largest` is the largest that has been seen: no infinity does.
  TOKENDRAW_DEVICE float lowest_counted(float largest) const {
    const float low = draw::sub_rn(largest, depth);
    return platform::max_number(low, -draw::kLargestFinite);
  }

  // The bucket of a logit that counts; *weight becomes what is to be added.
  TOKENDRAW_DEVICE uint32_t bucket(float x, uint32_t* weight) const {
    const float number = draw::fma_rn(x, per_logit, kRound);
    const float beyond = draw::fma_rn(x, per_logit, draw::sub_rn(kRound, number));  // in buckets, at most 1/2
    // 2^z is 1 + z ln 2 to 2^-16 for what is left.
    const float one = draw::bits_float(kRoundBits + (uint32_t{1} << bits));
    const float slope = draw::mul_rn(kLn2 / kPerUnit, static_cast<float>(uint32_t{1} << bits));
    *weight = draw::float_bits(draw::fma_rn(beyond, slope, one)) - kRoundBits;
    return draw::float_bits(number) & (kRoughRowBuckets - 1);
  }

  // Whether what was counted has buckets of its own, whose numbers are integers: for the row's largest logit and the
  // least that lowest_counted() was.
  TOKENDRAW_DEVICE bool is_sound(float max, float least_counted) const {
    const float highest = draw::mul_rn(max, per_logit);
    const float lowest = draw::mul_rn(least_counted, per_logit);
    return highest < kMostNumber && lowest > -kMostNumber &&
           draw::sub_rn(highest, lowest) < static_cast<float>(kRoughRowBuckets - 2);
  }

  // Of a sound histogram: the number of the largest logit's bucket, and how far the logit lies above its middle, as
  // an exponent.
  TOKENDRAW_DEVICE int32_t first_number(float max, float* beyond) const {
    const float number = draw::fma_rn(max, per_logit, kRound);
    *beyond = draw::mul_rn(draw::fma_rn(max, per_logit, draw::sub_rn(kRound, number)), 1.0f / kPerUnit);
    return static_cast<int32_t>(draw::float_bits(number)) - static_cast<int32_t>(kRoundBits);
  }
  // Logits between two places, in buckets: that with number n reaches from n - 1/2 to n + 1/2. Perhaps a little more.
  TOKENDRAW_DEVICE LogitRange range_of(float lowest, float highest, float max) const {
    const float low = draw::div_rn(lowest, per_logit);
    const float high = draw::div_rn(highest, per_logit);
    const float margin = 0x1p-21f * ((low < 0.0f ? -low : low) + (high < 0.0f ? -high : high));
    return {low - margin, high + margin < max ? high + margin : max};
  }

  static constexpr float kPerUnit = 64.0f;

 private:
  static constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: what is added to it is rounded to an integer
  static constexpr uint32_t kRoundBits = 0x4b400000u;
  static constexpr float kMostNumber = 0x1p21f;
  static constexpr int32_t kMostBits = 20;
};

inline constexpr int kOneOf = 4;
inline constexpr int32_t kHeavyBits = 13;

// Of one warp: what it counts.
template <typename Row>
struct RoughCount {
  static constexpr int kWave = Row::kWave;
  static constexpr int kWidth = Row::Reader::kWidth;

  RoughRow buckets;
  float per_exponent;  // logits for each halving of a weight
  float counted;       // the least logit that counts,
  float heavy;         // and that counts for sure
  float mass;          // of the groups that have been read, as a multiple of 2^reference

  TOKENDRAW_DEVICE void begin() {
    const auto& s = Row::shared();
    buckets = RoughRow::of(s.reader.vocab(), s.inputs.params);
    per_exponent = draw::div_rn(1.0f, s.inputs.params.scale);
    counted = draw::infinity();
    heavy = draw::infinity();
    mass = 0.0f;
    keep_first(counted);
  }
  // Nothing counts before the largest of a line is finite; then all does until the group's end.
  TOKENDRAW_DEVICE void begin_counting(float largest) {
    if (!(largest > -draw::infinity())) return;
    counted = buckets.lowest_counted(largest);
    heavy = counted;
    keep_first(counted);
  }
  // A lane's logits of a line, the largest of which is given.
  TOKENDRAW_DEVICE void count(const float (&x)[kWidth], float largest) const {
    auto& s = Row::shared();
    const uint32_t nowhere = kRoughRowBuckets + lane_index<kWave>();
#pragma unroll
    for (int i = 0; i < kWidth; i += kOneOf) {  // without branches, after which lanes would wait for one another
      uint32_t weight = 0;
      const uint32_t bucket = buckets.bucket(x[i], &weight);
      platform::atomic_add(&s.rough[x[i] >= counted && x[i] < heavy ? bucket : nowhere], weight * kOneOf);
    }
    if (largest >= heavy) {
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        uint32_t weight = 0;
        const uint32_t bucket = buckets.bucket(x[i], &weight);
        if (x[i] >= heavy) platform::atomic_add(&s.rough[bucket], weight);
      }
    }
  }
  // After a group with this largest logit, which weighs sum * 2^reference; the next one's reference.
  TOKENDRAW_DEVICE void finish_group(float largest, float sum, float reference, float next) {
    if (!(counted < draw::infinity())) return;
    counted = platform::max_number(counted, buckets.lowest_counted(largest));
    mass = draw::mul_rn(draw::add_rn(mass, sum), platform::exp2_estimate(reference - next));
    const uint32_t bits = draw::float_bits(mass);
    const float logarithm = static_cast<float>(static_cast<int32_t>(bits >> 23) - 127);
    constexpr int32_t kOfWarp = kHeavyBits - (Row::kWarps >= 16 ? 4 : Row::kWarps >= 8 ? 3 : 2);
    heavy = platform::max_number(heavy, (next + logarithm - float{kOfWarp}) * per_exponent);
  }

 private:
  TOKENDRAW_DEVICE static void keep_first(float least) {
    if (lane_index<kWave>() == 0) Row::shared().first_counted[warp_index<kWave>()] = least;
  }
};

}  // namespace tokendraw::gpu
