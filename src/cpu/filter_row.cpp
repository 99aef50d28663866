// SPDX-License-Identifier: Apache-2.0
#include "request/filter_row.h"

#include <algorithm>

#include "cpu/operation_rows.h"

namespace tokendraw::cpu {
namespace {

class FilterReader {
 public:
  FilterReader(const request::Operation& operation, int64_t row, const ChunkKernels& kernels)
      : stored_(request::row_of(operation.input, row)),
        element_bytes_(operation.input.element_bytes),
        size_(static_cast<int32_t>(operation.columns)),
        dtype_(operation.filter.dtype),
        of_probabilities_(operation.filter.of_probabilities),
        kernels_(kernels) {}

  // Before the rule is known: the largest element. *status gets the bits of bad ones.
  float read_max(uint32_t* status) {
    float max = of_probabilities_ ? 0.0f : -draw::infinity();
    bool bad = false;
    alignas(64) float x[kChunk];
    for (int32_t first = 0; first < size_; first += kChunk) {
      const int32_t n = load(first, x, &bad);
      max = std::max(max, *std::max_element(x, x + n));
    }
    if (bad) *status |= of_probabilities_ ? draw::kBadProbability : draw::kNanLogit;
    return max + 0.0f;
  }
  void set_rule(const request::FilterRule& rule) { rule_ = rule; }

  template <typename Visit>
  void visit(bool with_weights, const Visit& visit) const {
    bool bad = false;
    alignas(64) float x[kChunk];
    alignas(64) uint64_t weights[kChunk] = {};
    for (int32_t first = 0; first < size_; first += kChunk) {
      const int32_t n = load(first, x, &bad);
      if (with_weights) weigh(x, n, weights);
      for (int32_t i = 0; i < n; ++i) visit(first + i, x[i], weights[i]);
    }
  }
  void sum(uint64_t*, int) const {}

 private:
  int32_t load(int32_t first, float* x, bool* bad) const {
    const int32_t n = std::min(kChunk, size_ - first);
    const unsigned char* from = stored_ + int64_t{first} * element_bytes_;
    if (of_probabilities_) {
      const auto* p = reinterpret_cast<const float*>(from);
      for (int32_t i = 0; i < n; ++i) x[i] = draw::clean_probability(p[i], *bad);
    } else {
      *bad |= kernels_.by_dtype[static_cast<int32_t>(dtype_)].load(from, n, x);
      for (int32_t i = 0; i < n; ++i) x[i] += 0.0f;
    }
    return n;
  }
  void weigh(const float* x, int32_t n, uint64_t* weights) const {
    if (!of_probabilities_ && rule_.max != draw::infinity() && !rule_.params.greedy) {
      return kernels_.weights(x, n, {rule_.max, rule_.params.scale}, weights);
    }
    for (int32_t i = 0; i < n; ++i) weights[i] = rule_.params.greedy ? 0 : rule_.weight(x[i]);
  }

  const unsigned char* stored_;
  int64_t element_bytes_;
  int32_t size_;
  request::Dtype dtype_;
  bool of_probabilities_;
  const ChunkKernels& kernels_;
  request::FilterRule rule_ = {};
};

}  // namespace

void filter_row(const request::Operation& operation, int64_t row, const ChunkKernels& kernels) {
  const request::Filter& f = operation.filter;
  FilterReader reader(operation, row, kernels);
  request::FilterRule rule = {};
  request::FilterCut cut;
  uint32_t status = 0;
  bool empty = true;
  rule.of_probabilities = f.of_probabilities;
  if (!request::read_filter_params(operation, row, &rule)) {
    status = draw::kBadParameter;
  } else {
    request::set_filter_max(f, row, reader.read_max(&status), &rule);
    reader.set_rule(rule);
    empty = rule.nothing;
    if (empty) status |= draw::kNoCandidate;
    if (!empty) cut = request::find_filter_cut(reader, rule, static_cast<int32_t>(operation.columns));
  }
  const request::FilterMap map = request::make_filter_map(f, rule, cut, empty);
  int32_t token = -1;
  if (f.tokens != nullptr && !empty) {
    const uint64_t target = draw::draw_target(request::filter_random(f, row), cut.mass);
    uint64_t running = 0;
    reader.visit(true, [&](int32_t id, float x, uint64_t weight) {
      const uint64_t before = running;
      running += map.kept_weight(id, x, weight);
      if (before <= target && running > target) token = id;
    });
  }
  if (operation.output.data != nullptr) {
    auto* to = reinterpret_cast<float*>(request::row_of(operation.output, row));
    reader.visit(!empty, [&](int32_t id, float x, uint64_t weight) { to[id] = map.result(id, x, weight); });
  }
  request::write_filter_row(operation, row, status, cut, token);
}

}  // namespace tokendraw::cpu
