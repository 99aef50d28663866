// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "cpu/operation_rows.h"
#include "draw/softmax.h"
#include "request/store_value.h"

namespace tokendraw::cpu {
namespace {

// A row of stored logits, read by chunks.
class LogitRow {
 public:
  LogitRow(const request::Operation& operation, int64_t row, request::Dtype dtype, const ChunkKernels& kernels)
      : stored_(request::row_of(operation.input, row)),
        element_bytes_(operation.input.element_bytes),
        size_(static_cast<int32_t>(operation.columns)),
        load_(kernels.by_dtype[static_cast<int32_t>(dtype)].load) {}

  // Calls visit(id of the first, logits, how many) for every chunk. NaN is read as -inf; whether there was one is the
  // result.
  template <typename Visit>
  bool visit_chunks(const Visit& visit) const {
    bool nan = false;
    alignas(64) float x[kChunk];
    for (int32_t first = 0; first < size_; first += kChunk) {
      const int32_t n = std::min(kChunk, size_ - first);
      nan |= load_(stored_ + int64_t{first} * element_bytes_, n, x);
      visit(first, x, n);
    }
    return nan;
  }

 private:
  const unsigned char* stored_;
  int64_t element_bytes_;
  int32_t size_;
  bool (*load_)(const void*, int32_t, float*);
};

// The weights of a chunk's logits. Of a row whose largest is +inf only those weigh something.
void weigh(const ChunkKernels& kernels, const draw::SoftmaxRow& s, const float* x, int32_t n, uint64_t* weights) {
  if (s.max != draw::infinity()) return kernels.weights(x, n, {s.max, s.scale}, weights);
  for (int32_t i = 0; i < n; ++i) weights[i] = draw::weight(x[i], s.max, s.scale);
}

}  // namespace

void softmax_row(const request::Operation& operation, int64_t row, const ChunkKernels& kernels) {
  const request::Softmax& o = operation.softmax;
  const LogitRow logits(operation, row, o.dtype, kernels);
  unsigned char* const output = request::row_of(operation.output, row);
  draw::SoftmaxRow s;
  uint32_t status = 0;
  if (!draw::make_softmax_row(o.temperature.at(row), &s)) {
    status = draw::kBadParameter;
  } else {
    float max = -draw::infinity();
    int32_t best = 0;
    const bool nan = logits.visit_chunks([&](int32_t first, const float* x, int32_t n) {
      const float* largest = std::max_element(x, x + n);
      if (*largest > max) best = first + static_cast<int32_t>(largest - x);
      max = std::max(max, *largest);
    });
    if (nan) status |= draw::kNanLogit;
    if (max == -draw::infinity()) status |= draw::kNoCandidate;
    s.empty = max == -draw::infinity();
    s.max = max;
    s.best = best;
  }
  alignas(64) uint64_t weights[kChunk];
  if (!s.empty && !s.greedy) {
    uint64_t total = 0;
    logits.visit_chunks([&](int32_t, const float* x, int32_t n) {
      weigh(kernels, s, x, n, weights);
      for (int32_t i = 0; i < n; ++i) total += weights[i];
    });
    s.set_total(total);
  }
  const double nothing = o.log ? -static_cast<double>(draw::infinity()) : 0.0;
  logits.visit_chunks([&](int32_t first, const float* x, int32_t n) {
    if (!s.empty && !s.greedy && !o.log) weigh(kernels, s, x, n, weights);
    for (int32_t i = 0; i < n; ++i) {
      double value = nothing;
      if (!s.empty && s.greedy) {
        if (first + i == s.best) value = o.log ? 0.0 : 1.0;
      } else if (!s.empty) {
        value = o.log ? s.log_probability(x[i]) : s.probability(weights[i]);
      }
      request::store_value(output, first + i, o.output_dtype, value);
    }
  });
  if (operation.row_status != nullptr) operation.row_status[row] = status;
}

}  // namespace tokendraw::cpu
