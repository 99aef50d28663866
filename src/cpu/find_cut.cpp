// SPDX-License-Identifier: Apache-2.0
#include "cpu/find_cut.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "draw/rank_key.h"

namespace tokendraw::cpu {
namespace {

constexpr int32_t kRowSample = 256;  // logits of a row from which a bracket is guessed
constexpr int32_t kListSample = 64;  // the same for a list, where a wrong guess costs little
constexpr int32_t kMinSample = 16;   // fewer say nothing
constexpr int32_t kSortable = 64;    // a list this short is sorted
constexpr int32_t kRowAttempts = 3;  // guesses at a bracket by passes over the row before all of [low, high] is listed
constexpr double kRowErrors = 3.0;   // standard errors that a bracket reaches to each side
constexpr double kListErrors = 1.5;

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
                      double errors, float low, float high) {
  const Bracket everything = {low, high, false, 0};
  if (n < kMinSample) return everything;
  std::sort(sample, sample + n, std::greater<float>());
  uint64_t weight[kRowSample];
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
  // Standard errors of a weighted quantile, and one sample more.
  const double effective_size = sum * sum / sum_of_squares;
  const double margin = errors * std::sqrt(q * (1.0 - q) / effective_size) + 1.0 / effective_size;
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

// Moves the logits in [low, high] to `to`, which may be the list itself.
LogitList keep_interval(const ChunkKernels& kernels, const LogitList& list, float low, float high, LogitList to) {
  to.size = kernels.by_dtype[0].gather(list.x, list.size, low, high, nullptr, list.id, 0, to.x, to.id);
  return to;
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

// The search in a list that holds all logits of [low, high] and the token; `goal` counts from the list's first. The
// list stays as it is where the memory behind it suffices to go on; *intact says whether.
uint64_t cut_in_list(const ChunkKernels& kernels, WeightRule rule, Measure measure, uint64_t goal, float low,
                     float high, LogitList list, bool* intact) {
  LogitList target = list.rest();
  *intact = target.capacity >= list.size;
  if (!*intact) target = list;
  bool halve = false;  // the last guess did not shrink the list enough: halve the interval, which always ends
  while (list.size > kSortable && low < high) {
    Bracket bracket = {low, high, false, 0};
    if (!halve) {
      const uint64_t total = measure_list_above(kernels, rule, measure, list, next_down(low));
      float sample[kListSample];
      const int32_t step = std::max(1, list.size / kListSample);
      const int32_t n = std::min(kListSample, list.size / step);
      for (int32_t i = 0; i < n; ++i) sample[i] = list.x[i * step + step / 2];
      const double share = static_cast<double>(goal) / static_cast<double>(total);
      bracket = guess_bracket(kernels, rule, measure, sample, n, share, kListErrors, low, high);
    }
    if (!bracket.guessed) bracket.low = bracket.high = midpoint_by_rank(low, high);

    const uint64_t above = measure_list_above(kernels, rule, measure, list, bracket.high);
    if (above >= goal) {
      low = next_up(bracket.high);
    } else if (const uint64_t with_bracket = measure_list_above(kernels, rule, measure, list, next_down(bracket.low));
               with_bracket < goal) {
      goal -= with_bracket;
      high = next_down(bracket.low);
    } else {
      goal -= above;
      low = bracket.low;
      high = bracket.high;
    }
    const int32_t size_before = list.size;
    list = target = keep_interval(kernels, list, low, high, target);
    halve = list.size > size_before / 2;
  }
  if (!(low < high)) return cut_among_equals(rule, measure, goal, keep_interval(kernels, list, low, high, target));
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

uint64_t sure_weight(const uint64_t* chunk_mass, int32_t chunks, uint64_t total, uint64_t goal) {
  // All weights below 2^e together: at most kChunk of them in a chunk, and at most the chunk's mass. While that is not
  // more than what the goal leaves over, the goal is reached among weights of 2^e and more.
  int low = 0;    // e = 0: all weights below 1 are 0
  int high = 43;  // none is as heavy as 2^43
  while (high - low > 1) {
    const int e = (low + high) / 2;
    const uint64_t most = static_cast<uint64_t>(kChunk) << e;
    uint64_t lighter = 0;
    for (int32_t i = 0; i < chunks; ++i) lighter += std::min(chunk_mass[i], most);
    (lighter <= total - goal ? low : high) = e;
  }
  return uint64_t{1} << low;
}

Cut find_cut(const RowView& row, WeightRule rule, CutSearch search, const LogitList& list, uint64_t* chunk_mass) {
  const ChunkKernels& kernels = row.kernels();
  for (int32_t attempt = 0;; ++attempt) {
    Bracket bracket = {search.low, search.high, false, 0};
    if (attempt < kRowAttempts && search.low < search.high) {
      float sample[kRowSample];
      const int32_t n = row.sample(kRowSample, search.low, search.high, sample);
      const double share =
          static_cast<double>(search.goal - search.above) / static_cast<double>(search.total - search.above);
      // An interval that holds little of the row is listed at once. A pass that sums what lies above a bracket costs
      // more than listing it where that is little.
      if (n > kRowSample / 8) {
        bracket = guess_bracket(kernels, rule, search.measure, sample, n, share, kRowErrors, search.low, search.high);
        if (bracket.share_above * n < kRowSample / 8) bracket.high = search.high;
      }
    }
    // What lies above an interval that reaches up to search.high is little: list it too, for the draw.
    const bool from_top = bracket.high >= search.high;
    uint64_t above = 0;
    if (!from_top) {
      above = search.measure == Measure::kMass ? row.mass_above(rule, bracket.high, chunk_mass)
                                               : static_cast<uint64_t>(row.count_above(bracket.high));
      if (above >= search.goal) {
        search.low = next_up(bracket.high);
        search.total = above;
        continue;
      }
    }
    const float top = from_top ? rule.max : bracket.high;
    LogitList listed = list;
    listed.size = row.gather(bracket.low, top, list.x, list.id);
    const uint64_t listed_measure = search.measure == Measure::kMass
                                        ? measure_list_above(kernels, rule, search.measure, listed, -draw::infinity())
                                        : static_cast<uint64_t>(listed.size);
    if (above + listed_measure < search.goal) {
      search.high = next_down(bracket.low);
      search.above = above + listed_measure;
      continue;
    }
    bool intact = false;
    const uint64_t key =
        cut_in_list(kernels, rule, search.measure, search.goal - above, bracket.low, top, listed, &intact);
    return {key, from_top && intact ? listed.size : 0};
  }
}

}  // namespace tokendraw::cpu
