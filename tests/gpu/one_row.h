// SPDX-License-Identifier: Apache-2.0
// Batches that read one row of logits many times, and the shares of top_p at which what is kept of it changes.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "support/batch_spec.h"
#include "support/oracle.h"

namespace tokendraw::test {

// A row for each random number.
inline BatchSpec draws_of(const std::vector<float>& logits, const RowSpec& parameters, std::vector<uint64_t> random) {
  BatchSpec spec;
  spec.logits = {logits};
  spec.rows.assign(random.size(), parameters);
  spec.row_index.assign(random.size(), 0);
  spec.random_u64 = std::move(random);
  return spec;
}

inline std::vector<uint64_t> weights_of(const std::vector<float>& logits) {
  return oracle_row(draws_of(logits, {}, {0}), 0).weights;
}

// The share of a row's i heaviest tokens, and the floats beside it.
class ShareBorders {
 public:
  explicit ShareBorders(std::vector<uint64_t> weights) : up_to_(std::move(weights)) {
    std::sort(up_to_.rbegin(), up_to_.rend());
    std::partial_sum(up_to_.begin(), up_to_.end(), up_to_.begin());
  }
  std::array<float, 3> of_heaviest(size_t i) const {
    const auto share = static_cast<float>(static_cast<double>(up_to_.at(i - 1)) / static_cast<double>(up_to_.back()));
    return {std::nextafter(share, 0.0f), share, std::nextafter(share, 1.0f)};
  }

 private:
  std::vector<uint64_t> up_to_;
};

}  // namespace tokendraw::test
