// SPDX-License-Identifier: Apache-2.0
// Softmax of a row (docs/blocks.md): the integer weights of the contract, divided by their integer sum.
#pragma once

#include "draw/narrow_float.h"
#include "draw/row_params.h"

namespace tokendraw::draw {

// A row with its largest logit and its mass known. Of a greedy row (temperature 0) the first of the largest logits has
// all of the mass.
struct SoftmaxRow {
  float max = 0;
  float scale = 0;
  bool greedy = false;
  bool empty = true;   // no distribution: probabilities 0, logarithms -inf
  int32_t best = 0;    // of a greedy row: its token
  uint64_t total = 1;  // mass
  double inverse_temperature = 0;
  double inverse_total = 0;
  double log_total = 0;

  TOKENDRAW_HD void set_total(uint64_t mass) {
    total = mass;
    inverse_total = div_rn(1.0, static_cast<double>(mass));
    log_total = log_of_mass(mass);
  }

  // Of a logit of a row that is neither greedy nor empty. w is its weight.
  TOKENDRAW_HD double probability(uint64_t w) const { return mul_rn(static_cast<double>(w), inverse_total); }
  TOKENDRAW_HD double log_probability(float x) const {
    if (x == -infinity() || (max == infinity() && x != max)) return -static_cast<double>(infinity());
    if (max == infinity()) return -log_total;
    const double distance = add_rn(static_cast<double>(x), -static_cast<double>(max));
    return add_rn(mul_rn(distance, inverse_temperature), -log_total);
  }
};

// The parameters of a row; false: the temperature is no value.
TOKENDRAW_HD bool make_softmax_row(float temperature, SoftmaxRow* row) {
  const RawRowParams raw = {temperature, 0, 1.0f, 0.0f};
  if (!row_params_valid(raw)) return false;
  const RowParams params = make_row_params(raw, TopPBase::kAfterTopK, 1);
  row->scale = params.scale;
  row->greedy = params.greedy;
  row->inverse_temperature = params.greedy ? 1.0 : div_rn(1.0, static_cast<double>(temperature));
  return true;
}

}  // namespace tokendraw::draw
