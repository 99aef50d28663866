// SPDX-License-Identifier: Apache-2.0
#include "backend/transfer.h"

namespace tokendraw::backend {
namespace {

using request::Memory;
using request::Request;

constexpr size_t kAlignment = 256;    // of arrays in the block: as large as any device's memory transaction
constexpr int64_t kRowAlignment = 8;  // elements, of rows brought together

// Takes the arrays one by one: gives each its place in the block and points the request there.
class Placer {
 public:
  Placer(Placement* placement, void* block) : placement_(placement), block_(static_cast<unsigned char*>(block)) {}

  template <typename T>
  void input(const T*& array, int64_t count) {
    if (array == nullptr) return;
    array = static_cast<const T*>(take(array, nullptr, {.piece_bytes = size_of(count, sizeof(T))}));
  }

  template <typename T>
  void output(T*& array, int64_t count) {
    if (array == nullptr) return;
    array = static_cast<T*>(take(nullptr, array, {.piece_bytes = size_of(count, sizeof(T))}));
  }

  // `rows` rows of `length` elements, `stride` apart; a stride of 0 is one row for all.
  template <typename T>
  void rows(const T*& array, size_t element_bytes, int64_t rows, int64_t length, int64_t* stride) {
    if (array == nullptr) return;
    Extent extent = {.piece_bytes = size_of(length, element_bytes)};
    const bool apart = rows > 1 && *stride > 2 * length;
    if (apart) {
      const int64_t placed_stride = (length + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
      extent.pieces = rows;
      extent.pitch = size_of(*stride, element_bytes);
      extent.placed_pitch = size_of(placed_stride, element_bytes);
      *stride = placed_stride;
    } else if (rows > 1 && *stride > 0) {
      extent.piece_bytes += static_cast<size_t>(rows - 1) * size_of(*stride, element_bytes);
    }
    array = static_cast<const T*>(take(array, nullptr, extent));
  }

 private:
  // As in Array.
  struct Extent {
    int64_t pieces = 1;
    size_t piece_bytes = 0;
    size_t pitch = 0;
    size_t placed_pitch = 0;
  };

  static size_t size_of(int64_t count, size_t element_bytes) { return static_cast<size_t>(count) * element_bytes; }

  void* take(const void* source, void* target, const Extent& extent);

  Placement* placement_;
  unsigned char* block_;
};

void* Placer::take(const void* source, void* target, const Extent& extent) {
  Placement& p = *placement_;
  const size_t offset = p.bytes;
  const size_t whole = static_cast<size_t>(extent.pieces - 1) * extent.placed_pitch + extent.piece_bytes;
  p.bytes = (offset + whole + kAlignment - 1) / kAlignment * kAlignment;
  void* placed = block_ != nullptr ? block_ + offset : nullptr;
  p.arrays[p.count++] = {source, target, placed, extent.pieces, extent.piece_bytes, extent.pitch, extent.placed_pitch};
  return placed;
}

void take_logits(Request& r, Placer* placer) {
  placer->rows(r.logits, static_cast<size_t>(request::dtype_bytes(r.dtype)), r.logits_rows, r.vocab, &r.row_stride);
}

// Everything but the logits, inputs and outputs.
void take_params(Request& r, Placer* placer) {
  placer->input(r.row_index, r.rows);
  placer->input(r.temperature.per_row, r.rows);
  placer->input(r.top_k.per_row, r.rows);
  placer->input(r.top_p.per_row, r.rows);
  placer->input(r.min_p.per_row, r.rows);
  placer->input(r.seed.per_row, r.rows);
  placer->input(r.stream.per_row, r.rows);
  placer->input(r.offset.per_row, r.rows);
  placer->input(r.random_u64, r.rows);
  placer->input(r.random_f32, r.rows);
  placer->rows(r.mask, sizeof *r.mask, r.rows, (int64_t{r.vocab} + 31) / 32, &r.mask_row_stride);
  placer->rows(r.bias, sizeof *r.bias, r.rows, r.vocab, &r.bias_row_stride);
  if (r.bias_list.offsets != nullptr) {
    placer->input(r.bias_list.offsets, r.rows + 1);
    placer->input(r.bias_list.ids, r.bias_list.entries);
    placer->input(r.bias_values, r.bias_list.entries);
  }
  if (r.history.offsets != nullptr) {
    placer->input(r.history.offsets, r.rows + 1);
    placer->input(r.history.ids, r.history.entries);
    placer->input(r.history_counts, r.history.entries);
  }
  placer->input(r.repetition_penalty.per_row, r.rows);
  placer->input(r.frequency_penalty.per_row, r.rows);
  placer->input(r.presence_penalty.per_row, r.rows);

  placer->output(r.tokens, r.rows);
  placer->output(r.row_status, r.rows);
  placer->output(r.kept, r.rows);
  placer->output(r.kept_mass, r.rows);
  placer->output(r.logprob, r.rows);
  placer->output(r.rounds, r.rows);
}

Failure copy_array(const OpenDevice& device, const Array& array, CopyKind kind, void* stream) {
  const bool input = array.source != nullptr;
  const auto* from = static_cast<const unsigned char*>(input ? array.source : array.placed);
  auto* to = static_cast<unsigned char*>(input ? array.placed : array.target);
  const size_t from_pitch = input ? array.pitch : array.placed_pitch;
  const size_t to_pitch = input ? array.placed_pitch : array.pitch;
  Failure failure;
  for (int64_t i = 0; i < array.pieces && array.piece_bytes > 0 && !failure; ++i) {
    const auto piece = static_cast<size_t>(i);
    failure = device.copy(to + piece * to_pitch, from + piece * from_pitch, array.piece_bytes, kind, stream);
  }
  return failure;
}

Failure copy_arrays(const OpenDevice& device, const Placement& placement, bool inputs, void* stream) {
  const bool block_on_device = placement.memory == Memory::kDevice;
  const CopyKind kind = inputs == block_on_device ? CopyKind::kToDevice : CopyKind::kToHost;
  Failure failure;
  for (int32_t i = 0; i < placement.count && !failure; ++i) {
    const Array& array = placement.arrays[i];
    if ((array.source != nullptr) == inputs) failure = copy_array(device, array, kind, stream);
  }
  return failure;
}

}  // namespace

Placement lay_out(const Request& request, Parts parts, Memory memory, void* block) {
  Placement placement = {};
  placement.request = request;
  placement.memory = memory;
  Placer placer(&placement, block);
  if (parts != Parts::kParams) {
    take_logits(placement.request, &placer);
    placement.request.logits_memory = memory;
  }
  if (parts != Parts::kLogits) {
    take_params(placement.request, &placer);
    placement.request.params_memory = memory;
  }
  return placement;
}

Failure copy_inputs(const OpenDevice& device, const Placement& placement, void* stream) {
  return copy_arrays(device, placement, true, stream);
}

Failure copy_outputs(const OpenDevice& device, const Placement& placement, void* stream) {
  return copy_arrays(device, placement, false, stream);
}

}  // namespace tokendraw::backend
