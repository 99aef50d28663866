// SPDX-License-Identifier: Apache-2.0
// Finding the cut of a row (docs/semantics.md, section 9) without sorting it: a threshold from group maxima, and the
// search that narrows an interval of logits until few are left in it.
#pragma once

#include <cstdint>

#include "cpu/list_view.h"
#include "cpu/row_view.h"
#include "cpu/simd/chunk_kernels.h"

namespace tokendraw::cpu {

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
  // The measure of all logits >= total_from, which is not above low; at least `goal`. Guides guesses: may be a little
  // off.
  float total_from;
  uint64_t total;
  bool chunk_mass_known;  // chunk_mass holds the weights of the whole row
};

// A number t such that at least k of the n values are >= t, and not many more where that can be had quickly. Sure for
// every k <= n: that many groups of logits then hold one logit >= t each.
float sure_threshold(const DtypeKernels& f32, const float* values, int32_t n, int32_t k);

// The neighbours of an effective logit; -inf has no smaller one and +inf no larger.
float next_up(float x);
float next_down(float x);

// If `listed` > 0, the list begins with that many logits: all those of an interval that holds the token's. The interval
// reaches up to the row's largest, or, if `above_is_known`, to some logit above which the summed weight is `above`, and
// chunk_mass holds that sum by chunk.
struct Cut {
  uint64_t key;  // the token's rank key
  int32_t listed;
  bool above_is_known;
  uint64_t above;
};

// Looks for the token. `list` is memory for all logits of the row, chunk_mass for all chunks.
Cut find_cut(const RowView& row, WeightRule rule, CutSearch search, const LogitList& list, uint64_t* chunk_mass);

// A weight that the first token at which the summed weight reaches `goal` does not stay below. chunk_mass: of the whole
// row, `total` their sum >= goal.
uint64_t sure_weight(const uint64_t* chunk_mass, int32_t chunks, uint64_t total, uint64_t goal);

}  // namespace tokendraw::cpu
