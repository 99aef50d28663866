// SPDX-License-Identifier: Apache-2.0
// A list of logits in id order, seen like a row: with the same passes as RowView, positions in place of ids.
#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/simd/chunk_kernels.h"

namespace tokendraw::cpu {

// Logits and their ids. `capacity` elements may be held, kListPadding more may be written.
struct LogitList {
  float* x;
  int32_t* id;
  int32_t size;
  int32_t capacity;

  // The memory behind the list.
  LogitList rest() const { return {x + size, id + size, 0, capacity - size}; }
};

class ListView {
 public:
  ListView(const ChunkKernels& kernels, const LogitList& list) : kernels_(kernels), list_(list) {}

  int32_t size() const { return list_.size; }
  int32_t id(int32_t position) const { return list_.id[position]; }
  const ChunkKernels& kernels() const { return kernels_; }

  uint64_t mass_above(WeightRule rule, float above, uint64_t* chunk_mass) const {
    return f32().mass_above(list_.x, list_.size, rule, above, nullptr, chunk_mass);
  }
  int32_t count_above(float above) const { return f32().count_above(list_.x, list_.size, above, nullptr); }

  // out_position: where the logits in [low, high] stand.
  int32_t gather(float low, float high, float* out_x, int32_t* out_position) const {
    return f32().gather(list_.x, list_.size, low, high, nullptr, nullptr, 0, out_x, out_position);
  }
  int32_t load_chunk(int32_t chunk, float* x) const {
    const int32_t n = std::min(kChunk, list_.size - chunk * kChunk);
    std::copy_n(list_.x + chunk * kChunk, n, x);
    return n;
  }

 private:
  const DtypeKernels& f32() const { return kernels_.by_dtype[0]; }

  const ChunkKernels& kernels_;
  LogitList list_;
};

}  // namespace tokendraw::cpu
