// SPDX-License-Identifier: Apache-2.0
// From a stored logit to the effective one (docs/semantics.md, section 1), one element at a time.
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

TOKENDRAW_HD float bf16_to_float(uint16_t bits) { return bits_float(static_cast<uint32_t>(bits) << 16); }

TOKENDRAW_HD float f16_to_float(uint16_t bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000u) << 16;
  const uint32_t magnitude = bits & 0x7fffu;
  if (magnitude >= 0x7c00u) return bits_float(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));  // inf, NaN
  // As the bits of a float the value is too small by 2^112; the product is exact, subnormals included.
  const float value = mul_rn(bits_float(magnitude << 13), 0x1p112f);
  return bits_float(sign | float_bits(value));
}

struct Penalties {
  float repetition;
  float frequency;
  float presence;
};

TOKENDRAW_HD bool penalties_valid(const Penalties& p) {
  return p.repetition > 0.0f && is_finite(p.repetition) && is_finite(p.frequency) && is_finite(p.presence);
}

TOKENDRAW_HD float nan_to_minus_infinity(float x, bool& nan) {
  if (!is_nan(x)) return x;
  nan = true;
  return -infinity();
}

// -inf stays -inf whatever the bias.
TOKENDRAW_HD float apply_bias(float x, float bias) { return x == -infinity() ? x : add_rn(x, bias); }

TOKENDRAW_HD float apply_penalties(float x, const Penalties& p, int32_t count) {
  if (x == -infinity()) return x;
  x = x > 0.0f ? div_rn(x, p.repetition) : mul_rn(x, p.repetition);
  if (count > 0) {
    x = fma_rn(-p.frequency, static_cast<float>(count), x);
    x = sub_rn(x, p.presence);
  }
  return x;
}

// The last step: a NaN made by a bias or penalty becomes -inf, and -0 becomes +0.
TOKENDRAW_HD float finish_effective(float x, bool& nan) { return add_rn(nan_to_minus_infinity(x, nan), 0.0f); }

}  // namespace tokendraw::draw
