// SPDX-License-Identifier: Apache-2.0
#include "backend/operation_transfer.h"

#include <cstring>

namespace tokendraw::backend {
namespace {

constexpr size_t kAlignment = 256;    // of arrays in the block: as large as any device's memory transaction
constexpr int64_t kRowAlignment = 8;  // elements, of rows brought together

// Whether the rows lie side by side, to be copied as one piece.
bool is_dense(const request::OperationArray& array) { return array.rows <= 1 || array.stride == array.columns; }

// Where the rows stand in the block, in elements from one to the next.
int64_t placed_stride(const request::OperationArray& array) {
  if (is_dense(array)) return array.columns;
  return (array.columns + kRowAlignment - 1) / kRowAlignment * kRowAlignment;
}

}  // namespace

OperationPlacement lay_out(const request::Operation& operation, request::Memory memory, void* block) {
  static_assert(request::OperationArrays::kMost <= Placement::kMostArrays);
  OperationPlacement placed = {operation, {}};
  placed.operation.memory = memory;
  Placement& p = placed.arrays;
  p.memory = memory;
  const void* input = operation.input.data;
  const bool in_place = input != nullptr && operation.output.data == input;
  void* placed_input = nullptr;
  for (const request::OperationArray& array : request::list_arrays(&placed.operation)) {
    const int64_t stride = placed_stride(array);
    const auto element_bytes = static_cast<size_t>(array.element_bytes);
    const auto row_bytes = static_cast<size_t>(array.columns) * element_bytes;
    const bool together = is_dense(array);
    Array entry = {};
    entry.source = array.is_output ? nullptr : array.data;
    entry.target = array.is_output ? array.data : nullptr;
    entry.pieces = together ? 1 : array.rows;
    entry.piece_bytes = together ? static_cast<size_t>(array.rows) * row_bytes : row_bytes;
    entry.pitch = static_cast<size_t>(array.stride) * element_bytes;
    entry.placed_pitch = static_cast<size_t>(stride) * element_bytes;
    if (in_place && array.is_output && array.data == input) {
      entry.placed = placed_input;
    } else {
      entry.placed = block != nullptr ? static_cast<unsigned char*>(block) + p.bytes : nullptr;
      const size_t whole = static_cast<size_t>(array.rows) * static_cast<size_t>(stride) * element_bytes;
      p.bytes = (p.bytes + whole + kAlignment - 1) / kAlignment * kAlignment;
    }
    if (array.data == input && !array.is_output) placed_input = entry.placed;
    std::memcpy(array.field, &entry.placed, sizeof entry.placed);
    p.arrays[p.count++] = entry;
  }
  const auto set_stride = [&](request::Matrix* matrix) {
    const request::OperationArray array = {nullptr,           nullptr,        false, operation.rows,
                                           operation.columns, matrix->stride, 0};
    matrix->stride = placed_stride(array);
  };
  set_stride(&placed.operation.input);
  set_stride(&placed.operation.output);
  return placed;
}

}  // namespace tokendraw::backend
