// SPDX-License-Identifier: Apache-2.0
// Rows of random numbers: grid (rows, parts of a row). Philox: a thread makes four elements at a time. XORWOW, whose
// words hang on each other: a thread skips to a stretch of the row and goes along it.
#pragma once

#include "gpu/kernels/stored_row.h"
#include "gpu/operation_kernels.h"
#include "request/random_row.h"

namespace tokendraw::gpu {

// The words of one block of Philox, each as the first of those that are left: an array that a variable indexes lies in
// memory.
struct BlockWords {
  draw::PhiloxBlock left;
  TOKENDRAW_DEVICE uint32_t next() {
    const uint32_t first = left.word[0];
#pragma unroll
    for (int i = 0; i < 3; ++i) left.word[i] = left.word[i + 1];
    return first;
  }
};

template <typename T>
TOKENDRAW_DEVICE void fill_philox(const request::Operation& operation, int64_t row) {
  constexpr int kAtOnce = 4;
  const request::RandomFill& o = operation.random;
  auto* to = reinterpret_cast<T*>(request::row_of(operation.output, row));
  const bool aligned = reinterpret_cast<uintptr_t>(to) % 16 == 0;
  const uint64_t seed = o.seed.at(row);
  const uint64_t subsequence = o.subsequence_is_row ? static_cast<uint64_t>(row) : o.subsequence.at(row);
  const uint64_t offset = o.offset.at(row);
  const int64_t step = int64_t{platform::grid_y()} * kOperationThreads * kAtOnce;
  int64_t first = (int64_t{platform::block_y()} * kOperationThreads + platform::thread_index()) * kAtOnce;
  for (; first < operation.columns; first += step) {
    draw::PhiloxWords words(seed, subsequence, offset,
                            static_cast<uint64_t>(first) * request::words_of_element(o.kind));
    Packet<T, kAtOnce> elements;
    if (sizeof(T) == 4 && words.begins_block()) {
      BlockWords of_block = {words.block()};
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) elements.element[i] = static_cast<T>(request::next_element(o.kind, of_block));
    } else {
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) elements.element[i] = static_cast<T>(request::next_element(o.kind, words));
    }
    if (aligned && first + kAtOnce <= operation.columns) {
      *reinterpret_cast<Packet<T, kAtOnce>*>(to + first) = elements;
      continue;
    }
    for (int i = 0; i < kAtOnce && first + i < operation.columns; ++i) to[first + i] = elements.element[i];
  }
}

template <typename T>
TOKENDRAW_DEVICE void fill_xorwow(const request::Operation& operation, int64_t row) {
  const request::RandomFill& o = operation.random;
  auto* to = reinterpret_cast<T*>(request::row_of(operation.output, row));
  const int64_t threads = int64_t{platform::grid_y()} * kOperationThreads;
  const int64_t each = (operation.columns + threads - 1) / threads;
  const int64_t stretch = each > kXorwowStretch ? each : kXorwowStretch;
  const int64_t first = (int64_t{platform::block_y()} * kOperationThreads + platform::thread_index()) * stretch;
  if (first >= operation.columns) return;
  const int64_t end = first + stretch < operation.columns ? first + stretch : operation.columns;
  draw::Xorwow words = request::xorwow_words(o, row, first);
  int64_t i = first;
  constexpr int kAtOnce = 16 / static_cast<int>(sizeof(T));
  if (reinterpret_cast<uintptr_t>(to + first) % 16 == 0) {
    for (; i + kAtOnce <= end; i += kAtOnce) {
      Packet<T, kAtOnce> elements;
#pragma unroll
      for (int j = 0; j < kAtOnce; ++j) elements.element[j] = static_cast<T>(request::next_element(o.kind, words));
      *reinterpret_cast<Packet<T, kAtOnce>*>(to + i) = elements;
    }
  }
  for (; i < end; ++i) to[i] = static_cast<T>(request::next_element(o.kind, words));
}

template <typename T, bool kXorwow>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kOperationThreads, 2)
    fill_random_rows(const TOKENDRAW_GRID_CONSTANT request::Operation operation) {
  if constexpr (kXorwow) {
    fill_xorwow<T>(operation, platform::block_x());
  } else {
    fill_philox<T>(operation, platform::block_x());
  }
}

}  // namespace tokendraw::gpu
