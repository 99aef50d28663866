// SPDX-License-Identifier: Apache-2.0
// The buckets of a histogram that says about where in a row a cut lies (resident_nucleus.h). Their numbers rise as
// logits fall. A bucket's sum is that of weights as multiples of the bucket's own, in units of 2^-kRoughBits of it: one
// addition of 32 bits for each logit, as precise far down in a row as at its top.
#pragma once

#include "gpu/kernels/mass_estimate.h"
#include "gpu/kernels/resident_row.h"

namespace tokendraw::gpu {

// By the exponents of weights, evenly from `first` down to `last`; what is beyond does not count.
struct RoughBuckets {
  WeightRule rule;
  float first;
  float last;
  float per_unit;  // buckets for each halving
  float step;      // 1 / per_unit

  TOKENDRAW_DEVICE RoughBuckets(const WeightRule& weights, float first_exponent, float last_exponent)
      : rule(weights), first(first_exponent), last(last_exponent) {
    // Floats hold places to an integer up to kRoundsToInteger.
    const float largest = draw::div_rn(0.25f * kRoundsToInteger, draw::add_rn(1.0f, -last));
    const float wanted = draw::div_rn(static_cast<float>(kRoughBuckets - 2), draw::sub_rn(first, last));
    per_unit = wanted < largest ? wanted : largest;
    step = draw::div_rn(1.0f, per_unit);
  }

  TOKENDRAW_DEVICE bool counts(float exponent) const { return exponent <= first && exponent >= last; }
  // Returns the bucket; *weight becomes what is to be added. Both are of no use where the exponent does not count.
  // 2^-y is 1 - y ln 2 to 2^-16 within half a bucket of 2^-6.
  TOKENDRAW_DEVICE uint32_t bucket(float exponent, uint32_t* weight) const {
    const float from_first = draw::sub_rn(first, exponent);
    const float number = draw::fma_rn(from_first, per_unit, kRoundsToInteger);
    const float beyond = draw::fma_rn(from_first, per_unit, draw::sub_rn(kRoundsToInteger, number));
    constexpr float kOne = kRoundsToInteger + static_cast<float>(1 << kRoughBits);
    constexpr auto kSlope = static_cast<float>(1 << kRoughBits) * -kLn2;
    *weight = draw::float_bits(draw::fma_rn(beyond, draw::mul_rn(step, kSlope), kOne)) - kRoundsToIntegerBits;
    return draw::float_bits(number) & (kRoughBuckets - 1);
  }
  // Of what is in a bucket, the weight that its sum is a multiple of.
  TOKENDRAW_DEVICE float exponent_of(uint32_t bucket) const {
    return draw::fma_rn(static_cast<float>(bucket), -step, first);
  }
  // What lies in a bucket, and perhaps a little beside it.
  TOKENDRAW_DEVICE LogitRange range_of(uint32_t bucket) const {
    const auto number = static_cast<float>(bucket);
    const float low = logit_at(draw::fma_rn(number + 0.5f, -step, first));
    const float high = logit_at(draw::fma_rn(number - 0.5f, -step, first));
    const float margin = 0x1p-21f * ((rule.max < 0.0f ? -rule.max : rule.max) + (low < 0.0f ? -low : low));
    return {low - margin, high + margin < rule.max ? high + margin : rule.max};
  }

 private:
  static constexpr float kRoundsToInteger = 8388608.0f;  // 2^23: what is added to it is rounded to an integer
  static constexpr uint32_t kRoundsToIntegerBits = 0x4b000000u;

  TOKENDRAW_DEVICE float logit_at(float exponent) const {
    return draw::add_rn(rule.max, draw::div_rn(exponent, rule.scale));
  }
};

}  // namespace tokendraw::gpu
