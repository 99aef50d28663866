// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cpu/operation_rows.h"
#include "draw/probability.h"
#include "draw/row_params.h"

namespace tokendraw::cpu {
namespace {

// to[i] = as_result(the sum of weigh(from[j]) for all j < i, or j <= i). `to` may be `from`.
template <typename T, typename Weigh, typename AsResult>
void sum_prefixes(const T* from, int64_t size, bool exclusive, T* to, const Weigh& weigh, const AsResult& as_result) {
  uint64_t running = 0;
  for (int64_t i = 0; i < size; ++i) {
    const uint64_t before = running;
    running += weigh(from[i]);
    to[i] = as_result(exclusive ? before : running);
  }
}

}  // namespace

void prefix_sum_row(const request::Operation& operation, int64_t row) {
  const unsigned char* input = request::row_of(operation.input, row);
  unsigned char* output = request::row_of(operation.output, row);
  const int64_t size = operation.columns;
  const bool exclusive = operation.prefix_sum.exclusive;
  bool bad = false;
  if (operation.prefix_sum.number == request::Number::kU64) {
    const auto same = [](uint64_t x) { return x; };
    sum_prefixes(reinterpret_cast<const uint64_t*>(input), size, exclusive, reinterpret_cast<uint64_t*>(output), same,
                 same);
  } else {
    const auto* from = reinterpret_cast<const float*>(input);
    float largest = 0.0f;
    for (int64_t i = 0; i < size; ++i) largest = std::max(largest, draw::clean_probability(from[i], bad));
    const draw::ProbabilityRule rule = draw::make_probability_rule(largest);
    sum_prefixes(
        from, size, exclusive, reinterpret_cast<float*>(output),
        [&](float p) { return rule.weight(draw::clean_probability(p, bad)); },
        [&](uint64_t sum) { return rule.sum(sum); });
  }
  if (operation.row_status != nullptr) operation.row_status[row] = bad ? uint32_t{draw::kBadProbability} : 0u;
}

}  // namespace tokendraw::cpu
