// SPDX-License-Identifier: Apache-2.0
#include "cpu/find_cut.h"

#include <algorithm>
#include <cassert>
#include <cmath>

#include "draw/rank_key.h"

namespace tokendraw::cpu {
namespace {

constexpr int32_t kRowSample = 256;  // logits of a row from which a bracket is guessed
constexpr int32_t kListSample = 64;  // the same for a list, where a wrong guess costs little
constexpr int32_t kMinSample = 16;   // fewer say nothing
constexpr int32_t kShortList = 128;  // a list this short is sorted
static_assert(kRowSample <= kSortable && kListSample <= kSortable && kShortList <= kSortable);
constexpr int32_t kRowAttempts = 3;  // guesses at a bracket by passes over the row before all of [low, high] is listed
constexpr int32_t kTopChunks[] = {48, 160};  // group maxima that first guesses at the top of a row take in
constexpr double kRowErrors = 2.0;           // standard errors that a bracket reaches to each side
constexpr double kListErrors = 1.5;

// A number in [low, high]. By rank it halves the number of floats between them, by value their distance.
float midpoint(float low, float high, bool by_rank) {
  const float middle = low + (high - low) * 0.5f;
  if (!by_rank && middle >= low && middle < high) return middle + 0.0f;
  const uint32_t a = draw::ordered_bits(low);
  const uint32_t b = draw::ordered_bits(high);
  return draw::from_ordered_bits(a + (b - a) / 2) + 0.0f;
}

// The measure that is summed along the order, and how.
struct Gauge {
  const ChunkKernels& kernels;
  WeightRule rule;
  Measure measure;

  const DtypeKernels& f32() const { return kernels.by_dtype[0]; }

  uint64_t of_one(float x) const { return measure == Measure::kMass ? draw::weight(x, rule.max, rule.scale) : 1; }
  // Of each of n <= kSortable logits.
  void of_each(const float* x, int32_t n, uint64_t* out) const {
    if (measure == Measure::kMass) {
      kernels.weights(x, n, rule, out);
    } else {
      std::fill_n(out, n, uint64_t{1});
    }
  }
  uint64_t of_list(const LogitList& list) const {
    return measure == Measure::kMass ? above(list, -draw::infinity()) : static_cast<uint64_t>(list.size);
  }
  uint64_t above(const LogitList& list, float x) const {
    if (measure == Measure::kMass) return f32().mass_above(list.x, list.size, rule, x, nullptr, nullptr);
    return static_cast<uint64_t>(f32().count_above(list.x, list.size, x, nullptr));
  }
  // chunk_mass is written for a mass.
  uint64_t above(const RowView& row, float x, uint64_t* chunk_mass) const {
    return measure == Measure::kMass ? row.mass_above(rule, x, chunk_mass) : static_cast<uint64_t>(row.count_above(x));
  }
};

// An interval around the place where a sum along the order reaches its goal, guessed from a sample.
struct Bracket {
  float low;
  float high;
  bool guessed;        // false: it is all of the interval
  double share_above;  // estimated share of the interval's logits that lie above the bracket
};

// Where a running sum of estimates, each `value[i] * scale`, crosses `goal`: most likely not before index `begin` and
// before `end`: `errors` standard errors to each side.
struct Crossing {
  int32_t begin;
  int32_t end;
  double error;
};

Crossing find_crossing(const double* value, int32_t n, double scale, double goal, double errors) {
  double running = 0;
  double squares = 0;
  int32_t at = 0;
  while (at < n && running < goal) {
    const double v = value[at++] * scale;
    running += v;
    squares += v * v;
  }
  Crossing crossing = {at, at, errors * std::sqrt(squares)};
  double before = running;
  while (crossing.begin > 0 && before > goal - crossing.error) before -= value[--crossing.begin] * scale;
  while (crossing.end < n && running <= goal + crossing.error) running += value[crossing.end++] * scale;
  return crossing;
}

// Guesses from n logits, taken evenly from `sampled_from`, where in [low, high] the measure reaches `goal` of `total`.
// The estimate starts from that end of the order at which its error is smaller: from the bottom where few tokens are
// heavy, since a sample misses those. Orders the sample.
Bracket guess_bracket(const Gauge& gauge, float* sample, int32_t n, double sampled_from, double goal, double total,
                      double errors, float low, float high) {
  const Bracket everything = {low, high, false, 0};
  if (n < kMinSample) return everything;
  uint64_t keys[kSortable];
  uint64_t sorted[kSortable];
  for (int32_t i = 0; i < n; ++i) keys[i] = draw::rank_key(sample[i], static_cast<uint32_t>(i));
  gauge.kernels.sort_keys(keys, n, sorted);
  for (int32_t i = 0; i < n; ++i) sample[i] = draw::rank_key_logit(sorted[i]);
  uint64_t value[kSortable];
  gauge.of_each(sample, n, value);
  double from_top[kSortable];
  double from_bottom[kSortable];
  for (int32_t i = 0; i < n; ++i) {
    from_top[i] = static_cast<double>(value[i]);
    from_bottom[n - 1 - i] = from_top[i];
  }
  const double scale = sampled_from / n;
  const Crossing top = find_crossing(from_top, n, scale, goal, errors);
  const Crossing bottom = find_crossing(from_bottom, n, scale, total - goal, errors);
  const bool by_top = top.error <= bottom.error;
  // Both as indices into the sample, largest first: above `first` lies too little, down to `last` enough.
  const int32_t first = by_top ? top.begin - 1 : n - bottom.end;
  const int32_t last = by_top ? top.end - 1 : n - bottom.begin;
  Bracket bracket = everything;
  if (first >= 0 && first < n && (by_top || bottom.end < n)) {
    bracket.high = sample[first];
    bracket.share_above = static_cast<double>(first) / n;
  }
  if (last >= 0 && last < n && (!by_top || top.end < n)) bracket.low = std::max(sample[last], low);
  bracket.high = std::max(bracket.high, bracket.low);
  bracket.guessed = bracket.low > low || bracket.high < high;
  return bracket;
}

// Moves the logits in [low, high] to `to`, which may be the list itself.
LogitList keep_interval(const Gauge& gauge, const LogitList& list, float low, float high, LogitList to) {
  to.size = gauge.f32().gather(list.x, list.size, low, high, nullptr, list.id, 0, to.x, to.id);
  return to;
}

// All logits of the list are equal: they stand in their order already.
uint64_t cut_among_equals(const Gauge& gauge, uint64_t goal, const LogitList& list) {
  const uint64_t place = (goal - 1) / gauge.of_one(list.x[0]);
  return draw::rank_key(list.x[0], static_cast<uint32_t>(list.id[place]));
}

uint64_t cut_by_sorting(const Gauge& gauge, uint64_t goal, const LogitList& list) {
  uint64_t unsorted[kSortable];
  uint64_t keys[kSortable];
  float x[kSortable];
  uint64_t value[kSortable];
  for (int32_t i = 0; i < list.size; ++i) unsorted[i] = draw::rank_key(list.x[i], static_cast<uint32_t>(list.id[i]));
  gauge.kernels.sort_keys(unsorted, list.size, keys);
  for (int32_t i = 0; i < list.size; ++i) x[i] = draw::rank_key_logit(keys[i]);
  gauge.of_each(x, list.size, value);
  int32_t i = 0;
  for (uint64_t running = value[0]; running < goal && i + 1 < list.size; running += value[i]) ++i;
  return keys[i];
}

// The search in a list that holds all logits of [low, high], whose measure is `total`, and the token; `goal` counts
// from the list's first. The list stays as it is where the memory behind it suffices to go on; *intact says whether.
uint64_t cut_in_list(const Gauge& gauge, uint64_t goal, uint64_t total, float low, float high, LogitList list,
                     bool* intact) {
  LogitList target = list.rest();
  *intact = target.capacity >= list.size;
  if (!*intact) target = list;
  bool halve = false;    // the last guess did not shrink the list enough: halve the interval, which always ends
  bool by_rank = false;  // every second time, which bounds their number by that of a float's bits
  while (list.size > kShortList && low < high) {
    Bracket bracket = {low, high, false, 0};
    if (!halve) {
      float sample[kListSample];
      const int32_t step = std::max(1, list.size / kListSample);
      const int32_t n = std::min(kListSample, list.size / step);
      for (int32_t i = 0; i < n; ++i) sample[i] = list.x[i * step + step / 2];
      bracket = guess_bracket(gauge, sample, n, list.size, static_cast<double>(goal), static_cast<double>(total),
                              kListErrors, low, high);
    }
    if (!bracket.guessed) {
      bracket.low = bracket.high = midpoint(low, high, by_rank);
      by_rank = !by_rank;
    }

    const uint64_t above = gauge.above(list, bracket.high);
    if (above >= goal) {
      low = next_up(bracket.high);
      total = above;
    } else if (const uint64_t upto = gauge.above(list, next_down(bracket.low)); upto < goal) {
      high = next_down(bracket.low);
      goal -= upto;
      total -= upto;
    } else {
      low = bracket.low;
      high = bracket.high;
      goal -= above;
      total = upto - above;
    }
    const int32_t size_before = list.size;
    list = target = keep_interval(gauge, list, low, high, target);
    halve = list.size > size_before / 2;
  }
  if (!(low < high)) return cut_among_equals(gauge, goal, keep_interval(gauge, list, low, high, target));
  return cut_by_sorting(gauge, goal, list);
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

namespace {

// The token among all logits in [low, the row's largest], if it is there. *listed_measure: what they come to.
bool cut_in_top(const RowView& row, const Gauge& gauge, uint64_t goal, float low, LogitList list, Cut* cut,
                uint64_t* listed_measure) {
  const float top = gauge.rule.max;
  list.size = row.gather(low, top, list.x, list.id);
  *listed_measure = gauge.of_list(list);
  if (*listed_measure < goal) return false;
  bool intact = false;
  cut->key = cut_in_list(gauge, goal, *listed_measure, low, top, list, &intact);
  cut->listed = intact ? list.size : 0;
  return true;
}

// First guesses, where the masses of all chunks are known: the chunks with the largest maxima. Those that cannot reach
// the goal are not looked into. A guess that fails still bounds the search.
bool cut_in_top_chunks(const RowView& row, const Gauge& gauge, CutSearch* search, const LogitList& list,
                       const uint64_t* chunk_mass, Cut* cut) {
  for (const int32_t chunks : kTopChunks) {
    if (chunks > row.chunks() / 2) break;
    const float low = std::max(search->low, sure_threshold(row.f32(), row.chunk_max(), row.chunks(), chunks));
    uint64_t at_most = 0;
    for (int32_t i = 0; i < row.chunks(); ++i) at_most += row.chunk_max()[i] >= low ? chunk_mass[i] : 0;
    if (at_most < search->goal) continue;
    uint64_t listed = 0;
    if (cut_in_top(row, gauge, search->goal, low, list, cut, &listed)) return true;
    search->high = next_down(low);
    search->above = listed;
  }
  return false;
}

// A bracket from a sample of the row; all of the search's interval once enough guesses have failed.
Bracket next_bracket(const RowView& row, const Gauge& gauge, const CutSearch& search, int32_t attempt) {
  if (attempt >= kRowAttempts || !(search.low < search.high)) return {search.low, search.high, false, 0};
  float sample[kRowSample];
  const int32_t n = row.sample(kRowSample, search.total_from, search.high, sample);
  const double sampled_from = static_cast<double>(row.vocab()) * n / kRowSample;
  Bracket bracket =
      guess_bracket(gauge, sample, n, sampled_from, static_cast<double>(search.goal - search.above),
                    static_cast<double>(search.total - search.above), kRowErrors, search.low, search.high);
  // A pass that sums what lies above the bracket costs more than listing it where that is little.
  if (bracket.share_above * n < kRowSample / 8) bracket.high = search.high;
  return bracket;
}

}  // namespace

Cut find_cut(const RowView& row, WeightRule rule, CutSearch search, const LogitList& list, uint64_t* chunk_mass) {
  const Gauge gauge = {row.kernels(), rule, search.measure};
  Cut cut = {};
  if (search.chunk_mass_known && cut_in_top_chunks(row, gauge, &search, list, chunk_mass, &cut)) return cut;
  for (int32_t attempt = 0; attempt <= kRowAttempts; ++attempt) {
    const Bracket bracket = next_bracket(row, gauge, search, attempt);
    uint64_t listed_measure = 0;
    if (bracket.high >= search.high) {  // little lies above the interval: list that too, for the draw
      if (cut_in_top(row, gauge, search.goal, bracket.low, list, &cut, &listed_measure)) return cut;
      search.high = next_down(bracket.low);
      search.above = listed_measure;
      continue;
    }
    const uint64_t above = gauge.above(row, bracket.high, chunk_mass);
    if (above >= search.goal) {
      search.low = search.total_from = next_up(bracket.high);
      search.total = above;
      continue;
    }
    LogitList listed = list;
    listed.size = row.gather(bracket.low, bracket.high, list.x, list.id);
    listed_measure = gauge.of_list(listed);
    if (above + listed_measure < search.goal) {
      search.high = next_down(bracket.low);
      search.above = above + listed_measure;
      continue;
    }
    bool intact = false;
    cut.key = cut_in_list(gauge, search.goal - above, listed_measure, bracket.low, bracket.high, listed, &intact);
    if (intact && search.measure == Measure::kMass) cut = {cut.key, listed.size, true, above};
    return cut;
  }
  assert(false && "the last bracket is all of the interval, which holds the token");
  return cut;
}

}  // namespace tokendraw::cpu
