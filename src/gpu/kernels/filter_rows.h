// SPDX-License-Identifier: Apache-2.0
// Filters as operations, one block a row: the search of request/filter_row.h with the block as its reader, then the
// token, then the results. The passes after the first come from the cache for rows that it holds.
#pragma once

#include "gpu/kernels/stored_row.h"
#include "gpu/operation_kernels.h"
#include "gpu/primitives/block.h"
#include "request/filter_row.h"

namespace tokendraw::gpu {

// kProbabilities: floats; else logits of the dtype.
template <request::Dtype kDtype, bool kProbabilities, int kWave>
struct FilterReader {
  using BlockOf = Block<kOperationThreads, kWave>;
  using Bits = typename Stored<kDtype>::Bits;

  StoredRow<kOperationThreads, Bits> row;
  request::FilterRule rule;

  TOKENDRAW_DEVICE static float clean(Bits bits, bool& bad) {
    const float x = LogitBits<kDtype>::to_float(bits);
    if constexpr (kProbabilities) return draw::clean_probability(x, bad);
    return draw::add_rn(draw::nan_to_minus_infinity(x, bad), 0.0f);
  }
  TOKENDRAW_DEVICE uint64_t weight(float x) const {
    if (rule.params.greedy) return 0;
    if constexpr (kProbabilities) return rule.probability.weight(x);
    if (rule.max == draw::infinity()) return x == rule.max ? draw::kWeightOne : 0;
    return draw::exp2_fixed_quick(draw::mul_rn(draw::sub_rn(x, rule.max), rule.params.scale));
  }
  TOKENDRAW_DEVICE float read_max(uint32_t* status) const {
    float largest = kProbabilities ? 0.0f : -draw::infinity();
    bool bad = false;
    row.visit([&](int64_t, Bits bits) { largest = platform::max_number(largest, clean(bits, bad)); });
    if (platform::block_any(bad)) *status |= kProbabilities ? draw::kBadProbability : draw::kNanLogit;
    return draw::add_rn(BlockOf::max(largest), 0.0f);
  }
  template <typename Visit>
  TOKENDRAW_DEVICE void visit(bool with_weights, const Visit& visit) const {
    bool bad = false;
    row.visit([&](int64_t id, Bits bits) {
      const float x = clean(bits, bad);
      visit(static_cast<int32_t>(id), x, with_weights ? weight(x) : 0);
    });
  }
  TOKENDRAW_DEVICE void sum(uint64_t* values, int count) const {
    for (int i = 0; i < count; i += 2) {
      const auto sums = BlockOf::sum_both(values[i], i + 1 < count ? values[i + 1] : 0);
      values[i] = sums.first;
      if (i + 1 < count) values[i + 1] = sums.second;
    }
  }

  // The smallest id at which the running sum of what is kept exceeds the target.
  TOKENDRAW_DEVICE int32_t draw_token(const request::FilterMap& map, uint64_t target) const {
    bool bad = false;
    for (int64_t first = 0; first < row.size; first += kOperationThreads) {
      const int64_t id = first + platform::thread_index();
      uint64_t own = 0;
      if (id < row.size) {
        const float x = clean(row.data[id], bad);
        own = map.kept_weight(static_cast<int32_t>(id), x, weight(x));
      }
      const auto sums = BlockOf::exclusive_sum(own);
      if (sums.second > target) {
        const bool mine = sums.first <= target && target - sums.first < own;
        return static_cast<int32_t>(BlockOf::broadcast(mine, static_cast<uint64_t>(id)).first);
      }
      target -= sums.second;
    }
    return -1;  // not reached: the target is below the sum
  }
};

template <request::Dtype kDtype, bool kProbabilities, int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    filter_rows(const TOKENDRAW_GRID_CONSTANT request::Operation operation) {
  using Reader = FilterReader<kDtype, kProbabilities, kWave>;
  using Bits = typename Reader::Bits;
  const int64_t row = platform::block_x();
  const request::Filter& f = operation.filter;
  Reader reader = {{reinterpret_cast<const Bits*>(request::row_of(operation.input, row)), operation.columns}, {}};
  request::FilterCut cut;
  uint32_t status = 0;
  bool empty = true;
  reader.rule.of_probabilities = kProbabilities;
  if (!request::read_filter_params(operation, row, &reader.rule)) {
    status = draw::kBadParameter;
  } else {
    request::set_filter_max(f, row, reader.read_max(&status), &reader.rule);
    empty = reader.rule.nothing;
    if (empty) status |= draw::kNoCandidate;
    if (!empty) cut = request::find_filter_cut(reader, reader.rule, static_cast<int32_t>(operation.columns));
  }
  const request::FilterMap map = request::make_filter_map(f, reader.rule, cut, empty);
  int32_t token = -1;
  if (f.tokens != nullptr && !empty) {
    token = reader.draw_token(map, draw::draw_target(request::filter_random(f, row), cut.mass));
  }
  if (platform::thread_index() == 0) request::write_filter_row(operation, row, status, cut, token);
  if (operation.output.data == nullptr) return;
  platform::block_barrier();  // in place no thread may write before all have read
  reader.row.map(reinterpret_cast<float*>(request::row_of(operation.output, row)), [&](int64_t id, Bits bits) {
    bool bad = false;
    const float x = Reader::clean(bits, bad);
    // Of an empty row the rule may not be known.
    return map.result(static_cast<int32_t>(id), x, empty ? 0 : reader.weight(x));
  });
}

}  // namespace tokendraw::gpu
