// SPDX-License-Identifier: Apache-2.0
// From a double to a stored float, rounded once, to nearest, ties to even.
#pragma once

#include "draw/double_math.h"

namespace tokendraw::draw {

// A float between the two neighbours of x from which a shorter format is rounded as from x itself: x cut off, and its
// last bit set if that lost something ("round to odd": Boldo, Melquiond, "When double rounding is odd", 2005).
// Below the normal floats, where no shorter format but bf16 has values, the nearest float.
TOKENDRAW_HD float round_to_odd(double x) {
  const uint64_t bits = double_bits(x);
  const int32_t exponent = static_cast<int32_t>(bits >> 52 & 0x7ffu) - 1023;
  if (exponent < -126 || exponent > 127) return static_cast<float>(x);  // NaN and infinity too
  const auto sign = static_cast<uint32_t>(bits >> 63) << 31;
  const auto mantissa = static_cast<uint32_t>(bits >> 29) & 0x7fffffu;
  const uint32_t lost = (bits & 0x1fffffffu) != 0 ? 1 : 0;
  return bits_float(sign | static_cast<uint32_t>(exponent + 127) << 23 | mantissa | lost);
}

TOKENDRAW_HD uint16_t float_to_bf16(float x) {
  const uint32_t bits = float_bits(x);
  if (is_nan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40u);
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

// float_to_bf16(round_to_odd(x)) for x = 0 and from 2^-126 to 1: from the upper half of the double's bits, with one bit
// for all of the lower half.
TOKENDRAW_HD uint16_t share_to_bf16(double x) {
  const uint64_t bits = double_bits(x);
  const uint32_t high = static_cast<uint32_t>(bits >> 32) | (static_cast<uint32_t>(bits) != 0 ? 1u : 0u);
  const uint32_t rounded = (high + 0xfffu + (high >> 13 & 1u)) >> 13;
  return high == 0 ? uint16_t{0} : static_cast<uint16_t>(rounded - ((1023u - 127u) << 7));
}

TOKENDRAW_HD uint16_t float_to_f16(float x) {
  const uint32_t bits = float_bits(x);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u);
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);  // 65520 and more
  if (magnitude >= 0x38800000u) {                                              // 2^-14: normal
    const uint32_t rounded = magnitude + 0xfffu + (magnitude >> 13 & 1u);
    return static_cast<uint16_t>(sign | ((rounded - 0x38000000u) >> 13));
  }
  if (magnitude <= 0x33000000u) return static_cast<uint16_t>(sign);  // up to 2^-25, which ties with 0
  const uint32_t mantissa = (magnitude & 0x7fffffu) | 0x800000u;
  const uint32_t shift = 126 - (magnitude >> 23);  // 14 to 24: units of 2^-24
  const uint32_t half = 1u << (shift - 1);
  return static_cast<uint16_t>(sign | ((mantissa + half - 1 + (mantissa >> shift & 1u)) >> shift));
}

}  // namespace tokendraw::draw
