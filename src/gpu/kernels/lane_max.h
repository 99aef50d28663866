// SPDX-License-Identifier: Apache-2.0
// The largest logit of a lane, from the bits as they are stored. Only where platform::kHasMaxOrNan.
#pragma once

#include "gpu/kernels/row_reader.h"

namespace tokendraw::gpu {

// The largest of a lane's logits, NaN if one is, in the form that takes the fewest instructions.
template <request::Dtype kStored>
struct LaneMax {  // 16-bit dtypes: two at a time
  uint32_t pair = kStored == request::Dtype::kBf16 ? 0xff80ff80u : 0xfc00fc00u;
  TOKENDRAW_DEVICE static uint32_t larger(uint32_t a, uint32_t b) {
    return kStored == request::Dtype::kBf16 ? platform::max_or_nan_bf16_pair(a, b)
                                            : platform::max_or_nan_f16_pair(a, b);
  }
  TOKENDRAW_DEVICE static LaneMax of(const platform::Words16& words) {
    return {larger(larger(words.word[0], words.word[1]), larger(words.word[2], words.word[3]))};
  }
  TOKENDRAW_DEVICE void take(const LaneMax& other) { pair = larger(pair, other.pair); }
  TOKENDRAW_DEVICE void take(const platform::Words16& words) { take(of(words)); }
  // That of the logits at even (0) and at odd (1) places, and of all.
  TOKENDRAW_DEVICE float value(int which) const {
    const platform::Words16 words = {{pair, 0, 0, 0}};
    return Stored<kStored>::to_float(words, which);
  }
  TOKENDRAW_DEVICE float value() const { return platform::max_or_nan(value(0), value(1)); }
};

template <>
struct LaneMax<request::Dtype::kF32> {
  float largest = -draw::infinity();
  TOKENDRAW_DEVICE static LaneMax of(const platform::Words16& words) {
    const float low = platform::max_or_nan(draw::bits_float(words.word[0]), draw::bits_float(words.word[1]));
    const float high = platform::max_or_nan(draw::bits_float(words.word[2]), draw::bits_float(words.word[3]));
    return {platform::max_or_nan(low, high)};
  }
  TOKENDRAW_DEVICE void take(const LaneMax& other) { largest = platform::max_or_nan(largest, other.largest); }
  TOKENDRAW_DEVICE void take(const platform::Words16& words) { take(of(words)); }
  TOKENDRAW_DEVICE float value(int) const { return largest; }
  TOKENDRAW_DEVICE float value() const { return largest; }
};

}  // namespace tokendraw::gpu
