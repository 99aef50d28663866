// SPDX-License-Identifier: Apache-2.0
// Where a token stands in its row of logits: what the table of `tokendraw sample` shows beside it.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <vector>

namespace tokendraw::cli {

// A row as floats, without NaN.
class RowPlaces {
 public:
  // `logits`: `vocab` elements of the dtype.
  void load(const void* logits, int32_t vocab, TokendrawDtype dtype);

  // 0 is the best token; equal logits rank by id.
  int64_t rank(int32_t token) const;

  // The token's probability among the kept ones: its weight, 2^((x - max) * log2(e) / T) in units of 2^-42 as
  // docs/semantics.md has it, over the kept mass. The exponent is rounded as the library rounds it and the power is
  // not, so the share is within 4e-7 of itself.
  double share(int32_t token, float temperature, uint64_t kept_mass) const;

 private:
  std::vector<float> x_;
  float max_ = 0.0f;
};

}  // namespace tokendraw::cli
