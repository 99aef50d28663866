// SPDX-License-Identifier: Apache-2.0
// Philox4x32-10: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
// Stateless: the output is a function of key and counter (docs/semantics.md, section 6).
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

struct PhiloxBlock {
  uint32_t word[4];
};

TOKENDRAW_HD PhiloxBlock philox4x32_10(PhiloxBlock counter, uint32_t key0, uint32_t key1) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t product0 = static_cast<uint64_t>(0xD2511F53u) * counter.word[0];
    const uint64_t product1 = static_cast<uint64_t>(0xCD9E8D57u) * counter.word[2];
    counter = {{static_cast<uint32_t>(product1 >> 32) ^ counter.word[1] ^ key0, static_cast<uint32_t>(product1),
                static_cast<uint32_t>(product0 >> 32) ^ counter.word[3] ^ key1, static_cast<uint32_t>(product0)}};
    key0 += 0x9E3779B9u;
    key1 += 0xBB67AE85u;
  }
  return counter;
}

// No two uses of a (seed, stream, offset) share a number: each has a purpose of its own.
inline constexpr uint32_t kPurposeDraw = 0;
inline constexpr uint32_t kPurposeRejection = 0x100;  // + round

TOKENDRAW_HD uint64_t random_bits(uint64_t seed, uint32_t stream, uint64_t offset, uint32_t purpose) {
  const PhiloxBlock counter = {{static_cast<uint32_t>(offset), static_cast<uint32_t>(offset >> 32), stream, purpose}};
  const PhiloxBlock out = philox4x32_10(counter, static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32));
  return (static_cast<uint64_t>(out.word[1]) << 32) | out.word[0];
}

// A float u in [0, 1) as a random number: floor(u * 2^64), which is u * 2^64 itself for every u that is 0 or >= 2^-40.
TOKENDRAW_HD bool is_unit_float(float u) { return u >= 0.0f && u < 1.0f; }

TOKENDRAW_HD uint64_t random_from_unit_float(float u) {
  const uint32_t bits = float_bits(u) & 0x7fffffffu;
  const int32_t exponent = static_cast<int32_t>(bits >> 23);
  if (exponent == 0) return 0;                               // subnormal: below 2^-126
  const uint64_t mantissa = (bits & 0x7fffffu) | 0x800000u;  // u = mantissa * 2^(exponent - 150)
  const int32_t shift = exponent - 150 + 64;                 // at most 126 - 86 = 40
  if (shift >= 0) return mantissa << shift;
  return shift > -24 ? mantissa >> -shift : 0;
}

}  // namespace tokendraw::draw
