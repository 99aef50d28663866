// SPDX-License-Identifier: Apache-2.0
// 128-bit integer arithmetic from 64-bit parts, the same on every compiler.
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

struct Uint128 {
  uint64_t high;
  uint64_t low;
};

TOKENDRAW_HD Uint128 mul_wide(uint64_t a, uint64_t b) {
#if defined(__CUDA_ARCH__)
  return {__umul64hi(a, b), a * b};
#elif defined(__SIZEOF_INT128__)
  __extension__ typedef unsigned __int128 Native;
  const Native product = static_cast<Native>(a) * b;
  return {static_cast<uint64_t>(product >> 64), static_cast<uint64_t>(product)};
#else
  const uint64_t a0 = a & 0xffffffffu, a1 = a >> 32, b0 = b & 0xffffffffu, b1 = b >> 32;
  const uint64_t p00 = a0 * b0, p01 = a0 * b1, p10 = a1 * b0, p11 = a1 * b1;
  const uint64_t middle = (p00 >> 32) + (p01 & 0xffffffffu) + (p10 & 0xffffffffu);
  return {p11 + (p01 >> 32) + (p10 >> 32) + (middle >> 32), (middle << 32) | (p00 & 0xffffffffu)};
#endif
}

// The high 64 bits of a * b.
TOKENDRAW_HD uint64_t mul_high(uint64_t a, uint64_t b) { return mul_wide(a, b).high; }

// ceil(a * b / 2^shift) for results below 2^64; any shift >= 0.
TOKENDRAW_HD uint64_t mul_shift_ceil(uint64_t a, uint64_t b, int32_t shift) {
  const Uint128 p = mul_wide(a, b);
  if (shift >= 128) return (p.high | p.low) != 0 ? 1 : 0;
  if (shift >= 64) {
    const int32_t s = shift - 64;
    const uint64_t lost = p.low | (s == 0 ? 0 : p.high << (64 - s));
    return (p.high >> s) + (lost != 0 ? 1 : 0);
  }
  if (shift == 0) return p.low;
  const uint64_t lost = p.low << (64 - shift);
  return ((p.high << (64 - shift)) | (p.low >> shift)) + (lost != 0 ? 1 : 0);
}

// x = mantissa / 2^shift exactly, for a finite x >= 0; mantissa < 2^24.
struct Fraction {
  uint32_t mantissa;
  int32_t shift;
};

TOKENDRAW_HD Fraction to_fraction(float x) {
  const uint32_t bits = float_bits(x);
  const uint32_t exponent = (bits >> 23) & 0xffu;
  const uint32_t field = bits & 0x7fffffu;
  if (exponent == 0) return {field, 149};
  return {field | 0x800000u, 150 - static_cast<int32_t>(exponent)};
}

}  // namespace tokendraw::draw
