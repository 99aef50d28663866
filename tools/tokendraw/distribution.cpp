// SPDX-License-Identifier: Apache-2.0
#include "distribution.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "case_random.h"
#include "cli_error.h"
#include "stored_logit.h"

namespace tokendraw::cli {
namespace {

using cases::RowKind;

constexpr auto kAfterTopK = TOKENDRAW_TOP_P_AFTER_TOP_K;
constexpr auto kF32 = TOKENDRAW_DTYPE_F32;
constexpr auto kF16 = TOKENDRAW_DTYPE_F16;
constexpr auto kBf16 = TOKENDRAW_DTYPE_BF16;
constexpr float kBinary = cases::kBinaryTemperature;

constexpr DistributionCase kCases[] = {
    {"whole-row", RowKind::kNormal1, 1000, kF32, {1.0f, 0, 1.0f, 0.0f}, kAfterTopK, Varied::kOffset},
    {"top-p", RowKind::kNormal5, 257, kF16, {1.5f, 0, 0.9f, 0.0f}, kAfterTopK, Varied::kSeed},
    {"top-k-top-p", RowKind::kNormal1, 1025, kBf16, {1.0f, 50, 0.9f, 0.0f}, kAfterTopK, Varied::kStream},
    {"joint", RowKind::kGeometric, 300, kF32, {1.0f, 40, 0.95f, 0.0f}, TOKENDRAW_TOP_P_ALL, Varied::kOffset},
    {"after-all", RowKind::kQuantised, 1024, kBf16, {0.8f, 0, 0.95f, 0.01f}, TOKENDRAW_TOP_P_AFTER_ALL, Varied::kSeed},
    {"min-p", RowKind::kTwoValued, 64, kF32, {1.0f, 0, 1.0f, 0.05f}, kAfterTopK, Varied::kStream},
    {"binary-shares", RowKind::kBinaryShares, 33, kF32, {kBinary, 0, 0.875f, 0.0f}, kAfterTopK, Varied::kOffset},
    {"equal", RowKind::kEqual, 33, kF16, {1.0f, 0, 1.0f, 0.0f}, kAfterTopK, Varied::kSeed},
    {"hot", RowKind::kNormal5, 512, kF32, {20.0f, 0, 1.0f, 0.0f}, kAfterTopK, Varied::kOffset},
    // 10^5 tokens of 2^-26 each: together about one draw in 670, none of them ever frequent (cases.md 22).
    {"light-tail", RowKind::kLightTail, 100000, kBf16, {1.0f, 0, 1.0f, 0.0f}, kAfterTopK, Varied::kOffset},
};

// The upper incomplete gamma function over the complete one, by its series or its continued fraction (Abramowitz and
// Stegun 6.5.29 and 6.5.31, the latter by Lentz's method).
double gamma_tail(double a, double x) {
  if (x <= 0.0) return 1.0;
  const double front = std::exp(a * std::log(x) - x - std::lgamma(a));
  if (x < a + 1.0) {
    double term = 1.0 / a;
    double sum = term;
    for (double n = a + 1.0; term > sum * 1e-16; n += 1.0) {
      term *= x / n;
      sum += term;
    }
    return 1.0 - front * sum;
  }
  constexpr double kTiny = 1e-300;
  double b = x + 1.0 - a;
  double c = 1.0 / kTiny;
  double d = 1.0 / b;
  double fraction = d;
  for (double n = 1.0; n < 1e6; n += 1.0) {
    const double numerator = -n * (n - a);
    b += 2.0;
    d = numerator * d + b;
    if (std::fabs(d) < kTiny) d = kTiny;
    c = b + numerator / c;
    if (std::fabs(c) < kTiny) c = kTiny;
    d = 1.0 / d;
    fraction *= d * c;
    if (std::fabs(d * c - 1.0) < 1e-15) break;
  }
  return front * fraction;
}

std::vector<int32_t> order_of(const std::vector<float>& x) {
  std::vector<int32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](int32_t a, int32_t b) { return x[static_cast<size_t>(a)] > x[static_cast<size_t>(b)]; });
  return order;
}

// How many tokens the filters keep if every threshold is moved by the relative `slack`.
int64_t count_kept(const std::vector<double>& sorted_weights, const DistributionCase& c, double slack) {
  const auto vocab = static_cast<int64_t>(sorted_weights.size());
  const int64_t top_k = c.setting.top_k > 0 ? std::min<int64_t>(c.setting.top_k, vocab) : vocab;
  int64_t min_p = 0;
  while (min_p < vocab &&
         sorted_weights[static_cast<size_t>(min_p)] >= static_cast<double>(c.setting.min_p) * (1.0 - slack)) {
    ++min_p;
  }
  if (c.setting.min_p <= 0.0f) min_p = vocab;
  const int64_t base = c.base == TOKENDRAW_TOP_P_ALL           ? vocab
                       : c.base == TOKENDRAW_TOP_P_AFTER_TOP_K ? top_k
                                                               : std::min(top_k, min_p);
  const double mass = std::accumulate(sorted_weights.begin(), sorted_weights.begin() + base, 0.0);
  int64_t top_p = 0;
  for (double before = 0.0; top_p < vocab; ++top_p) {
    if (c.setting.top_p < 1.0f && top_p > 0 && before >= mass * static_cast<double>(c.setting.top_p) * (1.0 + slack)) {
      break;
    }
    before += sorted_weights[static_cast<size_t>(top_p)];
  }
  return std::min({top_k, min_p, top_p});
}

}  // namespace

double chi_square_tail(double x, double degrees) { return std::clamp(gamma_tail(degrees / 2.0, x / 2.0), 0.0, 1.0); }

GTestResult g_test(std::span<const int64_t> observed, std::span<const double> probability) {
  const auto total = static_cast<double>(std::accumulate(observed.begin(), observed.end(), int64_t{0}));
  GTestResult result;
  std::vector<size_t> cells;
  for (size_t i = 0; i < observed.size(); ++i) {
    if (probability[i] > 0.0) {
      cells.push_back(i);
    } else {
      result.impossible += observed[i];
    }
  }
  std::stable_sort(cells.begin(), cells.end(), [&](size_t a, size_t b) { return probability[a] < probability[b]; });

  constexpr double kLeastExpected = 5.0;
  struct Pool {
    double expected = 0.0;
    int64_t observed = 0;
  };
  std::vector<Pool> pools(1);
  for (const size_t cell : cells) {
    if (pools.back().expected >= kLeastExpected) pools.emplace_back();
    pools.back().expected += total * probability[cell];
    pools.back().observed += observed[cell];
  }
  for (const Pool& pool : pools) {
    if (pool.observed == 0) continue;
    const auto count = static_cast<double>(pool.observed);
    result.g += 2.0 * count * std::log(count / pool.expected);
  }
  result.degrees = static_cast<int64_t>(pools.size()) - 1;
  if (result.degrees > 0) result.p_value = chi_square_tail(result.g, static_cast<double>(result.degrees));
  return result;
}

std::span<const DistributionCase> distribution_cases() { return kCases; }

DistributionResult run_distribution_case(const DistributionCase& c, TokendrawSampler* sampler, uint64_t seed,
                                         int64_t draws) {
  const auto vocab = static_cast<size_t>(c.vocab);
  const uint64_t key = cases::hash_counter(0x64697374, seed);
  std::vector<float> storage(vocab);  // large enough, and aligned, for every dtype
  cases::generate_row(c.kind, c.vocab, c.dtype, key, storage.data());
  std::vector<float> x(vocab);
  for (size_t id = 0; id < vocab; ++id) x[id] = cases::load_logit(storage.data(), static_cast<int64_t>(id), c.dtype);

  const std::vector<int32_t> order = order_of(x);
  const double max = x[static_cast<size_t>(order[0])];
  std::vector<double> weights;
  for (const int32_t id : order) {
    weights.push_back(
        std::exp((static_cast<double>(x[static_cast<size_t>(id)]) - max) / static_cast<double>(c.setting.temperature)));
  }

  std::vector<int64_t> observed(vocab);
  DistributionResult result;
  constexpr int64_t kRowsPerCall = 4096;
  for (int64_t first = 0; first < draws; first += kRowsPerCall) {
    const auto n = static_cast<size_t>(std::min(kRowsPerCall, draws - first));
    std::vector<uint64_t> seeds(n, seed), offsets(n, 7);
    std::vector<uint32_t> streams(n, 3);
    const std::vector<int32_t> row_index(n, 0);
    std::vector<int32_t> tokens(n);
    std::vector<int64_t> kept(n);
    for (size_t i = 0; i < n; ++i) {
      const uint64_t number = static_cast<uint64_t>(first) + i;
      if (c.varied == Varied::kOffset) offsets[i] = number;
      if (c.varied == Varied::kSeed) seeds[i] = (seed << 32) + number;
      if (c.varied == Varied::kStream) streams[i] = static_cast<uint32_t>(number);
    }
    TokendrawBatch batch;
    tokendraw_init_batch(&batch);
    batch.logits = storage.data();
    batch.dtype = c.dtype;
    batch.vocab = c.vocab;
    batch.rows = static_cast<int64_t>(n);
    batch.logits_rows = 1;
    batch.row_index = row_index.data();
    batch.temperature = c.setting.temperature;
    batch.top_k = c.setting.top_k;
    batch.top_p = c.setting.top_p;
    batch.min_p = c.setting.min_p;
    batch.top_p_base = c.base;
    batch.seed_per_row = seeds.data();
    batch.stream_per_row = streams.data();
    batch.offset_per_row = offsets.data();
    batch.tokens = tokens.data();
    batch.kept = kept.data();
    require_ok(tokendraw_sample_host(sampler, &batch), fmt::format("distribution test {}", c.name));
    result.kept = kept[0];
    for (size_t i = 0; i < n; ++i) {
      if (tokens[i] < 0 || tokens[i] >= c.vocab) {
        result.defect = fmt::format("draw {} gave token {}", first + static_cast<int64_t>(i), tokens[i]);
        return result;
      }
      ++observed[static_cast<size_t>(tokens[i])];
    }
  }

  // The kept set must be what the definitions say, up to the rounding of the weights.
  const int64_t fewest = count_kept(weights, c, -1e-6);
  const int64_t most = count_kept(weights, c, 1e-6);
  if (result.kept < fewest || result.kept > most) {
    result.defect = fmt::format("{} tokens are kept, expected {} to {}", result.kept, fewest, most);
    return result;
  }
  const double kept_mass = std::accumulate(weights.begin(), weights.begin() + result.kept, 0.0);
  std::vector<double> probability(vocab, 0.0);
  for (size_t rank = 0; rank < static_cast<size_t>(result.kept); ++rank) {
    probability[static_cast<size_t>(order[rank])] = weights[rank] / kept_mass;
  }
  result.test = g_test(observed, probability);
  return result;
}

}  // namespace tokendraw::cli
