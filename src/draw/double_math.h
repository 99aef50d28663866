// SPDX-License-Identifier: Apache-2.0
// Double operations with a fixed rounding, as host_device.h has them for float: for results that are the same bits on
// every host and device. And a natural logarithm of the same kind.
#pragma once

#include "draw/exp2_fixed.h"

namespace tokendraw::draw {

#if defined(__CUDA_ARCH__)
TOKENDRAW_HD double add_rn(double a, double b) { return __dadd_rn(a, b); }
TOKENDRAW_HD double mul_rn(double a, double b) { return __dmul_rn(a, b); }
TOKENDRAW_HD double div_rn(double a, double b) { return __ddiv_rn(a, b); }
#else
TOKENDRAW_HD double add_rn(double a, double b) { return a + b; }
TOKENDRAW_HD double mul_rn(double a, double b) { return a * b; }
TOKENDRAW_HD double div_rn(double a, double b) { return a / b; }
#endif

// ln(mass / 2^42) for mass >= 1, within 1e-14 + 3e-16 of its magnitude: mass = 2^k m with m near 1, and
// ln m = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = (m - 1) / (m + 1), |s| < 0.172.
TOKENDRAW_HD double log_of_mass(uint64_t mass) {
  constexpr double kLn2 = 0x1.62e42fefa39efp-1;
  constexpr uint64_t kSqrt2Mantissa = 0x6a09e667f3bcdu;
  const uint64_t bits = double_bits(static_cast<double>(mass));
  const uint64_t field = bits & 0xfffffffffffffu;
  const bool large = field > kSqrt2Mantissa;
  const double m = bits_double(field | (large ? 0x3fe0000000000000u : 0x3ff0000000000000u));
  const int32_t k = static_cast<int32_t>(bits >> 52) - (1023 + 42) + (large ? 1 : 0);
  const double s = div_rn(add_rn(m, -1.0), add_rn(m, 1.0));
  const double z = mul_rn(s, s);
  double series = 1.0 / 21.0;
  constexpr double kCoefficients[] = {1.0 / 19, 1.0 / 17, 1.0 / 15, 1.0 / 13, 1.0 / 11,
                                      1.0 / 9,  1.0 / 7,  1.0 / 5,  1.0 / 3,  1.0};
  for (const double coefficient : kCoefficients) series = add_rn(mul_rn(series, z), coefficient);
  return add_rn(mul_rn(static_cast<double>(k), kLn2), mul_rn(mul_rn(s, 2.0), series));
}

}  // namespace tokendraw::draw
