// SPDX-License-Identifier: Apache-2.0
// Probabilities as integers (docs/blocks.md): each in units that the row's largest one decides, so that sums are exact
// and the same in any order. The unit is a power of two for which the largest becomes a number of 42 bits; 2^21 of them
// fit into 64.
#pragma once

#include "draw/double_math.h"

namespace tokendraw::draw {

// A probability is finite and not negative; anything else counts as 0, as does -0.
TOKENDRAW_HD float clean_probability(float p, bool& bad) {
  if (p >= 0.0f && p < infinity()) return add_rn(p, 0.0f);
  bad = true;
  return 0.0f;
}

struct ProbabilityRule {
  int32_t exponent;  // the exponent field of the largest, at least 1

  static TOKENDRAW_HD int32_t field_of(float p) {
    const auto field = static_cast<int32_t>(float_bits(p) >> 23);
    return field > 1 ? field : 1;
  }

  // p / unit, rounded to nearest, halves up. p is a clean probability that is not above the largest.
  TOKENDRAW_HD uint64_t weight(float p) const {
    const uint32_t bits = float_bits(p);
    const uint64_t mantissa = (bits & 0x7fffffu) | (bits >> 23 != 0 ? 0x800000u : 0u);
    const int32_t shift = exponent - field_of(p) - 18;  // to the right
    if (shift <= 0) return mantissa << -shift;
    return shift < 25 ? (mantissa + (uint64_t{1} << (shift - 1))) >> shift : 0;
  }

  // A sum of weights as a float, rounded once (twice only where it is subnormal): it never falls as the sum rises.
  TOKENDRAW_HD float sum(uint64_t weights) const {
    const auto field = static_cast<uint64_t>(1023 + exponent - (150 + 18));  // of the unit, a normal double
    return static_cast<float>(mul_rn(static_cast<double>(static_cast<float>(weights)), bits_double(field << 52)));
  }
};

TOKENDRAW_HD ProbabilityRule make_probability_rule(float largest) { return {ProbabilityRule::field_of(largest)}; }

}  // namespace tokendraw::draw
