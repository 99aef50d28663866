// SPDX-License-Identifier: Apache-2.0
// Dual-pivot rejection sampling (docs/semantics.md, section 8), after Ye et al., "Sorting-Free GPU Kernels for LLM
// Sampling", 2025: the arithmetic of its interval of rank keys.
#pragma once

#include "draw/host_device.h"

namespace tokendraw::draw {

inline constexpr int kMaxRejectionRounds = 65;  // high - low at least halves each round

struct RejectionInterval {
  uint64_t low = 0;
  uint64_t high = ~uint64_t{0};
};

TOKENDRAW_HD uint64_t second_pivot(const RejectionInterval& interval, uint64_t pivot1) {
  return pivot1 + (interval.high - pivot1) / 2;
}

// After a rejected pivot1: what is kept lies above the new low.
TOKENDRAW_HD RejectionInterval narrow_interval(const RejectionInterval& interval, uint64_t pivot1, uint64_t pivot2,
                                               bool pivot2_valid) {
  return pivot2_valid ? RejectionInterval{pivot1, pivot2} : RejectionInterval{pivot2, interval.high};
}

}  // namespace tokendraw::draw
