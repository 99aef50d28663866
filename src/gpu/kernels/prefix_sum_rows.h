// SPDX-License-Identifier: Apache-2.0
// Prefix sums, one block a row, tile by tile in the order of the row: each thread sums a few neighbours, the block sums
// the threads'. All sums are of integers.
#pragma once

#include "draw/probability.h"
#include "gpu/kernels/stored_row.h"
#include "gpu/operation_kernels.h"
#include "gpu/primitives/block.h"

namespace tokendraw::gpu {

// to[i] = as_result(the sum of weigh(row[j]) for all j < i, or j <= i). `to` may be the row's own memory.
template <int kWave, typename T, typename Weigh, typename AsResult>
TOKENDRAW_DEVICE void sum_prefixes(const StoredRow<kOperationThreads, T>& row, bool exclusive, T* to,
                                   const Weigh& weigh, const AsResult& as_result) {
  using Row = StoredRow<kOperationThreads, T>;
  using Elements = typename Row::Elements;
  constexpr int kWidth = Row::kWidth;
  const bool aligned = row.aligned() && reinterpret_cast<uintptr_t>(to) % 16 == 0;
  uint64_t before_tile = 0;
  for (int64_t tile = 0; tile < row.size; tile += kOperationThreads * kWidth) {
    const int64_t first = tile + int64_t{platform::thread_index()} * kWidth;
    const bool whole = aligned && first + kWidth <= row.size;
    Elements elements = {};
    if (whole) elements = *reinterpret_cast<const Elements*>(row.data + first);
    uint64_t up_to[kWidth];
    uint64_t own = 0;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      if (!whole && first + j < row.size) elements.element[j] = row.data[first + j];
      const uint64_t weight = weigh(elements.element[j]);
      up_to[j] = exclusive ? own : own + weight;
      own += weight;
    }
    const auto sums = Block<kOperationThreads, kWave>::exclusive_sum(own);
    const uint64_t before = before_tile + sums.first;
    before_tile += sums.second;
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      elements.element[j] = as_result(before + up_to[j]);
      if (!whole && first + j < row.size) to[first + j] = elements.element[j];
    }
    if (whole) *reinterpret_cast<Elements*>(to + first) = elements;
  }
}

template <int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    sum_rows_of_u64(const TOKENDRAW_GRID_CONSTANT request::Operation operation) {
  const int64_t row = platform::block_x();
  const auto same = [](uint64_t x) { return x; };
  sum_prefixes<kWave, uint64_t>(
      {reinterpret_cast<const uint64_t*>(request::row_of(operation.input, row)), operation.columns},
      operation.prefix_sum.exclusive, reinterpret_cast<uint64_t*>(request::row_of(operation.output, row)), same, same);
  if (operation.row_status != nullptr && platform::thread_index() == 0) operation.row_status[row] = 0;
}

template <int kWave>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    sum_rows_of_probabilities(const TOKENDRAW_GRID_CONSTANT request::Operation operation) {
  using BlockOf = Block<kOperationThreads, kWave>;
  const int64_t row = platform::block_x();
  const StoredRow<kOperationThreads, float> in = {reinterpret_cast<const float*>(request::row_of(operation.input, row)),
                                                  operation.columns};
  float largest = 0.0f;
  bool bad = false;
  in.visit([&](int64_t, float p) { largest = platform::max_number(largest, draw::clean_probability(p, bad)); });
  bad = platform::block_any(bad);
  const draw::ProbabilityRule rule = draw::make_probability_rule(BlockOf::max(largest));
  if (operation.row_status != nullptr && platform::thread_index() == 0) {
    operation.row_status[row] = bad ? uint32_t{draw::kBadProbability} : 0u;
  }
  // In place no thread may write before all have read; BlockOf::max was the barrier.
  sum_prefixes<kWave, float>(
      in, operation.prefix_sum.exclusive, reinterpret_cast<float*>(request::row_of(operation.output, row)),
      [&](float p) { return rule.weight(draw::clean_probability(p, bad)); },
      [&](uint64_t sum) { return rule.sum(sum); });
}

}  // namespace tokendraw::gpu
