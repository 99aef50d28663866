// SPDX-License-Identifier: Apache-2.0
// Inputs that other samplers got wrong, numbered as in the collection from their issue trackers; each runs on every
// algorithm and SIMD target. Elsewhere: Case18 to Case20 in invariance_test.cpp, Case22 in distribution_test.cpp,
// Case23 in thread_test.cpp, Case37 in api_misuse_test.cpp, Case17 in large_batch_test.cpp. 21, 35 and 36 concern GPUs
// only.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "support/answers.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr uint64_t kOne = uint64_t{1} << 42;
constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr float kTiny = std::numeric_limits<float>::denorm_min();
// The temperature at which a logit one lower weighs exactly half.
constexpr float kBinary = 1.44269502162933349609375f;

RowSpec filtered(float temperature, int32_t top_k, float top_p = 1.0f, float min_p = 0.0f) {
  RowSpec row;
  row.temperature = temperature;
  row.top_k = top_k;
  row.top_p = top_p;
  row.min_p = min_p;
  row.seed = 42;
  return row;
}

// Rows of `logits`, one with each set of parameters.
BatchSpec one_row_many_parameters(const std::vector<float>& logits, const std::vector<RowSpec>& rows) {
  BatchSpec spec;
  spec.logits = {logits};
  spec.rows = rows;
  spec.row_index.assign(rows.size(), 0);
  for (size_t r = 0; r < rows.size(); ++r) spec.rows[r].offset = r;
  return spec;
}

void expect_no_token(const RowResult& result, uint32_t status, int32_t invalid_token = -1) {
  EXPECT_EQ(result.token, invalid_token);
  EXPECT_EQ(result.status, status);
  EXPECT_EQ(result.kept, 0);
  EXPECT_EQ(result.kept_mass, 0u);
  EXPECT_TRUE(std::isnan(result.logprob));
}

TEST(Case01, OneFiniteLogitAmongMinusInfinity) {
  for (const int32_t vocab : {1, 2, 33, 1000, 32001}) {
    for (const int32_t place : {0, vocab / 2, vocab - 1}) {
      std::vector<float> logits(static_cast<size_t>(vocab), -kInfinity);
      logits[static_cast<size_t>(place)] = -7.5f;
      const BatchSpec spec = one_row_many_parameters(logits, {filtered(1.0f, 1 << 30), filtered(1.0f, 0, 0.5f),
                                                              filtered(0.0f, 0), filtered(kInfinity, 3, 0.9f, 1.0f)});
      for (const RowResult& result : ask_everyone(spec).all()) {
        EXPECT_EQ(result.token, place);
        EXPECT_EQ(result.kept, 1);
        EXPECT_EQ(result.kept_mass, kOne);
        EXPECT_EQ(result.logprob, 0.0f);
      }
    }
  }
}

TEST(Case02, LargestRandomNumberTakesTheLastTokenOfPositiveWeight) {
  // After the last kept token come -inf, a token of weight 0 and one that top_k drops.
  std::vector<float> logits(300, 0.0f);
  logits[297] = -kInfinity;
  logits[298] = -50.0f;
  logits[299] = -kInfinity;
  BatchSpec spec = one_row_many_parameters(logits, {filtered(1.0f, 0), filtered(1.0f, 100), filtered(1.0f, 0, 0.5f)});
  spec.random_u64.assign(3, ~uint64_t{0});
  std::vector<RowResult> results = ask_everyone(spec).exact;
  EXPECT_EQ(results[0].token, 296);
  EXPECT_EQ(results[0].kept, 297);
  EXPECT_EQ(results[1].token, 99);
  EXPECT_EQ(results[2].token, 148);  // ceil(297 / 2) tokens
  spec.random_u64.clear();
  spec.random_f32.assign(3, 0.99999994f);
  results = ask_everyone(spec).exact;
  EXPECT_EQ(results[0].token, 296);
  EXPECT_EQ(results[1].token, 99);
  EXPECT_EQ(results[2].token, 148);
}

TEST(Case03, RandomZeroSkipsTokensWithoutWeight) {
  for (const float nothing : {-kInfinity, -100.0f, kNan}) {
    std::vector<float> logits(100, 1.0f);
    logits[0] = logits[1] = nothing;
    BatchSpec spec = one_row_many_parameters(logits, {filtered(1.0f, 0), filtered(1.0f, 5), filtered(1.0f, 0, 0.3f)});
    spec.random_u64.assign(3, 0);
    for (const RowResult& result : ask_everyone(spec).exact) EXPECT_EQ(result.token, 2);
    spec.random_u64.clear();
    spec.random_f32.assign(3, 0.0f);
    for (const RowResult& result : ask_everyone(spec).exact) EXPECT_EQ(result.token, 2);
  }
}

TEST(Case04, NanInOneRowLeavesTheOthersAlone) {
  TestRandom random(4);
  BatchSpec clean;
  for (uint64_t r = 0; r < 9; ++r) {
    clean.logits.push_back(make_logits(cases::RowKind::kNormal5, 777, TOKENDRAW_DTYPE_F32, random));
    clean.rows.push_back(filtered(1.0f, 40, 0.9f));
    clean.rows.back().offset = r;
  }
  const Answers before = ask_everyone(clean);
  BatchSpec dirty = clean;
  const int32_t drawn = before.exact[4].token;
  for (const int32_t id : {0, 5, drawn}) dirty.logits[4][static_cast<size_t>(id)] = kNan;
  dirty.logits[4][776] = -kNan;
  const Answers after = ask_everyone(dirty);
  EXPECT_EQ(after.exact[4].status, TOKENDRAW_ROW_NAN_LOGIT);
  EXPECT_NE(after.exact[4].token, drawn);
  EXPECT_GE(after.exact[4].token, 0);
  for (const size_t r : {0, 1, 2, 3, 5, 6, 7, 8}) {
    EXPECT_EQ(difference({before.exact[r]}, {after.exact[r]}, 0.0), "");
    EXPECT_EQ(difference({before.rejection[r]}, {after.rejection[r]}, 0.0), "");
  }
}

TEST(Case05, NothingToDrawIsAStatusNotAToken) {
  for (const int32_t vocab : {1, 7, 64, 1025, 5000}) {
    BatchSpec spec;
    spec.invalid_token = -77;
    const auto size = static_cast<size_t>(vocab);
    std::vector<float> mixed(size, -kInfinity);
    for (size_t i = 0; i < size; i += 2) mixed[i] = kNan;
    for (const std::vector<float>& logits :
         {std::vector<float>(size, kNan), std::vector<float>(size, -kInfinity), mixed}) {
      for (const RowSpec& row : {filtered(1.0f, 0), filtered(0.0f, 0), filtered(0.7f, 3, 0.9f, 0.1f)}) {
        spec.logits.push_back(logits);
        spec.rows.push_back(row);
      }
    }
    const Answers answers = ask_everyone(spec);
    for (const auto& results : {answers.exact, answers.rejection}) {
      for (size_t r = 0; r < 9; ++r) {
        const uint32_t nan = r / 3 == 1 ? 0u : static_cast<uint32_t>(TOKENDRAW_ROW_NAN_LOGIT);
        expect_no_token(results[r], nan | TOKENDRAW_ROW_NO_CANDIDATE, -77);
      }
    }
  }
}

TEST(Case06, InfinityOnceAndTwice) {
  TestRandom random(6);
  std::vector<float> once = make_logits(cases::RowKind::kNormal1, 500, TOKENDRAW_DTYPE_F32, random);
  once[123] = kInfinity;
  std::vector<float> twice = once;
  twice[400] = kInfinity;
  const std::vector<RowSpec> rows = {filtered(1.0f, 0),
                                     filtered(1.0f, 50, 0.9f),
                                     filtered(0.0f, 0),
                                     filtered(kInfinity, 0),
                                     filtered(2.0f, 0, 0.5f),
                                     filtered(1.0f, 1),
                                     filtered(1.0f, 0, 1.0f, 1.0f)};
  for (const RowResult& result : ask_everyone(one_row_many_parameters(once, rows)).all()) {
    EXPECT_EQ(result.token, 123);
    EXPECT_EQ(result.status, 0u);
    EXPECT_EQ(result.kept, 1);
    EXPECT_EQ(result.kept_mass, kOne);
    EXPECT_EQ(result.logprob, 0.0f);
  }
  const Answers answers = ask_everyone(one_row_many_parameters(twice, rows));
  const std::array<int64_t, 7> kept = {2, 2, 1, 2, 1, 1, 2};
  for (const auto& results : {answers.exact, answers.rejection}) {
    for (size_t r = 0; r < kept.size(); ++r) {
      EXPECT_EQ(results[r].kept, kept[r]) << r;
      EXPECT_EQ(results[r].kept_mass, static_cast<uint64_t>(kept[r]) * kOne) << r;
      EXPECT_TRUE(results[r].token == 123 || (kept[r] == 2 && results[r].token == 400)) << results[r].token;
      EXPECT_NEAR(results[r].logprob, -std::log(2.0f), 1e-6);
    }
  }
}

TEST(Case07, Bf16RowsOfMinusInfinityWithTopK1) {
  BatchSpec spec;
  spec.dtype = TOKENDRAW_DTYPE_BF16;
  for (int r = 0; r < 4; ++r) {
    spec.logits.emplace_back(32000, -kInfinity);
    spec.rows.push_back(filtered(1.0f, 1));
  }
  spec.logits[2][31999] = -3.0f;
  const Answers answers = ask_everyone(spec);
  for (const auto& results : {answers.exact, answers.rejection}) {
    for (const size_t r : {0, 1, 3}) expect_no_token(results[r], TOKENDRAW_ROW_NO_CANDIDATE);
    EXPECT_EQ(results[2].token, 31999);
  }
}

TEST(Case08, SubnormalLogitsAndTemperatures) {
  TestRandom random(8);
  for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    const std::vector<float> logits = make_logits(cases::RowKind::kSubnormal, 700, dtype, random);
    std::vector<RowSpec> rows;
    for (const float temperature : {kTiny, 0x1p-127f, 1.3e-38f, 0x1p-126f, 4.3e-39f, 1e-30f, 1.0f, kInfinity}) {
      rows.push_back(filtered(temperature, 0));
      rows.push_back(filtered(temperature, 9, 0.7f));
      rows.push_back(filtered(temperature, 0, 0.9f, 0.25f));
    }
    BatchSpec spec = one_row_many_parameters(logits, rows);
    spec.dtype = dtype;
    for (const RowResult& result : ask_everyone(spec).all()) EXPECT_EQ(result.status, 0u);
  }
}

TEST(Case08, AdjacentFloatsAtTheCut) {
  // 200 neighbouring floats, shuffled: every cut lies between two of them.
  for (const float start : {1.0f, -1.0f, 0.0f, 20.0f, -kTiny}) {
    std::vector<float> logits;
    float value = start;
    for (int i = 0; i < 200; ++i, value = std::nextafter(value, kInfinity)) logits.push_back(value);
    for (size_t i = 0; i < logits.size(); ++i) std::swap(logits[i], logits[(i * 77 + 13) % logits.size()]);
    std::vector<RowSpec> rows;
    for (const int32_t k : {1, 2, 99, 100, 101, 199}) rows.push_back(filtered(1e-7f, k));
    for (const float p : {0.1f, 0.5f, 0.9f}) rows.push_back(filtered(1.0f, 0, p));
    rows.push_back(filtered(1.0f, 0, 1.0f, 1.0f));
    rows.push_back(filtered(1.0f, 0, 1.0f, 0.99999994f));
    const Answers answers = ask_everyone(one_row_many_parameters(logits, rows));
    EXPECT_EQ(answers.exact[0].kept, 1);
    EXPECT_EQ(answers.exact[3].kept, answers.rejection[3].kept);
  }
}

TEST(Case09, TiesAtRankKNeverLetTheLaterIdIn) {
  const std::vector<float> logits = {std::log(0.4f), std::log(0.3f), std::log(0.3f), -kInfinity};
  RowSpec row = filtered(1.0f, 2);
  const BatchSpec spec = repeated_draws(logits, row, 2000);
  int64_t ones = 0;
  const Answers answers = ask_everyone(spec);
  for (const RowResult& result : answers.all()) {
    EXPECT_TRUE(result.token == 0 || result.token == 1) << result.token;
    EXPECT_EQ(result.kept, 2);
    ones += result.token;
  }
  EXPECT_GT(ones, 1000);  // and the earlier of the tied ids is drawn
}

TEST(Case10, TopK1WithEqualMaximaIsGreedy) {
  for (const int32_t first : {0, 1, 63, 64, 1500, 2047}) {
    std::vector<float> logits(2048, -1.0f);
    for (const int32_t id : {first, 2047, (first + 2047) / 2}) logits[static_cast<size_t>(id)] = 3.0f;
    const BatchSpec spec =
        one_row_many_parameters(logits, {filtered(1.0f, 1), filtered(0.0f, 0), filtered(5.0f, 1, 0.3f),
                                         filtered(1.0f, 0, 0.0f), filtered(1e-40f, 7), filtered(1.0f, 0, -1.0f)});
    for (const RowResult& result : ask_everyone(spec).all()) {
      EXPECT_EQ(result.token, first);
      EXPECT_EQ(result.kept, 1);
      EXPECT_EQ(result.kept_mass, kOne);
    }
  }
}

TEST(Case11, AllLogitsEqual) {
  for (const int32_t vocab : {50, 51, 100, 101, 4097, 32001}) {
    for (const float value : {0.0f, -0.0f, 2.5f, -1e30f}) {
      const std::vector<float> logits(static_cast<size_t>(vocab), value);
      const BatchSpec spec =
          one_row_many_parameters(logits, {filtered(1.0f, 50), filtered(1.0f, 0, 0.5f), filtered(1.0f, 50, 0.5f),
                                           filtered(1.0f, 0), filtered(1.0f, 0, 1.0f, 1.0f)});
      const std::array<int64_t, 5> kept = {50, (vocab + 1) / 2, 25, vocab, vocab};
      const Answers answers = vocab > 5000 ? ask_every_algorithm(spec) : ask_everyone(spec);
      for (const auto& results : {answers.exact, answers.rejection}) {
        for (size_t r = 0; r < kept.size(); ++r) {
          EXPECT_EQ(results[r].kept, kept[r]);
          EXPECT_LT(results[r].token, kept[r]);  // ties go to the smaller ids
          EXPECT_GE(results[r].token, 0);
        }
      }
    }
  }
}

TEST(Case12, ExactSharesLoseAndGainNoToken) {
  struct Share {
    float top_p;
    int64_t kept;
  };
  const std::array<Share, 9> shares = {Share{0.5f, 1}, {0.50000006f, 2}, {0.49999997f, 1},
                                       {0.75f, 2},     {0.75000006f, 3}, {0.74999994f, 2},
                                       {0.875f, 3},    {0.87500006f, 4}, {1.0f, 4}};
  // In order, in reverse order, and spread over a larger row.
  std::vector<float> spread(100, -kInfinity);
  spread[90] = 0.0f;
  spread[17] = -1.0f;
  spread[64] = spread[3] = -2.0f;
  for (const std::vector<float>& logits :
       {std::vector<float>{0.0f, -1.0f, -2.0f, -2.0f}, std::vector<float>{-2.0f, -2.0f, -1.0f, 0.0f}, spread}) {
    for (const auto base : {TOKENDRAW_TOP_P_AFTER_TOP_K, TOKENDRAW_TOP_P_ALL, TOKENDRAW_TOP_P_AFTER_ALL}) {
      std::vector<RowSpec> rows;
      for (const Share& share : shares) rows.push_back(filtered(kBinary, 0, share.top_p));
      BatchSpec spec = one_row_many_parameters(logits, rows);
      spec.top_p_base = base;
      const Answers answers = ask_everyone(spec);
      for (const auto& results : {answers.exact, answers.rejection}) {
        for (size_t r = 0; r < shares.size(); ++r) EXPECT_EQ(results[r].kept, shares[r].kept) << shares[r].top_p;
      }
    }
  }
}

TEST(Case12, TheBaseOfTopPDecidesWhatItIsAShareOf) {
  // Weights 1, 1/2, 1/4, 1/8, 1/16, 1/16 of the largest; top_k = 2 keeps 3/4 of the mass, min_p = 1/2 the same two.
  const std::vector<float> logits = {0.0f, -1.0f, -2.0f, -3.0f, -4.0f, -4.0f};
  struct BaseCase {
    RowSpec row;
    std::array<int64_t, 3> kept;  // AFTER_TOP_K, ALL, AFTER_ALL
  };
  const std::vector<BaseCase> base_cases = {
      {filtered(kBinary, 2, 0.7f), {2, 2, 2}},         // 0.7 of 1.5 = 1.05; of 2: 1.4
      {filtered(kBinary, 2, 0.6f), {1, 2, 1}},         // 0.9; 1.2
      {filtered(kBinary, 0, 0.6f, 0.5f), {2, 2, 1}},   // of 2: 1.2, of 1.5: 0.9
      {filtered(kBinary, 3, 0.55f, 0.5f), {1, 2, 1}},  // of 1.75: 0.9625, of 2: 1.1, of 1.5: 0.825
  };
  for (const BaseCase& base_case : base_cases) {
    for (const auto base : {TOKENDRAW_TOP_P_AFTER_TOP_K, TOKENDRAW_TOP_P_ALL, TOKENDRAW_TOP_P_AFTER_ALL}) {
      BatchSpec spec = single_row(logits, base_case.row);
      spec.top_p_base = base;
      for (const RowResult& result : ask_everyone(spec).all()) {
        EXPECT_EQ(result.kept, base_case.kept[static_cast<size_t>(base)]) << tokendraw_top_p_base_name(base);
      }
    }
  }
}

TEST(Case13, TopPAtItsEnds) {
  TestRandom random(13);
  for (const auto kind : {cases::RowKind::kNormal1, cases::RowKind::kEqual, cases::RowKind::kOneFinite}) {
    const std::vector<float> logits = make_logits(kind, 4001, TOKENDRAW_DTYPE_F32, random);
    const BatchSpec spec = one_row_many_parameters(
        logits, {filtered(1.0f, 0, 1e-10f), filtered(1.0f, 0, kTiny), filtered(1.0f, 0, 0.0f), filtered(1.0f, 0, -1.0f),
                 filtered(1.0f, 0, -kInfinity), filtered(1.0f, 0, 0.99999994f), filtered(1.0f, 0, 1.0f),
                 filtered(1.0f, 0, kInfinity)});
    const Answers answers = ask_everyone(spec);
    const int64_t all = answers.exact[6].kept;
    for (const auto& results : {answers.exact, answers.rejection}) {
      for (size_t r = 0; r < 5; ++r) EXPECT_EQ(results[r].kept, 1);
      EXPECT_GE(results[5].kept, std::max<int64_t>(1, all - 1));
      EXPECT_EQ(results[6].kept, kind == cases::RowKind::kOneFinite ? 1 : 4001);
      EXPECT_EQ(results[7].kept, all);
    }
  }
}

TEST(Case14, TopKOfEveryKindInOneBatch) {
  TestRandom random(14);
  for (const int32_t vocab : {1, 2, 100, 4000}) {
    const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, vocab, TOKENDRAW_DTYPE_F32, random);
    std::vector<RowSpec> rows;
    const std::array<int32_t, 8> top_k = {0, -1, 1, vocab, vocab + 1, kMaxInt, std::numeric_limits<int32_t>::min(), 2};
    for (const int32_t k : top_k) rows.push_back(filtered(1.0f, k));
    const Answers answers = ask_everyone(one_row_many_parameters(logits, rows));
    for (const auto& results : {answers.exact, answers.rejection}) {
      for (size_t r = 0; r < top_k.size(); ++r) {
        EXPECT_EQ(results[r].kept, top_k[r] == 1 ? 1 : top_k[r] == 2 ? std::min(2, vocab) : vocab) << top_k[r];
      }
    }
  }
}

TEST(Case15, GreedyRowsAmongRandomRows) {
  TestRandom random(15);
  BatchSpec spec;
  for (int r = 0; r < 12; ++r) {
    spec.logits.push_back(make_logits(cases::RowKind::kNormal1, 1500, TOKENDRAW_DTYPE_F32, random));
    spec.rows.push_back(filtered(r % 3 == 1 ? 0.0f : r % 3 == 2 ? -0.0f : 1.0f, 0));
  }
  const Answers answers = ask_everyone(spec);
  for (const auto& results : {answers.exact, answers.rejection}) {
    for (size_t r = 0; r < results.size(); ++r) {
      const std::vector<float>& x = spec.logits[r];
      if (r % 3 == 0) {
        EXPECT_EQ(results[r].kept, 1500);
        continue;
      }
      EXPECT_EQ(results[r].token, std::max_element(x.begin(), x.end()) - x.begin());
      EXPECT_EQ(results[r].kept, 1);
      EXPECT_EQ(results[r].kept_mass, kOne);
    }
  }
}

TEST(Case16, TemperaturesFarFromOne) {
  TestRandom random(16);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal5, 900, TOKENDRAW_DTYPE_F32, random);
  const auto best = static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  const std::vector<float> temperatures = {1e-40f, 1e-5f, 1e-3f,  1e30f,      kInfinity,
                                           kNan,   -1.0f, -kTiny, -kInfinity, 1.0f};
  std::vector<RowSpec> rows;
  for (const float temperature : temperatures) rows.push_back(filtered(temperature, 0));
  const Answers answers = ask_everyone(one_row_many_parameters(logits, rows));
  for (const auto& results : {answers.exact, answers.rejection}) {
    for (size_t r = 0; r < 3; ++r) EXPECT_EQ(results[r].token, best);  // the second best is too far behind
    for (const size_t r : {3, 4}) {
      EXPECT_EQ(results[r].kept, 900);
      EXPECT_EQ(results[r].kept_mass, 900 * kOne);
      EXPECT_NEAR(results[r].logprob, -std::log(900.0f), 1e-5);
    }
    for (size_t r = 5; r < 9; ++r) expect_no_token(results[r], TOKENDRAW_ROW_BAD_PARAMETER);
    EXPECT_EQ(results[9].status, 0u);
  }
}

TEST(Case16, OtherParametersWithoutMeaningAreBadAlone) {
  std::vector<float> logits(50, kNan);  // BAD_PARAMETER stands alone, without NAN_LOGIT or NO_CANDIDATE
  const BatchSpec spec = one_row_many_parameters(
      logits, {filtered(1.0f, 0, kNan), filtered(1.0f, 0, 1.0f, kNan), filtered(1.0f, 0, 1.0f, 1.0000001f),
               filtered(1.0f, 0, 1.0f, kInfinity), filtered(0.0f, 0, kNan), filtered(kNan, 1)});
  for (const RowResult& result : ask_everyone(spec).all()) expect_no_token(result, TOKENDRAW_ROW_BAD_PARAMETER);
  BatchSpec floats = one_row_many_parameters(std::vector<float>(50, 1.0f), std::vector<RowSpec>(6));
  floats.random_f32 = {1.0f, kNan, -kTiny, kInfinity, -1.0f, 0.5f};
  const std::vector<RowResult> results = ask_everyone(floats).exact;
  for (size_t r = 0; r < 5; ++r) expect_no_token(results[r], TOKENDRAW_ROW_BAD_PARAMETER);
  EXPECT_EQ(results[5].token, 25);
}

TEST(Case24, VocabularySizes) {
  TestRandom random(24);
  const std::vector<int32_t> sizes = {1,    2,     3,     31,     32,     33,     1023,   1024,
                                      1025, 32001, 50257, 128256, 151665, 201088, 262144, 1 << 21};
  const std::array<TokendrawDtype, 3> dtypes = {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16};
  for (size_t i = 0; i < sizes.size(); ++i) {
    const int32_t vocab = sizes[i];
    if (kSanitized && vocab > 300000) continue;
    const bool large = vocab > 2000;
    for (size_t d = 0; d < dtypes.size(); ++d) {
      if (large && d != i % 3) continue;
      BatchSpec spec;
      spec.dtype = dtypes[d];
      for (const auto kind : {cases::RowKind::kNormal1, cases::RowKind::kNormal5}) {
        spec.logits.push_back(make_logits(kind, vocab, spec.dtype, random));
      }
      for (const RowSpec& row : {filtered(1.0f, 50, 0.9f), filtered(1.0f, 0), filtered(1.0f, 0, 0.9f)}) {
        for (const int32_t source : {0, 1}) {
          spec.rows.push_back(row);
          spec.row_index.push_back(source);
        }
      }
      for (const RowResult& result : ask_everyone(spec).all()) {
        EXPECT_EQ(result.status, 0u);
        EXPECT_TRUE(result.token >= 0 && result.token < vocab);
      }
    }
  }
}

TEST(Case25, PaddedColumnsAndMisalignedRows) {
  TestRandom random(25);
  for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    for (const int32_t vocab : {1, 17, 1000}) {
      BatchSpec spec;
      spec.dtype = dtype;
      for (int r = 0; r < 5; ++r) {
        spec.logits.push_back(make_logits(cases::RowKind::kNormal1, vocab, dtype, random));
        spec.rows.push_back(r % 2 == 0 ? filtered(1.0f, 0) : filtered(1.0f, 20, 0.9f));
      }
      const Answers packed = ask_everyone(spec);
      for (int64_t lead = 0; lead < 3; ++lead) {
        for (const int64_t padding : {1, 7, 64}) {
          Layout layout;  // the columns between rows hold +inf
          layout.lead_elements = lead;
          layout.padding_columns = padding;
          const Answers padded = ask_everyone(spec, layout);
          EXPECT_EQ(difference(packed.exact, padded.exact, 0.0), "");
        }
      }
    }
  }
}

TEST(Case26, IdsOutsideTheVocabularyAreIgnoredAndReported) {
  const std::vector<float> logits = {1.0f, 2.0f, 3.0f, 4.0f, 5.0f};
  RowSpec biased = filtered(0.0f, 0);
  biased.sparse_bias = {
      {-1, 100.0f}, {5, 100.0f}, {kMaxInt, 100.0f}, {std::numeric_limits<int32_t>::min(), 9.0f}, {1, 10.0f}};
  RowSpec penalised = filtered(0.0f, 0);
  penalised.history = {{-1, 1}, {4, 1}, {5, 1}, {kMaxInt, 3}};
  penalised.repetition_penalty = 2.0f;
  RowSpec fine = filtered(0.0f, 0);
  fine.sparse_bias = {{0, 10.0f}};
  BatchSpec spec = one_row_many_parameters(logits, {biased, penalised, fine});
  const Answers answers = ask_everyone(spec);
  for (const auto& results : {answers.exact, answers.rejection}) {
    EXPECT_EQ(results[0].token, 1);
    EXPECT_EQ(results[0].status, TOKENDRAW_ROW_BAD_ID);
    EXPECT_EQ(results[1].token, 3);
    EXPECT_EQ(results[1].status, TOKENDRAW_ROW_BAD_ID);
    EXPECT_EQ(results[2].token, 0);
    EXPECT_EQ(results[2].status, 0u);
  }
}

TEST(Case26, AnIdListedTwiceCountsOnce) {
  const std::vector<float> logits = {1.0f, 2.0f, 3.0f};
  RowSpec biased = filtered(0.0f, 0);
  biased.sparse_bias = {{0, 1.5f}, {0, 50.0f}, {0, -kInfinity}};
  RowSpec penalised = filtered(0.0f, 0);
  penalised.history = {{2, 1}, {2, 5}};
  penalised.presence_penalty = 0.75f;
  const Answers answers = ask_everyone(one_row_many_parameters(logits, {biased, penalised}));
  for (const auto& results : {answers.exact, answers.rejection}) {
    EXPECT_EQ(results[0].token, 2);  // 2.5 < 3
    EXPECT_EQ(results[0].status, TOKENDRAW_ROW_BAD_ID);
    EXPECT_EQ(results[1].token, 2);  // 2.25 > 2
    EXPECT_EQ(results[1].status, TOKENDRAW_ROW_BAD_ID);
  }
}

TEST(Case27, MasksThatLeaveNothing) {
  for (const int32_t vocab : {1, 31, 32, 33, 1000}) {
    TestRandom random(27);
    RowSpec none = filtered(1.0f, 0);
    none.mask.assign(static_cast<size_t>(vocab + 31) / 32, 0);
    if (vocab % 32 != 0) none.mask.back() = ~0u << (vocab % 32);  // bits past the vocabulary mean nothing
    RowSpec some = none;
    some.mask[static_cast<size_t>(vocab - 1) / 32] |= 1u << ((vocab - 1) % 32);
    RowSpec greedy = none;
    greedy.temperature = 0.0f;
    const BatchSpec spec = one_row_many_parameters(
        make_logits(cases::RowKind::kNormal1, vocab, TOKENDRAW_DTYPE_F32, random), {none, some, greedy});
    const Answers answers = ask_everyone(spec);
    for (const auto& results : {answers.exact, answers.rejection}) {
      expect_no_token(results[0], TOKENDRAW_ROW_NO_CANDIDATE);
      EXPECT_EQ(results[1].token, vocab - 1);
      EXPECT_EQ(results[1].kept, 1);
      expect_no_token(results[2], TOKENDRAW_ROW_NO_CANDIDATE);
    }
  }
}

TEST(Case28, AMaskedTokenIsNotRevived) {
  const int32_t vocab = 70;
  std::vector<float> logits(static_cast<size_t>(vocab), 0.0f);
  logits[3] = 50.0f;
  logits[64] = -kInfinity;
  RowSpec dense = filtered(1.0f, 0);
  dense.mask = mask_without(vocab, {3, 65});
  dense.dense_bias.assign(static_cast<size_t>(vocab), 0.0f);
  for (const size_t id : {3, 64, 65}) dense.dense_bias[id] = kInfinity;
  RowSpec nan_bias = dense;
  for (const size_t id : {3, 64, 65}) nan_bias.dense_bias[id] = kNan;
  for (const RowResult& result : ask_everyone(one_row_many_parameters(logits, {dense, nan_bias})).all()) {
    EXPECT_EQ(result.kept, vocab - 3);
    EXPECT_EQ(result.status, 0u);
  }
  RowSpec sparse = filtered(1.0f, 0);
  sparse.mask = mask_without(vocab, {3, 65});
  sparse.sparse_bias = {{3, 1e30f}, {64, kInfinity}, {65, 100.0f}};
  sparse.history = {{3, 9}, {64, 9}, {65, 9}};
  sparse.repetition_penalty = 0.01f;
  sparse.frequency_penalty = -1e30f;
  sparse.presence_penalty = -1e30f;
  for (const RowResult& result : ask_everyone(one_row_many_parameters(logits, {sparse, sparse})).all()) {
    EXPECT_EQ(result.kept, vocab - 3);
    EXPECT_EQ(result.status, 0u);
  }
}

TEST(Case29, RepetitionPenaltyCountsOnceAndNeverHelps) {
  // At temperature kBinary, kept_mass tells the penalised weights apart. Logits 2, -1, 0 and an anchor at 4.
  const std::vector<float> logits = {2.0f, -1.0f, 0.0f, 4.0f};
  RowSpec row = filtered(kBinary, 0);
  row.repetition_penalty = 2.0f;
  row.history = {{0, 7}, {1, 7}, {2, 7}};
  for (const RowResult& result : ask_everyone(single_row(logits, row)).all()) {
    EXPECT_EQ(result.kept_mass, kOne + (kOne >> 3) + (kOne >> 6) + (kOne >> 4));  // 1, -2, 0 below 4
  }
  Layout no_counts;
  no_counts.omit_history_counts = true;
  BatchSpec once = single_row(logits, row);
  for (HistoryEntry& entry : once.rows[0].history) entry.count = 1;
  once.rows[0].frequency_penalty = 1.0f;
  for (const RowResult& result : ask_everyone(once, no_counts).all()) {
    EXPECT_EQ(result.kept_mass, kOne + (kOne >> 4) + (kOne >> 7) + (kOne >> 5));  // one lower each: counts of 1
  }
  BatchSpec prompt_only = once;
  for (HistoryEntry& entry : prompt_only.rows[0].history) entry.count = 0;
  prompt_only.rows[0].presence_penalty = 3.0f;
  for (const RowResult& result : ask_everyone(prompt_only).all()) {
    EXPECT_EQ(result.kept_mass, kOne + (kOne >> 3) + (kOne >> 6) + (kOne >> 4));  // repetition only
  }
}

TEST(Case30, MinPAtTheThreshold) {
  const BatchSpec maxima =
      one_row_many_parameters({1.0f, 5.0f, 5.0f, 4.9999995f, 5.0f}, {filtered(1.0f, 0, 1.0f, 1.0f)});
  for (const RowResult& result : ask_everyone(maxima).all()) {
    EXPECT_EQ(result.kept, 3);
    EXPECT_TRUE(result.token == 1 || result.token == 2 || result.token == 4);
  }
  const BatchSpec halves =
      one_row_many_parameters({0.0f, -1.0f, -2.0f, -3.0f, -42.0f, -43.0f},
                              {filtered(kBinary, 0, 1.0f, 0.25f), filtered(kBinary, 0, 1.0f, 0.25000003f),
                               filtered(kBinary, 0, 1.0f, 0.24999999f), filtered(kBinary, 0, 1.0f, 0x1p-42f),
                               filtered(kBinary, 0, 1.0f, 0x1p-60f), filtered(kBinary, 0, 1.0f, 0x1.000002p-42f),
                               filtered(kBinary, 0, 1.0f, kTiny)});
  const std::array<int64_t, 7> kept = {3, 2, 3, 5, 5, 4, 5};
  const Answers answers = ask_everyone(halves);
  for (const auto& results : {answers.exact, answers.rejection}) {
    for (size_t r = 0; r < kept.size(); ++r) EXPECT_EQ(results[r].kept, kept[r]) << r;
  }
}

TEST(Case31, FlatRowsOf16BitLogitsDoNotSaturateTheSum) {
  constexpr int32_t kVocab = 131072;
  for (const auto dtype : {TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    for (const float value : {0.0f, 5.0f, dtype == TOKENDRAW_DTYPE_F16 ? 65504.0f : 0x1.fep127f}) {
      BatchSpec spec = one_row_many_parameters(std::vector<float>(kVocab, value), std::vector<RowSpec>(5));
      spec.dtype = dtype;
      spec.random_u64 = {0, ~uint64_t{0}, uint64_t{1} << 63, uint64_t{1} << 47, (uint64_t{1} << 47) - 1};
      const std::vector<RowResult> results = ask_every_algorithm(spec).exact;
      const std::array<int32_t, 5> tokens = {0, kVocab - 1, kVocab / 2, 1, 0};
      for (size_t r = 0; r < tokens.size(); ++r) {
        EXPECT_EQ(results[r].token, tokens[r]);
        EXPECT_EQ(results[r].kept, kVocab);
        EXPECT_EQ(results[r].kept_mass, kVocab * kOne);
        EXPECT_NEAR(results[r].logprob, -17.0 * std::log(2.0), 2e-6);
      }
    }
  }
}

TEST(Case32, TopKAllInOnePlace) {
  TestRandom random(32);
  constexpr int32_t kVocab = 20011;  // no multiple of any vector
  for (const int32_t k : {1, 8, 50}) {
    for (const char* where :
         {"one lane of 16", "one lane of 8", "one slice", "the end", "the beginning", "every 257th"}) {
      std::vector<float> logits = make_logits(cases::RowKind::kNormal1, kVocab, TOKENDRAW_DTYPE_F32, random);
      const std::string name = where;
      for (int32_t i = 0; i < k; ++i) {
        const int32_t id = name == "one lane of 16"  ? 16 * i + 5
                           : name == "one lane of 8" ? 8 * i + 7
                           : name == "one slice"     ? 9000 + i
                           : name == "the end"       ? kVocab - 1 - i
                           : name == "the beginning" ? i
                                                     : 257 * i + 3;
        logits[static_cast<size_t>(id)] = 10.0f + 0.01f * static_cast<float>((i * 7) % k);
      }
      const BatchSpec spec = one_row_many_parameters(
          logits, {filtered(1.0f, k), filtered(1.0f, k - 1, 0.95f), filtered(1.0f, k + 1), filtered(1.0f, 0, 0.5f)});
      SCOPED_TRACE(name + ", k = " + std::to_string(k));
      const Answers answers = ask_everyone(spec);
      EXPECT_EQ(answers.exact[0].kept, k);
      EXPECT_GE(logits[static_cast<size_t>(answers.exact[0].token)], 10.0f);
    }
  }
}

TEST(Case33, OrderedAndTwoValuedRows) {
  TestRandom random(33);
  for (const auto kind : {cases::RowKind::kAscending, cases::RowKind::kDescending, cases::RowKind::kTwoValued,
                          cases::RowKind::kManyBest, cases::RowKind::kStairs}) {
    for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_BF16}) {
      for (const int32_t vocab : {1000, 32001}) {
        const std::vector<float> logits = make_logits(kind, vocab, dtype, random);
        BatchSpec spec = one_row_many_parameters(
            logits, {filtered(1.0f, 50), filtered(1.0f, 0, 0.9f), filtered(1.0f, 50, 0.9f), filtered(1.0f, 0),
                     filtered(1.0f, vocab / 2), filtered(1.0f, vocab - 1, 0.999f), filtered(1.0f, 0, 1.0f, 0.5f)});
        spec.dtype = dtype;
        SCOPED_TRACE(cases::row_kind_name(kind));
        EXPECT_EQ(ask_everyone(spec).exact[0].kept, 50);
      }
    }
  }
}

TEST(Case34, LogProbabilityAmongTiesAndMinusInfinity) {
  const std::vector<float> logits = {-kInfinity, 1.0f, 1.0f, -kInfinity, 1.0f, 1.0f};
  BatchSpec spec = one_row_many_parameters(logits, {filtered(1.0f, 0), filtered(1.0f, 2), filtered(0.0f, 0),
                                                    filtered(0.5f, 0, 0.3f), filtered(kInfinity, 0)});
  for (const RowResult& result : ask_everyone(spec).all()) EXPECT_NEAR(result.logprob, -std::log(4.0), 1e-6);
  // Before the filters, after temperature: 1 / (1 + e^-2) and, greedy, 1 / (1 + e^-1).
  spec = one_row_many_parameters({3.0f, 2.0f}, {filtered(0.5f, 1), filtered(0.0f, 0)});
  const std::vector<RowResult> results = ask_everyone(spec).exact;
  EXPECT_NEAR(results[0].logprob, -std::log1p(std::exp(-2.0)), 1e-6);
  EXPECT_NEAR(results[1].logprob, -std::log1p(std::exp(-1.0)), 1e-6);
  // Far below the best token, yet finite and exact: drawn by a random number in its share.
  spec = one_row_many_parameters({0.0f, -25.0f}, {filtered(1.0f, 0)});
  spec.random_u64 = {~uint64_t{0}};
  const RowResult light = ask_everyone(spec).exact[0];
  EXPECT_EQ(light.token, 1);
  EXPECT_NEAR(light.logprob, -25.0, 2e-6);
}

}  // namespace
}  // namespace tokendraw::test
