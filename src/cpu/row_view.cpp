// SPDX-License-Identifier: Apache-2.0
#include "cpu/row_view.h"

#include <algorithm>

#include "draw/effective_logit.h"

namespace tokendraw::cpu {

RowView::RowView(const RowInputs& inputs, const ChunkKernels& kernels, const RowScratch& scratch)
    : inputs_(inputs),
      kernels_(kernels),
      stored_(kernels.by_dtype[static_cast<int>(inputs.dtype)]),
      edits_(inputs, scratch.edits),
      chunk_max_(scratch.chunk_max),
      plain_(!inputs.edited()) {
  if (edits_.bad_id()) status_ |= draw::kBadId;
}

int32_t RowView::chunk_size(int32_t chunk) const { return std::min(kChunk, vocab() - chunk * kChunk); }

const void* RowView::stored_chunk(int32_t chunk) const {
  return static_cast<const unsigned char*>(inputs_.logits) +
         static_cast<int64_t>(chunk) * kChunk * request::dtype_bytes(inputs_.dtype);
}

// Section 1 of the contract for one chunk. Returns whether a NaN was met.
bool RowView::edit_chunk(int32_t chunk, float* x) const {
  const int32_t n = chunk_size(chunk);
  const int32_t first = chunk * kChunk;
  bool nan = stored_.load(stored_chunk(chunk), n, x);
  if (inputs_.mask != nullptr) kernels_.apply_mask(x, n, inputs_.mask + first / 32);
  if (inputs_.bias != nullptr) kernels_.apply_bias(x, n, inputs_.bias + first);
  if (edits_.any()) edits_.apply(x, first, n);
  nan |= kernels_.finish(x, n);
  if (infinite_) {
    for (int32_t i = 0; i < n; ++i) x[i] = x[i] == draw::infinity() ? 0.0f : -draw::infinity();
  }
  return nan;
}

int32_t RowView::load_chunk(int32_t chunk, float* x) const {
  const int32_t n = chunk_size(chunk);
  if (plain_) {
    stored_.load(stored_chunk(chunk), n, x);
    kernels_.finish(x, n);
  } else {
    edit_chunk(chunk, x);
  }
  return n;
}

void RowView::read_chunk_max() {
  if (plain_) {
    if (stored_.max(inputs_.logits, vocab(), chunk_max_)) return;
    plain_ = false;  // there is a NaN
  }
  alignas(64) float x[kChunk];
  for (int32_t chunk = 0; chunk < chunks(); ++chunk) {
    if (edit_chunk(chunk, x)) status_ |= draw::kNanLogit;
    f32().max(x, chunk_size(chunk), chunk_max_ + chunk);
  }
}

float RowView::read_max() {
  read_chunk_max();
  float of_chunks[chunks_of(chunks_of(request::kMaxVocab))];
  f32().max(chunk_max_, chunks(), of_chunks);
  const float max = *std::max_element(of_chunks, of_chunks + chunks_of(chunks()));
  if (max != draw::infinity()) return max + 0.0f;
  infinite_ = true;
  plain_ = false;
  read_chunk_max();
  return 0.0f;
}

uint64_t RowView::mass_above(WeightRule rule, float above, uint64_t* chunk_mass) const {
  if (plain_) return stored_.mass_above(inputs_.logits, vocab(), rule, above, chunk_max_, chunk_mass);
  alignas(64) float x[kChunk];
  uint64_t total = 0;
  for (int32_t chunk = 0; chunk < chunks(); ++chunk) {
    chunk_mass[chunk] = 0;
    if (!(chunk_max_[chunk] > above)) continue;
    edit_chunk(chunk, x);
    total += f32().mass_above(x, chunk_size(chunk), rule, above, chunk_max_ + chunk, chunk_mass + chunk);
  }
  return total;
}

int32_t RowView::count_above(float above) const {
  if (plain_) return stored_.count_above(inputs_.logits, vocab(), above, chunk_max_);
  alignas(64) float x[kChunk];
  int32_t count = 0;
  for (int32_t chunk = 0; chunk < chunks(); ++chunk) {
    if (!(chunk_max_[chunk] > above)) continue;
    edit_chunk(chunk, x);
    count += f32().count_above(x, chunk_size(chunk), above, nullptr);
  }
  return count;
}

int32_t RowView::gather(float low, float high, float* out_x, int32_t* out_id) const {
  if (plain_) {
    return stored_.gather(inputs_.logits, vocab(), low, high, chunk_max_, nullptr, 0, out_x, out_id);
  }
  alignas(64) float x[kChunk];
  int32_t found = 0;
  for (int32_t chunk = 0; chunk < chunks(); ++chunk) {
    if (!(chunk_max_[chunk] >= low)) continue;
    edit_chunk(chunk, x);
    found +=
        f32().gather(x, chunk_size(chunk), low, high, nullptr, nullptr, chunk * kChunk, out_x + found, out_id + found);
  }
  return found;
}

int32_t RowView::sample(int32_t n, float low, float high, float* out) const {
  const int32_t step = std::max(1, vocab() / n);
  int32_t taken = 0;
  bool nan = false;
  if (plain_) {
    for (int32_t id = step / 2; id < vocab() && taken < n; id += step) {
      const float x = draw::finish_effective(stored_logit(inputs_, id), nan);
      if (x >= low && x <= high) out[taken++] = x;
    }
    return taken;
  }
  // Edited rows: whole chunks cost no more than single ids, so take some ids of evenly spread chunks.
  alignas(64) float chunk_x[kChunk];
  const int32_t chunk_step = std::max(1, chunks() / 16);
  const int32_t per_chunk = std::max(1, n / std::min(chunks(), 16));
  for (int32_t chunk = chunk_step / 2; chunk < chunks() && taken < n; chunk += chunk_step) {
    const int32_t size = load_chunk(chunk, chunk_x);
    const int32_t id_step = std::max(1, size / per_chunk);
    for (int32_t i = id_step / 2; i < size && taken < n; i += id_step) {
      if (chunk_x[i] >= low && chunk_x[i] <= high) out[taken++] = chunk_x[i];
    }
  }
  return taken;
}

}  // namespace tokendraw::cpu
