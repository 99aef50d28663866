// SPDX-License-Identifier: Apache-2.0
// Single rows that do not know of each other, put together into batches.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "support/case_rows.h"
#include "support/random_rows.h"

namespace tokendraw::test {

// A row with filters and seed, another one for each `number`.
struct Request {
  std::vector<float> logits;
  RowSpec row;
};

inline Request request(uint64_t number, int32_t vocab) {
  TestRandom random(1000 + number);
  const auto kind = random.chance(0.5) ? cases::RowKind::kNormal1 : cases::RowKind::kNormal5;
  Request request{make_logits(kind, vocab, TOKENDRAW_DTYPE_F32, random), {}};
  static constexpr std::array<float, 4> kTopP = {1.0f, 0.9f, 0.5f, 0.99f};
  static constexpr std::array<int32_t, 4> kTopK = {0, 50, 5, 200};
  request.row = filtered(random.uniform(0.5f, 1.5f), random.one_of(kTopK), random.one_of(kTopP));
  request.row.seed = random.bits();
  request.row.stream = static_cast<uint32_t>(random.bits());
  request.row.offset = random.below(10000);
  return request;
}

inline BatchSpec batch_of(const std::vector<Request>& requests) {
  BatchSpec spec;
  for (const Request& one : requests) {
    spec.logits.push_back(one.logits);
    spec.rows.push_back(one.row);
  }
  return spec;
}

inline std::string same(const RowResult& expected, const RowResult& actual) {
  return difference({expected}, {actual}, 0.0);  // log-probabilities, too: the same algorithm in the same place
}

}  // namespace tokendraw::test
