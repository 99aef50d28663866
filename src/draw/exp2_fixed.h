// SPDX-License-Identifier: Apache-2.0
// Weights (docs/semantics.md, section 4): 2^y as an integer in units of 2^-42.
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

inline constexpr uint64_t kWeightOne = uint64_t{1} << 42;  // the weight of a row's largest logit

// At and below this y every weight is 0: P < 2^25 is shifted right by at least 25. SIMD and device code may clamp here.
inline constexpr float kZeroWeightExponent = -43.0f;

// Minimax coefficients of 2^f on [-1/2, 1/2], degree 5, constant term 1, by power.
struct Exp2Coefficients {
  static constexpr float k5 = 0x1.5bfd58p-10f;
  static constexpr float k4 = 0x1.3ceaf8p-7f;
  static constexpr float k3 = 0x1.c6b69ap-5f;
  static constexpr float k2 = 0x1.ebf9bap-3f;
  static constexpr float k1 = 0x1.62e42ap-1f;
};

// 2^f for |f| <= 1/2.
TOKENDRAW_HD float exp2_polynomial(float f) {
  float p = Exp2Coefficients::k5;
  p = fma_rn(p, f, Exp2Coefficients::k4);
  p = fma_rn(p, f, Exp2Coefficients::k3);
  p = fma_rn(p, f, Exp2Coefficients::k2);
  p = fma_rn(p, f, Exp2Coefficients::k1);
  return fma_rn(p, f, 1.0f);
}

// 2^fraction for |fraction| <= 1/2, rounded first to a multiple of 2^-21, which makes weights monotone.
TOKENDRAW_HD float exp2_of_fraction(float fraction) { return exp2_polynomial(sub_rn(add_rn(fraction, 6.0f), 6.0f)); }

TOKENDRAW_HD uint64_t exp2_fixed(float y) {
  if (!(y >= -64.0f)) return 0;
  const float n = rint_even(y);
  const float p = exp2_of_fraction(sub_rn(y, n));
  const uint64_t mantissa = static_cast<uint32_t>(mul_rn(p, 16777216.0f));
  const int32_t exponent = static_cast<int32_t>(n);
  return exponent >= -18 ? mantissa << (18 + exponent) : mantissa >> (-18 - exponent);
}

// 2^y in two parts, for loops over whole rows on a GPU: 2^n * p, in few operations.
struct Exp2Parts {
  float p;           // in [1/2, 2)
  uint32_t n_above;  // n + kAbove in its low 12 bits
};

// y <= 0 or NaN; at and below -44, as for NaN, n is -44. Adding 1.5 * 2^23 + kAbove, which is even, rounds to an
// integer as rint_even does; y - n is exact, so y - n + 6 is rounded once, as in exp2_of_fraction, if 6 - n is added to
// y.
template <uint32_t kAbove>
TOKENDRAW_HD Exp2Parts exp2_parts(float y) {
  static_assert(kAbove % 2 == 0 && kAbove < 2048);
  constexpr float kRound = 12582912.0f + static_cast<float>(kAbove);  // its bits: 0x4b400000 + kAbove
  y = y > -44.0f ? y : -44.0f;                                        // W(-44) = 0
  const float rounded = add_rn(y, kRound);
  const float six_less_n = sub_rn(kRound + 6.0f, rounded);
  return {exp2_polynomial(sub_rn(add_rn(y, six_less_n), 6.0f)), float_bits(rounded)};
}

// exp2_fixed for y <= 0 and NaN: P is read off the bits of p instead of converted, and one shift to the right does for
// shifts both ways.
TOKENDRAW_HD uint64_t exp2_fixed_quick(float y) {
  const Exp2Parts parts = exp2_parts<0>(y);
  const uint32_t bits = float_bits(parts.p);
  const uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;
  const uint32_t shift = 127u + 0x4b400000u - (bits >> 23) - parts.n_above;
  return (mantissa << 19) >> shift;
}

// For y <= 0 and NaN: a double whose integer part is exp2_fixed(y). Its exponent is that of p plus n + 42, behind
// another bias.
TOKENDRAW_HD double exp2_unrounded(float y) {
  const Exp2Parts parts = exp2_parts<1023 - 127 + 42>(y);
  const uint32_t bits = float_bits(parts.p);
  const uint32_t high = (bits >> 3) + (parts.n_above << 20);
  return bits_double(static_cast<uint64_t>(high) << 32 | bits << 29);
}

// The weight of effective logit x in a row whose largest is `max`, with a finite scale c = log2(e) / T. max is not -inf
// and x is not above it.
TOKENDRAW_HD uint64_t weight(float x, float max, float c) {
  if (max == infinity()) return x == max ? kWeightOne : 0;
  if (x == -infinity()) return 0;
  return exp2_fixed(mul_rn(sub_rn(x, max), c));
}

}  // namespace tokendraw::draw
