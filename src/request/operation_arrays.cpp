// SPDX-License-Identifier: Apache-2.0
#include <cstring>

#include "request/operation.h"

namespace tokendraw::request {

OperationArrays list_arrays(Operation* operation) {
  OperationArrays list;
  const auto add = [&](void* field, bool is_output, int64_t rows, int64_t columns, int64_t stride, size_t bytes) {
    void* data = nullptr;
    std::memcpy(&data, field, sizeof data);
    if (data == nullptr) return;
    list.array[list.count++] = {field, data, is_output, rows, columns, stride, static_cast<int32_t>(bytes)};
  };
  const auto add_matrix = [&](Matrix& matrix, bool is_output) {
    add(&matrix.data, is_output, operation->rows, operation->columns, matrix.stride,
        static_cast<size_t>(matrix.element_bytes));
  };
  const auto add_values = [&](auto*& values, bool is_output) {
    add(&values, is_output, 1, operation->rows, operation->rows, sizeof *values);
  };
  add_matrix(operation->input, false);
  switch (operation->kind) {
    case OperationKind::kSoftmax:
      add_values(operation->softmax.temperature.per_row, false);
      break;
    case OperationKind::kPrefixSum:
      break;
    case OperationKind::kFillRandom:
      add_values(operation->random.seed.per_row, false);
      add_values(operation->random.subsequence.per_row, false);
      add_values(operation->random.offset.per_row, false);
      break;
    case OperationKind::kFilter: {
      Filter& f = operation->filter;
      add_values(f.temperature.per_row, false);
      add_values(f.top_k.per_row, false);
      add_values(f.top_p.per_row, false);
      add_values(f.min_p.per_row, false);
      add_values(f.seed.per_row, false);
      add_values(f.stream.per_row, false);
      add_values(f.offset.per_row, false);
      add_values(f.random_u64, false);
      add_values(f.tokens, true);
      add_values(f.kept, true);
      add_values(f.kept_mass, true);
      break;
    }
  }
  add_matrix(operation->output, true);
  add_values(operation->row_status, true);
  return list;
}

}  // namespace tokendraw::request
