// SPDX-License-Identifier: Apache-2.0
// The parameters of a row: from what the caller wrote to what the filters compare with (docs/semantics.md, section 3).
#pragma once

#include "draw/exp2_fixed.h"
#include "draw/philox.h"
#include "draw/wide_math.h"

namespace tokendraw::draw {

// The bits of a row's status word; the same values as TokendrawRowStatus.
enum RowStatus : uint32_t {
  kNanLogit = 1,
  kBadId = 2,
  kBadParameter = 4,
  kNoCandidate = 8,
  kBadProbability = 16,
};

enum class TopPBase : int32_t { kAfterTopK = 0, kAll = 1, kAfterAll = 2 };

inline constexpr float kLog2E = 1.44269502162933349609375f;

struct RawRowParams {
  float temperature;
  int32_t top_k;
  float top_p;
  float min_p;
};

struct RowParams {
  float scale;    // c = log2(e) / T
  bool greedy;    // the token is rank 0
  int32_t top_k;  // in [1, vocab]; vocab: off
  bool top_p_on;
  Fraction top_p;       // valid if top_p_on; 0 for top_p <= 0
  uint64_t min_weight;  // 0: min_p is off
  TopPBase base;
};

TOKENDRAW_HD bool row_params_valid(const RawRowParams& raw) {
  return raw.temperature >= 0.0f && !is_nan(raw.top_p) && raw.min_p <= 1.0f;  // false for every NaN
}

// min_p * 2^42, rounded up. 0 if min_p is off.
TOKENDRAW_HD uint64_t min_weight_of(float min_p) {
  if (!(min_p > 0.0f)) return 0;
  const Fraction fraction = to_fraction(min_p);
  return mul_shift_ceil(kWeightOne, fraction.mantissa, fraction.shift);
}

// Precondition: row_params_valid(raw).
TOKENDRAW_HD RowParams make_row_params(const RawRowParams& raw, TopPBase base, int32_t vocab) {
  RowParams params;
  params.scale = div_rn(kLog2E, raw.temperature);
  params.greedy = raw.temperature == 0.0f || params.scale == infinity();
  params.top_k = raw.top_k <= 0 || raw.top_k >= vocab ? vocab : raw.top_k;
  params.top_p_on = raw.top_p < 1.0f;
  params.top_p = params.top_p_on && raw.top_p > 0.0f ? to_fraction(raw.top_p) : Fraction{0, 0};
  params.min_weight = min_weight_of(raw.min_p);
  params.base = base;
  return params;
}

// The mass before a token must be below this for the token to pass top_p, S being the mass of the base.
TOKENDRAW_HD uint64_t top_p_need(uint64_t base_mass, Fraction top_p) {
  const uint64_t need = mul_shift_ceil(base_mass, top_p.mantissa, top_p.shift);
  return need > 1 ? need : 1;
}

// Where the draw falls in the kept mass (docs/semantics.md, section 7).
TOKENDRAW_HD uint64_t draw_target(uint64_t random, uint64_t kept_mass) { return mul_high(random, kept_mass); }

}  // namespace tokendraw::draw
