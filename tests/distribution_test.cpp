// SPDX-License-Identifier: Apache-2.0
// Whether the tokens are distributed as the contract's weights say: agreement between algorithms cannot show that all
// of them are not wrong together.
//
// Each check is a G-test of the drawn tokens against the oracle's weights, light tokens pooled, and fails below a
// p-value of 1e-6. The seeds are fixed, so an unchanged library always gives the same result; a change of the draws
// that is correct (another random number generator, say) would fail a check by chance once in a million, and some check
// in this file, which makes about 80, once in 12 000 changes.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "support/chi_square.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr double kFalseAlarm = 1e-6;

// ---- The test itself ----------------------------------------------------------------------------------------------

// From tables of the chi-square distribution: 5 %, 1 % and 0.1 % points.
TEST(ChiSquare, TailOfKnownPoints) {
  struct Point {
    double freedom, x, tail;
  };
  for (const Point& point : {Point{1, 3.841459, 0.05}, Point{1, 10.827566, 0.001}, Point{2, 9.210340, 0.01},
                             Point{10, 18.307038, 0.05}, Point{10, 3.940299, 0.95}, Point{30, 59.703064, 0.001},
                             Point{100, 124.342113, 0.05}, Point{100, 149.449253, 0.001}}) {
    EXPECT_NEAR(chi_square_tail(point.freedom, point.x), point.tail, 1e-6 * point.tail + 1e-8) << point.x;
  }
  EXPECT_DOUBLE_EQ(chi_square_tail(2, 2 * std::log(1e6)), 1e-6);  // exp(-x / 2), exactly
  EXPECT_EQ(chi_square_tail(5, 0), 1.0);
}

TEST(GTest, AcceptsTheRightSharesAndRefusesWrongOnes) {
  const std::vector<uint64_t> weights = {4, 2, 1, 1, 0};
  EXPECT_NEAR(g_test({400, 200, 100, 100, 0}, weights).g, 0.0, 1e-9);
  EXPECT_EQ(g_test({400, 200, 100, 100, 0}, weights).freedom, 3);
  EXPECT_EQ(g_test({400, 200, 100, 100, 7}, weights).outside, 7);
  EXPECT_GT(g_test({410, 190, 95, 105, 0}, weights).p_value, 0.5);
  EXPECT_LT(g_test({320, 280, 100, 100, 0}, weights).p_value, kFalseAlarm);
  // A thousand tokens of a thousandth each, pooled twenty at a time; the second half of them never drawn.
  std::vector<uint64_t> tail(1001, 1);
  tail[0] = 1000;
  std::vector<int64_t> counts(1001, 1);
  counts[0] = 1000;
  EXPECT_GT(g_test(counts, tail).p_value, 0.5);
  for (size_t i = 501; i <= 1000; ++i) counts[i] = 0;
  counts[0] += 500;
  EXPECT_LT(g_test(counts, tail).p_value, kFalseAlarm);
}

// ---- Draws --------------------------------------------------------------------------------------------------------

std::vector<int64_t> count_tokens(const std::vector<RowResult>& results, int32_t vocab) {
  std::vector<int64_t> counts(static_cast<size_t>(vocab), 0);
  for (const RowResult& result : results) ++counts.at(static_cast<size_t>(result.token));
  return counts;
}

std::vector<uint64_t> kept_weights(const OracleRow& row) {
  std::vector<uint64_t> weights = row.weights;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (!row.kept[i]) weights[i] = 0;
  }
  return weights;
}

void expect_distribution(const BatchSpec& spec, const std::vector<RowResult>& results) {
  const OracleRow row = oracle_row(spec, 0);
  const GTest test = g_test(count_tokens(results, spec.vocab()), kept_weights(row));
  EXPECT_EQ(test.outside, 0) << "tokens outside the kept set were drawn";
  EXPECT_GT(test.p_value, kFalseAlarm) << "G = " << test.g << " with " << test.freedom << " degrees of freedom";
}

struct FilterCase {
  const char* name;
  RowSpec row;
  TokendrawTopPBase base = TOKENDRAW_TOP_P_AFTER_TOP_K;
};

std::vector<FilterCase> filter_cases() {
  std::vector<FilterCase> cases;
  const auto add = [&](const char* name, float temperature, int32_t top_k, float top_p, float min_p,
                       TokendrawTopPBase base = TOKENDRAW_TOP_P_AFTER_TOP_K) {
    RowSpec row;
    row.temperature = temperature;
    row.top_k = top_k;
    row.top_p = top_p;
    row.min_p = min_p;
    row.seed = 1000 + cases.size();
    cases.push_back({name, row, base});
  };
  add("no filter", 1.0f, 0, 1.0f, 0.0f);
  add("temperature 0.7", 0.7f, 0, 1.0f, 0.0f);
  add("temperature 3", 3.0f, 0, 1.0f, 0.0f);
  add("top-k 5", 1.0f, 5, 1.0f, 0.0f);
  add("top-p 0.9", 1.0f, 0, 0.9f, 0.0f);
  add("min-p 0.1", 1.0f, 0, 1.0f, 0.1f);
  add("top-k 20, top-p 0.8", 1.0f, 20, 0.8f, 0.0f);
  add("top-k 20, top-p 0.8 of all", 1.0f, 20, 0.8f, 0.0f, TOKENDRAW_TOP_P_ALL);
  add("top-k 30, top-p 0.9 of the rest, min-p 0.05", 1.5f, 30, 0.9f, 0.05f, TOKENDRAW_TOP_P_AFTER_ALL);
  return cases;
}

void check_filters(const std::vector<Variant>& variants, int32_t vocab, int draws) {
  TestRandom random(11);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, vocab, TOKENDRAW_DTYPE_F32, random);
  for (const FilterCase& filter : filter_cases()) {
    BatchSpec spec = repeated_draws(logits, filter.row, draws);
    spec.top_p_base = filter.base;
    for (const Variant& variant : variants) {
      SCOPED_TRACE(std::string(filter.name) + ", " + to_text(variant));
      expect_distribution(spec, run(variant, spec));
    }
  }
}

TEST(Distribution, SmallVocabularyEveryAlgorithm) { check_filters(every_algorithm(2), 61, scaled(50000)); }

TEST(Distribution, MiddleVocabulary) { check_filters({{TOKENDRAW_ALGORITHM_AUTO, "", 2}}, 3000, scaled(40000)); }

// Rejection sorts each row, so it draws less.
TEST(Distribution, MiddleVocabularyByRejection) {
  check_filters({{TOKENDRAW_ALGORITHM_REJECTION, "", 2}}, 1000, scaled(5000));
}

// The draws of one request at offsets 0, 1, 2, ... and those of one offset over streams and over seeds.
TEST(Distribution, OverOffsetsStreamsAndSeeds) {
  TestRandom random(12);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, 40, TOKENDRAW_DTYPE_F32, random);
  const auto draws = static_cast<uint64_t>(scaled(200000));
  for (const char* what : {"offsets", "streams", "seeds", "high offsets"}) {
    SCOPED_TRACE(what);
    BatchSpec spec = repeated_draws(logits, {}, static_cast<int64_t>(draws));
    for (uint64_t i = 0; i < draws; ++i) {
      RowSpec& row = spec.rows[i];
      const std::string name = what;
      row.offset = name == "offsets" ? i : name == "high offsets" ? i << 40 : 0;
      row.stream = name == "streams" ? static_cast<uint32_t>(i) : 0;
      row.seed = name == "seeds" ? i : 0;
    }
    expect_distribution(spec, run({TOKENDRAW_ALGORITHM_AUTO, "", 2}, spec));
  }
}

// Neighbouring draws are independent: pairs of tokens at offsets 2i and 2i + 1, and at streams 2i and 2i + 1.
TEST(Distribution, PairsOfNeighbouringDrawsAreIndependent) {
  const std::vector<float> logits = {0.0f, 0.5f, -0.5f, 1.0f, -1.0f, 0.25f};
  const size_t vocab = logits.size();
  const size_t draws = 2 * static_cast<size_t>(scaled(100000));
  for (const bool over_streams : {false, true}) {
    for (const auto algorithm : {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_REJECTION}) {
      BatchSpec spec = repeated_draws(logits, {}, static_cast<int64_t>(draws));
      for (size_t i = 0; i < draws && over_streams; ++i) {
        spec.rows[i].offset = 77;
        spec.rows[i].stream = static_cast<uint32_t>(i);
      }
      const std::vector<RowResult> results = run({algorithm, "", 2}, spec);
      std::vector<int64_t> pairs(vocab * vocab, 0);
      for (size_t i = 0; i < draws; i += 2) {
        ++pairs[static_cast<size_t>(results[i].token) * vocab + static_cast<size_t>(results[i + 1].token)];
      }
      const OracleRow row = oracle_row(spec, 0);
      std::vector<uint64_t> weights;
      for (const uint64_t a : row.weights) {
        for (const uint64_t b : row.weights) weights.push_back((a >> 21) * (b >> 21));
      }
      EXPECT_GT(g_test(pairs, weights).p_value, kFalseAlarm) << (over_streams ? "streams" : "offsets");
    }
  }
}

// Case 22: 100 000 tokens of 2^-26 of the heaviest each, together 0.15 % of the mass: every thirty-second of the
// tail is drawn as often as it should be.
class Case22_Tail : public testing::Test {
 protected:
  static constexpr int32_t kVocab = 100000;
  static constexpr int32_t kHead = 41234;
  static BatchSpec tail_draws(int draws, uint64_t seed) {
    std::vector<float> logits(kVocab, -18.021827f);  // -26 ln 2
    logits[kHead] = 0.0f;
    RowSpec row;
    row.seed = seed;
    return repeated_draws(std::move(logits), row, draws);
  }
};

TEST_F(Case22_Tail, IsReachedAsOftenAsItWeighs) {
  const int draws = scaled(200000);
  const BatchSpec spec = tail_draws(draws, 22);
  const OracleRow row = oracle_row(spec, 0);
  EXPECT_NEAR(static_cast<double>(row.weights[0]), 0x1p16, 1.0);
  std::vector<int64_t> counts(33, 0);
  std::vector<uint64_t> weights(33, 0);
  const auto part_of = [](int32_t id) { return id == kHead ? size_t{32} : static_cast<size_t>(id / 3125); };
  for (int32_t id = 0; id < kVocab; ++id) weights[part_of(id)] += row.weights[static_cast<size_t>(id)];
  int64_t tail = 0;
  for (const RowResult& result : run({TOKENDRAW_ALGORITHM_AUTO, "", 2}, spec)) {
    ++counts[part_of(result.token)];
    tail += result.token != kHead ? 1 : 0;
  }
  const double expected = draws * (1.0 - 1.0 / (1.0 + 99999 * 0x1p-26));
  EXPECT_NEAR(static_cast<double>(tail), expected, 5.0 * std::sqrt(expected));
  EXPECT_GT(g_test(counts, weights, 5.0).p_value, kFalseAlarm);
}

// Rejection sorts each row, too slow for so many draws: of 200 000 only those whose first random number falls outside
// the head, which is where its first round takes a token of the tail, and as many others.
TEST_F(Case22_Tail, IsReachedByRejectionAsOftenAsItWeighs) {
  const OracleRow row = oracle_row(tail_draws(1, 0), 0);
  const auto mass = static_cast<double>(row.result.kept_mass);
  const double head_begin = static_cast<double>(kHead) * static_cast<double>(row.weights[0]) / mass;
  const double head_end = head_begin + static_cast<double>(row.weights[kHead]) / mass;
  std::vector<uint64_t> tail_offsets, other_offsets;
  for (uint64_t offset = 0; offset < 200000; ++offset) {
    const double u = static_cast<double>(oracle_random(23, 0, offset, 0x100)) * 0x1p-64;
    const bool in_tail = u < head_begin || u >= head_end;
    if (in_tail) tail_offsets.push_back(offset);
    if (!in_tail && other_offsets.size() < 100) other_offsets.push_back(offset);
  }
  ASSERT_NEAR(static_cast<double>(tail_offsets.size()), 298.0, 5.0 * std::sqrt(298.0));
  if (kSanitized) tail_offsets.resize(10);
  const auto tokens_at = [](const std::vector<uint64_t>& offsets) {
    BatchSpec spec = tail_draws(static_cast<int>(offsets.size()), 23);
    for (size_t i = 0; i < offsets.size(); ++i) spec.rows[i].offset = offsets[i];
    return run({TOKENDRAW_ALGORITHM_REJECTION, "", 2}, spec);
  };
  std::vector<int64_t> halves(2, 0);
  for (const RowResult& result : tokens_at(tail_offsets)) {
    EXPECT_NE(result.token, kHead);
    ++halves[result.token < kVocab / 2 ? 0 : 1];
  }
  EXPECT_GT(g_test(halves, {1, 1}, 1.0).p_value, kFalseAlarm);
  for (const RowResult& result : tokens_at(other_offsets)) EXPECT_EQ(result.token, kHead);
}

// The same where draws are too slow to count: each algorithm finds the token on either side of a boundary of the tail.
TEST_F(Case22_Tail, EveryTokenOfItHasItsPlace) {
  const OracleRow row = oracle_row(tail_draws(1, 0), 0);
  const std::vector<int32_t> ids = {0, 1, 31, 4095, 4096, 41233, 41235, 65535, 65536, 99998, 99999};
  BatchSpec spec = tail_draws(static_cast<int>(2 * ids.size()), 0);
  for (const int32_t id : ids) {
    // The smallest and the largest R with high64(R * S') inside the token's share.
    uint64_t before = 0;
    for (int32_t i = 0; i < id; ++i) before += row.weights[static_cast<size_t>(i)];
    const uint64_t after = before + row.weights[static_cast<size_t>(id)];
    __extension__ typedef unsigned __int128 Wide;
    const auto smallest = [&](uint64_t target) {
      const Wide mass = row.result.kept_mass;
      return target == 0 ? uint64_t{0} : static_cast<uint64_t>(((static_cast<Wide>(target) << 64) + mass - 1) / mass);
    };
    spec.random_u64.push_back(smallest(before));
    spec.random_u64.push_back(smallest(after) - 1);  // wraps to 2^64 - 1 behind the last token
  }
  for (const Variant& variant : exact_variants()) {
    const std::vector<RowResult> results = run(variant, spec);
    for (size_t i = 0; i < ids.size(); ++i) {
      EXPECT_EQ(results[2 * i].token, ids[i]) << to_text(variant);
      EXPECT_EQ(results[2 * i + 1].token, ids[i]) << to_text(variant);
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
