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

// 2^fraction for |fraction| <= 1/2, rounded first to a multiple of 2^-21, which makes weights monotone.
TOKENDRAW_HD float exp2_of_fraction(float fraction) {
  const float f = sub_rn(add_rn(fraction, 6.0f), 6.0f);
  float p = Exp2Coefficients::k5;
  p = fma_rn(p, f, Exp2Coefficients::k4);
  p = fma_rn(p, f, Exp2Coefficients::k3);
  p = fma_rn(p, f, Exp2Coefficients::k2);
  p = fma_rn(p, f, Exp2Coefficients::k1);
  return fma_rn(p, f, 1.0f);
}

TOKENDRAW_HD uint64_t exp2_fixed(float y) {
  if (!(y >= -64.0f)) return 0;
  const float n = rint_even(y);
  const float p = exp2_of_fraction(sub_rn(y, n));
  const uint64_t mantissa = static_cast<uint32_t>(mul_rn(p, 16777216.0f));
  const int32_t exponent = static_cast<int32_t>(n);
  return exponent >= -18 ? mantissa << (18 + exponent) : mantissa >> (-18 - exponent);
}

// The same for y <= 0 and NaN in fewer operations, for loops over whole rows on a GPU: adding 1.5 * 2^23 rounds to an
// integer, P is read off the bits of p instead of converted, and one shift to the right does for both of the above.
TOKENDRAW_HD uint64_t exp2_fixed_quick(float y) {
  constexpr float kRound = 12582912.0f;  // its bits: 0x4b400000
  y = y > -44.0f ? y : -44.0f;           // W(-44) = 0
  const float rounded = add_rn(y, kRound);
  const float n = sub_rn(rounded, kRound);
  const float p = exp2_of_fraction(sub_rn(y, n));
  const uint32_t bits = float_bits(p);  // p is in [1/2, 2)
  const uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;
  const uint32_t shift = 127u + 0x4b400000u - (bits >> 23) - float_bits(rounded);
  return (mantissa << 19) >> shift;
}

// The weight of effective logit x in a row whose largest is `max`, with a finite scale c = log2(e) / T. max is not -inf
// and x is not above it.
TOKENDRAW_HD uint64_t weight(float x, float max, float c) {
  if (max == infinity()) return x == max ? kWeightOne : 0;
  if (x == -infinity()) return 0;
  return exp2_fixed(mul_rn(sub_rn(x, max), c));
}

}  // namespace tokendraw::draw
