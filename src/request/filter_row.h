// SPDX-License-Identifier: Apache-2.0
// A row of the filter operation (docs/blocks.md): its rule and its results, for host and device; and, for a host, the
// search for what is kept. The cut of a filter is the largest key at which the measure of all keys from there on, their
// number or their mass, reaches a goal; it is found three bits at a time, seven pivots to a pass over the row. Keys are
// unique, so ties need no care, and sums are of integers, so they may be taken in any order. (GPUs search otherwise:
// gpu/kernels/filter_search.h.)
//
// Who reads the row is a `Reader`, which has
//   visit(with_weights, f)    f(id, x, weight) for every element, x clean; weight is 0 unless with_weights
//   sum(values, count)        replaces each of `count` numbers by the sum over all threads
#pragma once

#include "draw/probability.h"
#include "draw/rank_key.h"
#include "request/operation.h"

namespace tokendraw::request {

// Weights and parameters of a row whose largest element is known.
struct FilterRule {
  bool of_probabilities;
  bool nothing;  // no element weighs anything
  float max;
  draw::ProbabilityRule probability;
  draw::RowParams params;
  uint64_t min_weight;

  TOKENDRAW_HD uint64_t weight(float x) const {
    return of_probabilities ? probability.weight(x) : draw::weight(x, max, params.scale);
  }
};

// What is kept of a row: keys from `cut` on that weigh at least the rule's min_weight.
struct FilterCut {
  uint64_t cut = 0;
  int64_t kept = 0;  // of those that weigh something
  uint64_t mass = 0;
};

// The order of a row in 53 bits.
TOKENDRAW_HD uint64_t filter_key(float x, int32_t id) {
  return static_cast<uint64_t>(draw::ordered_bits(x)) << 21 | static_cast<uint64_t>(kMaxVocab - 1 - id);
}

// False: a parameter of the row is no value.
TOKENDRAW_HD bool read_filter_params(const Operation& operation, int64_t row, FilterRule* rule) {
  const Filter& f = operation.filter;
  const draw::RawRowParams raw = {f.temperature.at(row), f.top_k.at(row), f.top_p.at(row), f.min_p.at(row)};
  if (!draw::row_params_valid(raw)) return false;
  rule->of_probabilities = f.of_probabilities;
  rule->params = draw::make_row_params(raw, f.top_p_base, static_cast<int32_t>(operation.columns));
  return true;
}

TOKENDRAW_HD void set_filter_max(const Filter& filter, int64_t row, float max, FilterRule* rule) {
  rule->max = max;
  rule->nothing = rule->of_probabilities ? max == 0.0f : max == -draw::infinity();
  rule->probability = draw::make_probability_rule(rule->of_probabilities ? max : 0.0f);
  rule->min_weight = rule->params.min_weight;
  if (rule->of_probabilities && rule->min_weight > 0) {  // a share of the largest weight, which is not 2^42
    const draw::Fraction share = draw::to_fraction(filter.min_p.at(row));
    rule->min_weight = draw::mul_shift_ceil(rule->probability.weight(max), share.mantissa, share.shift);
  }
}

template <typename Reader>
inline uint64_t find_filter_key(const Reader& reader, uint64_t goal, bool of_mass) {
  uint64_t found = 0;
  for (int shift = 51; shift >= 0; shift -= 3) {
    uint64_t reached[7] = {0, 0, 0, 0, 0, 0, 0};
    reader.visit(of_mass, [&](int32_t id, float x, uint64_t weight) {
      const uint64_t key = filter_key(x, id);
      const uint64_t value = of_mass ? weight : 1;
      for (int j = 0; j < 7; ++j) {
        reached[j] += key >= (found | static_cast<uint64_t>(j + 1) << shift) ? value : 0;
      }
    });
    reader.sum(reached, 7);
    uint64_t digit = 0;
    for (int j = 0; j < 7; ++j) digit += reached[j] >= goal ? 1 : 0;
    found |= digit << shift;
  }
  return found;
}

// Precondition: !rule.nothing.
template <typename Reader>
inline FilterCut find_filter_cut(const Reader& reader, const FilterRule& rule, int32_t vocab) {
  const draw::RowParams& params = rule.params;
  FilterCut found;
  if (params.greedy) {
    found.cut = find_filter_key(reader, 1, false);
    found.kept = 1;
    found.mass = draw::kWeightOne;
    return found;
  }
  if (params.top_k < vocab) found.cut = find_filter_key(reader, static_cast<uint64_t>(params.top_k), false);
  if (params.top_p_on) {
    const uint64_t base_cut = params.base == draw::TopPBase::kAll ? 0 : found.cut;
    const uint64_t base_min = params.base == draw::TopPBase::kAfterAll ? rule.min_weight : 0;
    uint64_t mass = 0;
    reader.visit(true, [&](int32_t id, float x, uint64_t weight) {
      mass += filter_key(x, id) >= base_cut && weight >= base_min ? weight : 0;
    });
    reader.sum(&mass, 1);
    const uint64_t cut = find_filter_key(reader, draw::top_p_need(mass, params.top_p), true);
    if (cut > found.cut) found.cut = cut;
  }
  uint64_t sums[2] = {0, 0};
  reader.visit(true, [&](int32_t id, float x, uint64_t weight) {
    const bool kept = filter_key(x, id) >= found.cut && weight >= rule.min_weight;
    sums[0] += kept && weight > 0 ? 1 : 0;
    sums[1] += kept ? weight : 0;
  });
  reader.sum(sums, 2);
  found.kept = static_cast<int64_t>(sums[0]);
  found.mass = sums[1];
  return found;
}

// How elements become results.
struct FilterMap {
  FilterRule rule;
  FilterCut cut;
  bool empty;  // nothing is kept
  bool mask;
  double inverse_mass;

  TOKENDRAW_HD bool keeps(int32_t id, float x, uint64_t weight) const {
    if (empty || filter_key(x, id) < cut.cut) return false;
    return rule.params.greedy || weight >= rule.min_weight;
  }
  // The weight with which an element is drawn.
  TOKENDRAW_HD uint64_t kept_weight(int32_t id, float x, uint64_t weight) const {
    if (!keeps(id, x, weight)) return 0;
    return rule.params.greedy ? draw::kWeightOne : weight;
  }
  TOKENDRAW_HD float result(int32_t id, float x, uint64_t weight) const {
    if (mask) return keeps(id, x, weight) ? x : rule.of_probabilities ? 0.0f : -draw::infinity();
    return static_cast<float>(draw::mul_rn(static_cast<double>(kept_weight(id, x, weight)), inverse_mass));
  }
};

TOKENDRAW_HD FilterMap make_filter_map(const Filter& filter, const FilterRule& rule, const FilterCut& cut, bool empty) {
  return {rule, cut, empty, filter.mask, empty ? 0.0 : draw::div_rn(1.0, static_cast<double>(cut.mass))};
}

TOKENDRAW_HD uint64_t filter_random(const Filter& f, int64_t row) {
  if (f.random_u64 != nullptr) return f.random_u64[row];
  const uint32_t stream = f.stream_is_row ? static_cast<uint32_t>(row) : f.stream.at(row);
  return draw::random_bits(f.seed.at(row), stream, f.offset.at(row), draw::kPurposeDraw);
}

// All of a row's results but the matrix. token: -1 where there is none.
TOKENDRAW_HD void write_filter_row(const Operation& operation, int64_t row, uint32_t status, const FilterCut& cut,
                                   int32_t token) {
  const Filter& f = operation.filter;
  if (operation.row_status != nullptr) operation.row_status[row] = status;
  if (f.kept != nullptr) f.kept[row] = cut.kept;
  if (f.kept_mass != nullptr) f.kept_mass[row] = cut.mass;
  if (f.tokens != nullptr) f.tokens[row] = token >= 0 ? token : f.invalid_token;
}

}  // namespace tokendraw::request
