// SPDX-License-Identifier: Apache-2.0
// Finding the cut of a row (docs/semantics.md, section 9) without sorting it: a threshold from group maxima, and the
// search that narrows an interval of logits until few are left in it.
#pragma once

#include <cstdint>

#include "cpu/row_view.h"
#include "cpu/simd/chunk_kernels.h"

namespace tokendraw::cpu {

// Logits and their ids, in id order.
struct LogitList {
  float* x;
  int32_t* id;
  int32_t size;
};

// What is summed along the order.
enum class Measure { kCount, kMass };

// Looks for the first token, in the order of the row, at which the sum of the measure reaches `goal` > 0.
struct CutSearch {
  Measure measure;
  uint64_t goal;
  // The token's logit lies in [low, high].
  float low;
  float high;
  uint64_t above;  // the measure of all logits > high; below `goal`
  uint64_t total;  // the measure of all logits >= low; at least `goal`; may be a little off for a mass
};

// A number t such that at least k of the n values are >= t, and not many more where that can be had quickly. Sure for
// every k <= n: that many groups of logits then hold one logit >= t each.
float sure_threshold(const DtypeKernels& f32, const float* values, int32_t n, int32_t k);

// The neighbours of an effective logit; -inf has no smaller one and +inf no larger.
float next_up(float x);
float next_down(float x);

// The token's rank key. `list` is memory for vocab + kListPadding elements.
uint64_t find_cut(const RowView& row, WeightRule rule, CutSearch search, LogitList list, uint64_t* chunk_mass);

}  // namespace tokendraw::cpu
