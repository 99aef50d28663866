// SPDX-License-Identifier: Apache-2.0
// The other yardstick of `tokendraw bench`: how a sampler is usually written, by sorting the vocabulary.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <vector>

#include "filter_settings.h"

namespace tokendraw::cli {

// An array of {id, logit}; std::partial_sort for top-k or std::sort for top-p; softmax; cumulative sums; a draw. The
// array is kept from row to row. Where no filter needs an order, nothing is sorted.
class SortBaseline {
 public:
  // `u` in [0, 1). Logits must be finite.
  int32_t sample(const void* logits, int32_t vocab, TokendrawDtype dtype, const cases::FilterSetting& setting,
                 TokendrawTopPBase base, double u);

 private:
  struct Entry {
    int32_t id;
    float logit;
    float weight;
  };

  void load(const void* logits, int32_t vocab, TokendrawDtype dtype);

  std::vector<Entry> entries_;
};

}  // namespace tokendraw::cli
