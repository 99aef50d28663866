// SPDX-License-Identifier: Apache-2.0
// Sequences of random words (docs/blocks.md): those of cuRAND's and rocRAND's Philox4x32-10 for a seed, a subsequence
// and an offset, and of cuRAND's XORWOW; and numbers made of them.
#pragma once

#include "draw/philox.h"
#include "draw/xorwow.h"

namespace tokendraw::draw {

// From word offset + first on; first < 2^62.
class PhiloxWords {
 public:
  TOKENDRAW_HD PhiloxWords(uint64_t seed, uint64_t subsequence, uint64_t offset, uint64_t first)
      : seed_(seed), subsequence_(subsequence) {
    const uint64_t lane = (offset & 3u) + first;
    block_ = (offset >> 2) + (lane >> 2);
    lane_ = static_cast<uint32_t>(lane & 3u);
    make();
  }

  // Whether next() begins a block of the generator, and that block.
  TOKENDRAW_HD bool begins_block() const { return lane_ == 0; }
  TOKENDRAW_HD PhiloxBlock block() const { return words_; }

  TOKENDRAW_HD uint32_t next() {
    if (lane_ == 4) {
      ++block_;
      lane_ = 0;
      make();
    }
    // By selection: an array that a variable indexes lies in memory on a GPU.
    const bool odd = (lane_ & 1u) != 0;
    const uint32_t low = odd ? words_.word[1] : words_.word[0];
    const uint32_t high = odd ? words_.word[3] : words_.word[2];
    return lane_++ < 2 ? low : high;
  }

 private:
  TOKENDRAW_HD void make() {
    const PhiloxBlock counter = {{static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32),
                                  static_cast<uint32_t>(subsequence_), static_cast<uint32_t>(subsequence_ >> 32)}};
    words_ = philox4x32_10(counter, static_cast<uint32_t>(seed_), static_cast<uint32_t>(seed_ >> 32));
  }

  uint64_t seed_;
  uint64_t subsequence_;
  uint64_t block_;
  uint32_t lane_;
  PhiloxBlock words_;
};

// 24 bits in [0, 1), every value a multiple of 2^-24.
TOKENDRAW_HD float unit_float(uint32_t word) { return mul_rn(static_cast<float>(word >> 8), 0x1p-24f); }

// In (0, 1], as cuRAND's curand_uniform: the product is exact, so that a fused operation there rounds alike.
TOKENDRAW_HD float positive_unit_float(uint32_t word) {
  return add_rn(mul_rn(static_cast<float>(word), 0x1p-32f), 0x1p-33f);
}

}  // namespace tokendraw::draw
