// SPDX-License-Identifier: Apache-2.0
// Masses from the first read of a row, before its largest logit is known: floats, each weight by the device's own
// exponential of its distance from a reference that the warp has so far. They decide nothing by themselves. How far
// they may be off is known, and where that could change the token the row is read again (estimated_draw.h).
//
// How far: let t = c (x - m) be the exact exponent of a logit, so that it weighs 2^t, t <= 0.
// * The contract's weight is that of an exponent rounded twice, off by 2^-23 |t| at most, hence off by the share
//   ln 2 * 2^-23 |t|; and by kWeightError more, and by what is cut off, less than one of its units.
// * An estimate's exponent is rounded once, from c x - r with a reference r. Its size is at most |t|, or by how much x
//   is above the reference (the overshoot), so the estimate is off by the share ln 2 * 2^-24 of the larger, by
//   kExp2Error, and by 2^-24 for each of the additions that follow, one after the other.
// * Of n weights together, sum 2^t |t| = S (H - log2 S), where S is their sum and H their entropy in bits, log2 n at
//   most. So the shares that grow with |t| are, of their sum, at most that of log2 (n / S).
#pragma once

#include "draw/double_math.h"
#include "gpu/kernels/row_shared.h"

namespace tokendraw::gpu {

inline constexpr float kExp2Error = 0x1p-22f;   // of platform::exp2_estimate
inline constexpr float kWeightError = 3.2e-7f;  // of draw::exp2_fixed (docs/semantics.md, section 4)
inline constexpr float kRounding = 0x1p-24f;    // of one float operation
inline constexpr float kLn2 = 0.6931472f;
inline constexpr int32_t kWeightBits = 42;        // the contract's unit is 2^-42 of the largest weight
inline constexpr float kMostReference = 0x1p20f;  // references are integers between this and its negative

// What a group weighs: sum * 2^reference, of weights 2^(c x).
struct GroupEstimate {
  float sum;
  int32_t reference;

  TOKENDRAW_DEVICE uint64_t packed() const {
    return static_cast<uint64_t>(draw::float_bits(sum)) << 32 | static_cast<uint32_t>(reference);
  }
  TOKENDRAW_DEVICE static GroupEstimate unpack(uint64_t packed) {
    return {draw::bits_float(static_cast<uint32_t>(packed >> 32)), static_cast<int32_t>(static_cast<uint32_t>(packed))};
  }
  // Rounded down, in units of 2^(unit). The sum is finite, and what comes out below 2^63.
  TOKENDRAW_DEVICE uint64_t in_units_of(int32_t unit) const {
    const uint32_t bits = draw::float_bits(sum);
    const uint64_t mantissa = bits < 0x800000u ? 0 : (bits & 0x7fffffu) | 0x800000u;
    const int32_t shift = static_cast<int32_t>(bits >> 23) - 150 + reference - unit;
    if (shift >= 0) return shift < 40 ? mantissa << shift : 0;
    return shift > -24 ? mantissa >> -shift : 0;
  }
};

// An integer near c x, NaN and infinities apart.
TOKENDRAW_DEVICE float reference_of(float x, float scale) {
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23
  float y = draw::mul_rn(x, scale);
  y = y > -kMostReference ? y : -kMostReference;
  y = y < kMostReference ? y : kMostReference;
  return draw::sub_rn(draw::add_rn(y, kRound), kRound);
}

// Whether estimates stand for the weights of a row with this largest logit: its reference is within 1/2 of its c x, and
// no difference of logits overflows, which is what the contract's exponents are made of.
TOKENDRAW_DEVICE bool are_estimable(float max, float scale, float reference) {
  const float above = draw::fma_rn(max, scale, -reference);
  return max < 0x1p100f && above >= -0.51f && above <= 0.51f;
}

// 2^63 times what a mass in units of 2^(reference - kWeightBits) is multiplied by to be one of the contract, whose unit
// is that of the row's largest logit; right to 2^-31.
TOKENDRAW_DEVICE uint64_t factor_above(float max, float scale, float reference) {
  constexpr double kCoefficients[] = {1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 0.5, 1.0, 1.0};
  constexpr double kMinusLn2 = -0x1.62e42fefa39efp-1;
  const double above =
      draw::add_rn(draw::mul_rn(static_cast<double>(max), static_cast<double>(scale)), -static_cast<double>(reference));
  double power = 0;
  for (const double coefficient : kCoefficients) {
    power = draw::add_rn(draw::mul_rn(power, draw::mul_rn(above, kMinusLn2)), coefficient);
  }
  return static_cast<uint64_t>(power * 0x1p63);
}

// The logarithm of n > 0, less than 0.09 too low.
TOKENDRAW_DEVICE float log2_near(uint64_t n) {
  const uint32_t bits = draw::float_bits(static_cast<float>(n));
  return static_cast<float>(static_cast<int32_t>(bits >> 23) - 127) + static_cast<float>(bits & 0x7fffffu) * 0x1p-23f;
}

// How far estimates may be off, as shares of them: whatever their exponents are,
TOKENDRAW_DEVICE float share_of_each(float additions) {
  return kExp2Error + kWeightError + kRounding * (additions + 1.0f);
}
// and for these, `bits` being the logarithm of how many there are over what they weigh.
TOKENDRAW_DEVICE float share_of_exponents(float bits, float overshoot) {
  return kRounding * kLn2 * (3.0f * platform::max_number(bits, 0.0f) + platform::max_number(overshoot, 0.0f) + 1.0f);
}
// Rounded up.
TOKENDRAW_DEVICE uint64_t share_of(uint64_t mass, float share) {
  return static_cast<uint64_t>(1.01f * share * static_cast<float>(mass)) + 1;
}

TOKENDRAW_DEVICE float weight_estimate(float x, float scale, float reference) {
  return platform::exp2_estimate(draw::fma_rn(x, scale, -reference));
}

// In pairs, so that no addition waits for more than the logarithm of their number.
template <int kWidth>
TOKENDRAW_DEVICE float sum_of_weight_estimates(const float (&x)[kWidth], float scale, float reference) {
  float weights[kWidth];
#pragma unroll
  for (int i = 0; i < kWidth; ++i) weights[i] = weight_estimate(x[i], scale, reference);
#pragma unroll
  for (int step = kWidth / 2; step > 0; step /= 2) {
#pragma unroll
    for (int i = 0; i < step; ++i) weights[i] = draw::add_rn(weights[i], weights[i + step]);
  }
  return weights[0];
}

// How many additions a logit's estimate goes through in the sum of its group.
template <typename Row>
TOKENDRAW_DEVICE float additions_of_group(int32_t group_lines) {
  constexpr int kOfLine = Row::Reader::kWidth == 8 ? 3 : 2;
  constexpr int kOfWarp = Row::kWave == 64 ? 6 : 5;
  return static_cast<float>(kOfLine + kOfWarp + group_lines);
}

}  // namespace tokendraw::gpu
