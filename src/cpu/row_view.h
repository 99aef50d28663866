// SPDX-License-Identifier: Apache-2.0
// A row of effective logits as the algorithms see it: passes over all of it and single chunks. A plain row is read
// where it lies; an edited one (mask, bias, lists, NaN, +inf) goes chunk by chunk through a small buffer.
#pragma once

#include <cstdint>

#include "cpu/row_edits.h"
#include "cpu/row_inputs.h"
#include "cpu/simd/chunk_kernels.h"
#include "cpu/workspace.h"

namespace tokendraw::cpu {

class RowView {
 public:
  RowView(const RowInputs& inputs, const ChunkKernels& kernels, const RowScratch& scratch);

  int32_t vocab() const { return inputs_.vocab; }
  int32_t chunks() const { return chunks_of(inputs_.vocab); }
  const ChunkKernels& kernels() const { return kernels_; }
  const DtypeKernels& f32() const { return kernels_.by_dtype[0]; }
  const float* chunk_max() const { return chunk_max_; }
  int32_t id(int32_t position) const { return position; }

  // The one read: finds the largest logit of each chunk and of the row. Must come first. In a row that holds +inf,
  // those logits count as 0 and all others as -inf from then on, which gives the weights of the contract.
  float read_max();

  // NAN_LOGIT and BAD_ID, after read_max.
  uint32_t status() const { return status_; }

  // The passes of DtypeKernels over the effective logits; chunks that cannot matter are not read.
  uint64_t mass_above(WeightRule rule, float above, uint64_t* chunk_mass) const;
  int32_t count_above(float above) const;
  int32_t gather(float low, float high, float* out_x, int32_t* out_id) const;

  // The effective logits of a chunk; returns how many there are.
  int32_t load_chunk(int32_t chunk, float* x) const;

  // Effective logits of up to `n` ids spread evenly over the row, those in [low, high] only; returns how many.
  int32_t sample(int32_t n, float low, float high, float* out) const;

 private:
  void read_chunk_max();
  int32_t chunk_size(int32_t chunk) const;
  const void* stored_chunk(int32_t chunk) const;
  bool edit_chunk(int32_t chunk, float* x) const;

  const RowInputs& inputs_;
  const ChunkKernels& kernels_;
  const DtypeKernels& stored_;
  RowEdits edits_;
  float* chunk_max_;
  bool plain_;
  bool infinite_ = false;
  uint32_t status_ = 0;
};

}  // namespace tokendraw::cpu
