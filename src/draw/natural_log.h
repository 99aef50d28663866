// SPDX-License-Identifier: Apache-2.0
// The natural logarithm. Not part of what the contract fixes bit for bit: log-probabilities only.
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

#if !defined(__CUDACC__)
// For devices whose compiler has no logarithm: of a positive, finite, normal x, with a relative error of less than
// 2^-50. x = 2^e m with m in [sqrt(1/2), sqrt(2)), and ln m = 2 artanh(s) = 2 (s + s^3/3 + s^5/5 + ...) for s = (m - 1)
// / (m + 1): with |s| < 0.1716 the first term left out is below 2^-60 of the sum.
TOKENDRAW_HD double natural_log_by_series(double x) {
  constexpr double kLn2High = 0x1.62e42fefa3800p-1;  // 42 bits, so that its product with an exponent is exact
  constexpr double kLn2Low = 0x1.ef35793c76730p-45;  // ln 2 - kLn2High
  constexpr uint64_t kSqrtHalf = 0x3fe6a09e667f3bcdu;
  const uint64_t bits = double_bits(x);
  const int64_t exponent = static_cast<int64_t>(bits - kSqrtHalf) >> 52;
  const double m = bits_double(bits - (static_cast<uint64_t>(exponent) << 52));
  const double s = (m - 1.0) / (m + 1.0);
  const double square = s * s;
  double sum = 0.0;
  for (int power = 21; power > 0; power -= 2) sum = sum * square + 1.0 / power;
  const auto e = static_cast<double>(exponent);
  return e * kLn2High + (2.0 * (s * sum) + e * kLn2Low);
}
#endif

TOKENDRAW_HD double natural_log(double x) {
#if defined(__CUDA_ARCH__)
  return log(x);
#elif defined(__HIP_DEVICE_COMPILE__)
  return natural_log_by_series(x);
#else
  return std::log(x);
#endif
}

}  // namespace tokendraw::draw
