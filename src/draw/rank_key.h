// SPDX-License-Identifier: Apache-2.0
// The order of a row (docs/semantics.md, section 2) as 64-bit keys: a larger key is earlier, and no two are equal.
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

// An integer that orders as x does. x is an effective logit: not NaN, and never -0.
TOKENDRAW_HD uint32_t ordered_bits(float x) {
  const uint32_t bits = float_bits(x);
  return (bits & 0x80000000u) != 0 ? ~bits : bits | 0x80000000u;
}

TOKENDRAW_HD float from_ordered_bits(uint32_t ordered) {
  return bits_float((ordered & 0x80000000u) != 0 ? ordered & 0x7fffffffu : ~ordered);
}

TOKENDRAW_HD uint64_t rank_key(float x, uint32_t id) {
  return (static_cast<uint64_t>(ordered_bits(x)) << 32) | (~id & 0xffffffffu);
}

TOKENDRAW_HD float rank_key_logit(uint64_t key) { return from_ordered_bits(static_cast<uint32_t>(key >> 32)); }
TOKENDRAW_HD uint32_t rank_key_id(uint64_t key) { return ~static_cast<uint32_t>(key); }

}  // namespace tokendraw::draw
