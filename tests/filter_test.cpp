// SPDX-License-Identifier: Apache-2.0
// Filters as operations: of logits, the sampler's kept sets, masses and tokens; of probabilities, those of a plain
// implementation of the rules that sorts; and the matrices that say the same.
#include <filter_case.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "support/samplers.h"

namespace tokendraw::test {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

TokendrawSampler* cpu(int32_t threads = 1, const std::string& target = "") {
  return sampler_for({TOKENDRAW_ALGORITHM_AUTO, target, threads});
}

// A row's values with what counts as nothing made so, and its order.
struct OrderedRow {
  std::vector<float> x;
  std::vector<int32_t> ids;

  OrderedRow(const cases::FilterCall& call, int64_t row) {
    const bool logits = call.filter.form == TOKENDRAW_FORM_LOGITS;
    for (int32_t id = 0; id < call.filter.vocab; ++id) {
      float value = cases::load_logit(call.filter.input, row * call.filter.input_stride + id, call.filter.dtype);
      if (logits && std::isnan(value)) value = -kInfinity;
      if (!logits && !(value >= 0.0f && std::isfinite(value))) value = 0.0f;
      x.push_back(value);
    }
    ids.resize(x.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::stable_sort(ids.begin(), ids.end(),
                     [&](int32_t a, int32_t b) { return x[static_cast<size_t>(a)] > x[static_cast<size_t>(b)]; });
  }
  float at(int32_t id) const { return x[static_cast<size_t>(id)]; }
};

// `in_order`: the ids that are kept, at least those that weigh something. The matrix must say the same.
void expect_matrix(const cases::FilterCase& c, const cases::FilterCall& call, int64_t row, const OrderedRow& ordered,
                   const std::vector<int32_t>& kept_ids, const std::vector<double>& shares) {
  const float* out = call.filter.output + row * call.filter.output_stride;
  const float nothing = c.masking && c.form == TOKENDRAW_FORM_LOGITS ? -kInfinity : 0.0f;
  std::vector<bool> kept(ordered.x.size(), false);
  double sum = 0.0;
  for (size_t i = 0; i < kept_ids.size(); ++i) {
    const int32_t id = kept_ids[i];
    kept[static_cast<size_t>(id)] = true;
    sum += static_cast<double>(out[id]);
    if (c.masking) {
      ASSERT_EQ(out[id], ordered.at(id)) << c.text() << ", row " << row << ", id " << id;
    } else {
      ASSERT_NEAR(static_cast<double>(out[id]), shares[i], 1e-6) << c.text() << ", row " << row << ", id " << id;
    }
  }
  if (!c.masking && !kept_ids.empty()) {
    EXPECT_NEAR(sum, 1.0, 1e-6) << c.text() << ", row " << row;
  }
  for (int32_t id = 0; id < c.vocab; ++id) {
    if (!kept[static_cast<size_t>(id)]) {
      ASSERT_EQ(out[id], nothing) << c.text() << ", row " << row << ", id " << id;
    }
  }
}

TEST(Filter, OfLogitsIsTheSamplers) {
  for (cases::FilterCase c : cases::filter_cases({1, 2, 60, 700})) {
    if (c.form != TOKENDRAW_FORM_LOGITS) continue;
    c.in_place = false;
    cases::FilterCall call(c);
    ASSERT_EQ(tokendraw_apply_filter(cpu(), &call.filter, nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
    cases::FilterCall expected(c);
    TokendrawBatch batch;
    tokendraw_init_batch(&batch);
    batch.logits = expected.filter.input;
    batch.dtype = c.dtype;
    batch.vocab = c.vocab;
    batch.rows = cases::kFilterRows;
    batch.row_stride = expected.filter.input_stride;
    batch.temperature = expected.filter.temperature;
    batch.temperature_per_row = expected.filter.temperature_per_row;
    batch.top_k = c.setting.top_k;
    batch.top_k_per_row = expected.filter.top_k_per_row;
    batch.top_p = c.setting.top_p;
    batch.top_p_per_row = expected.filter.top_p_per_row;
    batch.min_p = c.setting.min_p;
    batch.min_p_per_row = expected.filter.min_p_per_row;
    batch.top_p_base = c.base;
    batch.seed = 99;
    batch.seed_per_row = expected.filter.seed_per_row;
    batch.offset = 3;
    batch.tokens = expected.tokens.data();
    batch.row_status = expected.status.data();
    batch.kept = expected.kept.data();
    batch.kept_mass = expected.kept_mass.data();
    ASSERT_EQ(tokendraw_sample_host(sampler_for({TOKENDRAW_ALGORITHM_REFERENCE, "", 1}), &batch), TOKENDRAW_OK);
    EXPECT_EQ(call.tokens, expected.tokens) << c.text();
    EXPECT_EQ(call.status, expected.status) << c.text();
    EXPECT_EQ(call.kept, expected.kept) << c.text();
    EXPECT_EQ(call.kept_mass, expected.kept_mass) << c.text();

    for (int64_t row = 0; row < cases::kFilterRows; ++row) {
      const OrderedRow ordered(call, row);
      const auto kept = static_cast<size_t>(call.kept[static_cast<size_t>(row)]);
      std::vector<int32_t> ids(ordered.ids.begin(), ordered.ids.begin() + static_cast<int64_t>(kept));
      // Beyond what weighs something a mask keeps what the filters keep, which top_k alone tells.
      const bool light = c.masking && ids.size() < ordered.ids.size() && kept > 0 && c.setting.temperature > 0.0f &&
                         ordered.at(ordered.ids[kept]) != ordered.at(ordered.ids[0]);
      if (light && (c.setting.top_p < 1.0f || c.setting.min_p > 0.0f)) {
        const float* out = call.filter.output + row * call.filter.output_stride;
        for (const int32_t id : ids) ASSERT_EQ(out[id], ordered.at(id)) << c.text() << ", row " << row;
        continue;
      }
      if (light) {
        const size_t k = c.setting.top_k > 0 ? std::min(static_cast<size_t>(c.setting.top_k), ordered.ids.size())
                                             : ordered.ids.size();
        ids.assign(ordered.ids.begin(), ordered.ids.begin() + static_cast<int64_t>(k));
      }
      std::vector<double> shares;
      double total = 0.0;
      for (const int32_t id : ids) {
        const double max = static_cast<double>(ordered.at(ordered.ids[0]));
        const double distance = static_cast<double>(ordered.at(id)) - max;
        const double t = static_cast<double>(c.setting.temperature);
        shares.push_back(std::isinf(max) || t == 0.0 ? 1.0 : std::exp(distance / t));
        total += shares.back();
      }
      for (double& share : shares) share /= total;
      expect_matrix(c, call, row, ordered, ids, shares);
    }
  }
}

// The rules for probabilities, sorted and in turn.
struct PlainAnswer {
  std::vector<int32_t> ids;  // kept
  std::vector<uint64_t> weights;
  uint64_t mass = 0;
  int64_t weighing = 0;
};

PlainAnswer plain_filter(const OrderedRow& row, const cases::FilterCaseSetting& s, TokendrawTopPBase base) {
  PlainAnswer answer;
  const float largest = row.at(row.ids[0]);
  if (largest == 0.0f) return answer;
  const int exponent = std::max(std::ilogb(largest), -126);
  const auto weight_of = [&](float p) {
    return static_cast<uint64_t>(std::floor(std::ldexp(static_cast<long double>(p), 41 - exponent) + 0.5L));
  };
  const size_t k = s.top_k > 0 ? std::min(static_cast<size_t>(s.top_k), row.ids.size()) : row.ids.size();
  const long double least = s.min_p > 0.0f ? static_cast<long double>(s.min_p) * weight_of(largest) : 0.0L;
  uint64_t base_mass = 0;
  for (size_t rank = 0; rank < row.ids.size(); ++rank) {
    const uint64_t w = weight_of(row.at(row.ids[rank]));
    const bool in_k = rank < k;
    const bool in_m = static_cast<long double>(w) >= least;
    const bool in_base = base == TOKENDRAW_TOP_P_ALL ? true : base == TOKENDRAW_TOP_P_AFTER_TOP_K ? in_k : in_k && in_m;
    base_mass += in_base ? w : 0;
  }
  // Shares of 24 bits times masses below 2^63 do not fit into a long double; in 128 bits they do.
  int shift = 0;
  const double fraction = std::frexp(static_cast<double>(std::max(s.top_p, 0.0f)), &shift);
  __extension__ typedef unsigned __int128 Wide;
  const Wide product = static_cast<Wide>(base_mass) * static_cast<uint64_t>(std::ldexp(fraction, 24));
  const int down = 24 - shift;
  const Wide need = std::max<Wide>(1, (product + ((static_cast<Wide>(1) << down) - 1)) >> down);
  uint64_t before = 0;
  for (size_t rank = 0; rank < k; ++rank) {
    const uint64_t w = weight_of(row.at(row.ids[rank]));
    if (static_cast<long double>(w) < least || (s.top_p < 1.0f && before >= need)) break;
    before += w;
    answer.ids.push_back(row.ids[rank]);
    answer.weights.push_back(w);
    answer.mass += w;
    answer.weighing += w > 0 ? 1 : 0;
  }
  return answer;
}

TEST(Filter, OfProbabilitiesAgainstPlainRules) {
  for (cases::FilterCase c : cases::filter_cases({1, 2, 60, 700})) {
    if (c.form != TOKENDRAW_FORM_PROBABILITIES) continue;
    c.in_place = false;
    cases::FilterCall call(c);
    std::vector<uint64_t> numbers;
    for (uint64_t row = 0; row < cases::kFilterRows; ++row) numbers.push_back(row * 0x2222222222222222u);
    numbers.back() = ~uint64_t{0};
    call.filter.random_u64 = numbers.data();
    ASSERT_EQ(tokendraw_apply_filter_host(cpu(), &call.filter), TOKENDRAW_OK) << tokendraw_last_error_message();
    for (int64_t row = 0; row < cases::kFilterRows; ++row) {
      const auto r = static_cast<size_t>(row);
      const OrderedRow ordered(call, row);
      const bool bad = c.per_row && row == 3;
      const PlainAnswer answer = bad ? PlainAnswer{} : plain_filter(ordered, c.setting, c.base);
      EXPECT_EQ(call.kept[r], answer.weighing) << c.text() << ", row " << row;
      EXPECT_EQ(call.kept_mass[r], answer.mass) << c.text() << ", row " << row;
      EXPECT_EQ((call.status[r] & 4u) != 0, bad);
      EXPECT_EQ((call.status[r] & 8u) != 0, !bad && answer.ids.empty()) << c.text() << ", row " << row;
      std::vector<double> shares;
      for (const uint64_t w : answer.weights) {
        shares.push_back(static_cast<double>(w) / static_cast<double>(answer.mass));
      }
      expect_matrix(c, call, row, ordered, answer.ids, shares);
      // The token: by running sums in the order of ids.
      __extension__ typedef unsigned __int128 Wide;
      const auto target = static_cast<uint64_t>((static_cast<Wide>(numbers[r]) * answer.mass) >> 64);
      std::vector<size_t> by_id(answer.ids.size());
      std::iota(by_id.begin(), by_id.end(), size_t{0});
      std::sort(by_id.begin(), by_id.end(), [&](size_t a, size_t b) { return answer.ids[a] < answer.ids[b]; });
      int32_t token = -1;
      uint64_t running = 0;
      for (const size_t i : by_id) {
        if (token >= 0) break;
        running += answer.weights[i];
        if (running > target) token = answer.ids[i];
      }
      EXPECT_EQ(call.tokens[r], token) << c.text() << ", row " << row;
    }
  }
}

TEST(Filter, SameBitsEverywhere) {
  for (const cases::FilterCase& c : cases::filter_cases({3, 600})) {
    cases::FilterCall expected(c);
    ASSERT_EQ(tokendraw_apply_filter(cpu(), &expected.filter, nullptr), TOKENDRAW_OK);
    for (TokendrawSampler* sampler : {cpu(4), cpu(1, cpu_targets().back())}) {
      cases::FilterCall found(c);
      ASSERT_EQ(tokendraw_apply_filter_host(sampler, &found.filter), TOKENDRAW_OK);
      EXPECT_TRUE(found == expected) << c.text();
    }
    if (!c.in_place) continue;
    cases::FilterCase apart = c;
    apart.in_place = false;
    cases::FilterCall other(apart);
    ASSERT_EQ(tokendraw_apply_filter(cpu(), &other.filter, nullptr), TOKENDRAW_OK);
    for (int64_t row = 0; row < cases::kFilterRows; ++row) {
      const int64_t begin = row * (c.vocab + c.gap);
      EXPECT_EQ(std::memcmp(expected.filter.output + begin, other.filter.output + begin,
                            static_cast<size_t>(c.vocab) * sizeof(float)),
                0)
          << c.text() << ", row " << row;
    }
  }
}

// Every output is optional.
TEST(Filter, OutputsAreOptional) {
  cases::FilterCase c;
  c.setting = cases::kFilterCaseSettings[9];
  cases::FilterCall all(c);
  ASSERT_EQ(tokendraw_apply_filter(cpu(), &all.filter, nullptr), TOKENDRAW_OK);
  cases::FilterCall some(c);
  some.filter.output = nullptr;
  some.filter.kept = nullptr;
  some.filter.row_status = nullptr;
  ASSERT_EQ(tokendraw_apply_filter(cpu(), &some.filter, nullptr), TOKENDRAW_OK);
  EXPECT_EQ(some.tokens, all.tokens);
  EXPECT_EQ(some.kept_mass, all.kept_mass);
  EXPECT_EQ(some.output, std::vector<float>(some.output.size(), 77.0f));
}

}  // namespace
}  // namespace tokendraw::test
