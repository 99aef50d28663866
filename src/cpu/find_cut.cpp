// SPDX-License-Identifier: Apache-2.0
#include "cpu/find_cut.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "draw/rank_key.h"

namespace tokendraw::cpu {
namespace {

constexpr int32_t kSample = 256;     // logits from which a bracket is guessed
constexpr int32_t kMinSample = 16;   // fewer say nothing
constexpr int32_t kSortable = 128;   // a list this short is sorted
constexpr int32_t kRowAttempts = 3;  // guesses at a bracket by passes over the row before all of [low, high] is listed

float midpoint_by_rank(float low, float high) {
  const uint32_t a = draw::ordered_bits(low);
  const uint32_t b = draw::ordered_bits(high);
  return draw::from_ordered_bits(a + (b - a) / 2) + 0.0f;
}

struct Bracket {
  float low;
  float high;
  bool guessed;        // false: it is all of the interval
  double share_above;  // estimated share of the interval's logits that lie above the bracket
};

// Guesses where the share `q` of the measure of [low, high] is reached, from the top, by sorting a sample of its
// logits. The bracket holds the place with high probability; the caller checks.
Bracket guess_bracket(const ChunkKernels& kernels, WeightRule rule, Measure measure, float* sample, int32_t n, double q,
                      float low, float high) {
  const Bracket everything = {low, high, false, 0};
  if (n < kMinSample) return everything;
  std::sort(sample, sample + n, std::greater<float>());
  uint64_t weight[kSample];
  if (measure == Measure::kMass) {
    kernels.weights(sample, n, rule, weight);
  } else {
    std::fill_n(weight, n, uint64_t{1});
  }
  double sum = 0;
  double sum_of_squares = 0;
  for (int32_t i = 0; i < n; ++i) {
    const double w = static_cast<double>(weight[i]);
    sum += w;
    sum_of_squares += w * w;
  }
  if (!(sum > 0)) return everything;
  // Three standard errors of a weighted quantile, and one sample more.
  const double effective_size = sum * sum / sum_of_squares;
  const double margin = 3.0 * std::sqrt(q * (1.0 - q) / effective_size) + 1.0 / effective_size;
  Bracket bracket = everything;
  double running = 0;
  for (int32_t i = 0; i < n; ++i) {
    running += static_cast<double>(weight[i]);
    if (running < (q - margin) * sum) {
      bracket.high = sample[i];
      bracket.share_above = static_cast<double>(i) / n;
    }
    bracket.low = sample[i];
    if (running > (q + margin) * sum) break;
    if (i == n - 1) bracket.low = low;
  }
  bracket.guessed = bracket.low > low || bracket.high < high;
  return bracket;
}

uint64_t measure_list_above(const ChunkKernels& kernels, WeightRule rule, Measure measure, const LogitList& list,
                            float above) {
  const DtypeKernels& f32 = kernels.by_dtype[0];
  if (measure == Measure::kMass) return f32.mass_above(list.x, list.size, rule, above, nullptr, nullptr);
  return static_cast<uint64_t>(f32.count_above(list.x, list.size, above, nullptr));
}

void keep_interval(const ChunkKernels& kernels, LogitList* list, float low, float high) {
  list->size = kernels.by_dtype[0].gather(list->x, list->size, low, high, nullptr, list->id, 0, list->x, list->id);
}

// All logits of the list are equal: they stand in their order already.
uint64_t cut_among_equals(WeightRule rule, Measure measure, uint64_t goal, const LogitList& list) {
  const uint64_t each = measure == Measure::kMass ? draw::weight(list.x[0], rule.max, rule.scale) : 1;
  return draw::rank_key(list.x[0], static_cast<uint32_t>(list.id[(goal - 1) / each]));
}

uint64_t cut_by_sorting(const ChunkKernels& kernels, WeightRule rule, Measure measure, uint64_t goal,
                        const LogitList& list) {
  uint64_t keys[kSortable];
  float x[kSortable];
  uint64_t weight[kSortable];
  for (int32_t i = 0; i < list.size; ++i) keys[i] = draw::rank_key(list.x[i], static_cast<uint32_t>(list.id[i]));
  std::sort(keys, keys + list.size, std::greater<uint64_t>());
  for (int32_t i = 0; i < list.size; ++i) x[i] = draw::rank_key_logit(keys[i]);
  if (measure == Measure::kMass) kernels.weights(x, list.size, rule, weight);
  uint64_t running = 0;
  for (int32_t i = 0;; ++i) {
    running += measure == Measure::kMass ? weight[i] : 1;
    if (running >= goal) return keys[i];
  }
}

// The search in a list that holds all logits of [low, high] and the token; `goal` counts from the list's first.
uint64_t cut_in_list(const ChunkKernels& kernels, WeightRule rule, Measure measure, uint64_t goal, float low,
                     float high, LogitList list) {
  bool halve = false;  // the last guess did not shrink the list enough: halve the interval, which always ends
  while (list.size > kSortable && low < high) {
    const int32_t size_before = list.size;
    Bracket bracket = {low, high, false, 0};
    if (!halve) {
      const uint64_t total = measure_list_above(kernels, rule, measure, list, next_down(low));
      float sample[kSample];
      const int32_t step = std::max(1, list.size / kSample);
      const int32_t n = std::min(kSample, list.size / step);
      for (int32_t i = 0; i < n; ++i) sample[i] = list.x[i * step + step / 2];
      const double share = static_cast<double>(goal) / static_cast<double>(total);
      bracket = guess_bracket(kernels, rule, measure, sample, n, share, low, high);
    }
    if (!bracket.guessed) bracket.low = bracket.high = midpoint_by_rank(low, high);

    const uint64_t above = measure_list_above(kernels, rule, measure, list, bracket.high);
    const uint64_t with_bracket = measure_list_above(kernels, rule, measure, list, next_down(bracket.low));
    if (above >= goal) {
      low = next_up(bracket.high);
    } else if (with_bracket < goal) {
      goal -= with_bracket;
      high = next_down(bracket.low);
    } else {
      goal -= above;
      low = bracket.low;
      high = bracket.high;
    }
    keep_interval(kernels, &list, low, high);
    halve = list.size > size_before / 2;
  }
  if (!(low < high)) return cut_among_equals(rule, measure, goal, list);
  return cut_by_sorting(kernels, rule, measure, goal, list);
}

}  // namespace

float next_up(float x) {
  return x == draw::infinity() ? x : draw::from_ordered_bits(draw::ordered_bits(x + 0.0f) + 1) + 0.0f;
}

float next_down(float x) {
  if (x == -draw::infinity()) return x;
  // Below +0 comes -0, which is no effective logit, so go on to the first below both.
  return draw::from_ordered_bits(draw::ordered_bits(x + 0.0f) - (x == 0.0f ? 2 : 1));
}

float sure_threshold(const DtypeKernels& f32, const float* values, int32_t n, int32_t k) {
  // Invariant: at least k values are >= from_ordered_bits(low).
  uint32_t low = draw::ordered_bits(-draw::infinity());
  uint32_t high = draw::ordered_bits(draw::infinity());
  while (high - low > 1) {
    const uint32_t middle = low + (high - low) / 2;
    const int32_t count = f32.count_above(values, n, draw::from_ordered_bits(middle), nullptr);
    if (count < k) {
      high = middle;
      continue;
    }
    low = middle;  // more than it is at least k, too
    if (count <= k + k / 8) break;
  }
  return draw::from_ordered_bits(low) + 0.0f;
}

uint64_t find_cut(const RowView& row, WeightRule rule, CutSearch search, LogitList list, uint64_t* chunk_mass) {
  const ChunkKernels& kernels = row.kernels();
  for (int32_t attempt = 0; search.low < search.high; ++attempt) {
    Bracket bracket = {search.low, search.high, false, 0};
    if (attempt < kRowAttempts) {
      float sample[kSample];
      const int32_t n = row.sample(kSample, search.low, search.high, sample);
      const double share =
          static_cast<double>(search.goal - search.above) / static_cast<double>(search.total - search.above);
      bracket = guess_bracket(kernels, rule, search.measure, sample, n, share, search.low, search.high);
      // A pass that sums what lies above the bracket costs more than listing it where that is little.
      if (search.measure == Measure::kMass && bracket.share_above * n < kSample / 8.0) bracket.high = search.high;
    }
    uint64_t above = search.above;
    if (bracket.high < search.high) {
      above = search.measure == Measure::kMass ? row.mass_above(rule, bracket.high, chunk_mass)
                                               : static_cast<uint64_t>(row.count_above(bracket.high));
    }
    if (above >= search.goal) {
      search.low = next_up(bracket.high);
      search.total = above;
      continue;
    }
    list.size = row.gather(bracket.low, bracket.high, list.x, list.id);
    const uint64_t within = measure_list_above(kernels, rule, search.measure, list, -draw::infinity());
    const uint64_t listed = search.measure == Measure::kMass ? within : static_cast<uint64_t>(list.size);
    if (above + listed < search.goal) {
      search.high = next_down(bracket.low);
      search.above = above + listed;
      continue;
    }
    return cut_in_list(kernels, rule, search.measure, search.goal - above, bracket.low, bracket.high, list);
  }
  list.size = row.gather(search.low, search.high, list.x, list.id);
  return cut_among_equals(rule, search.measure, search.goal - search.above, list);
}

}  // namespace tokendraw::cpu
