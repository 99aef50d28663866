// SPDX-License-Identifier: Apache-2.0
// Inputs that other samplers got wrong, numbered as in support/case_rows.h; each runs on every algorithm and SIMD
// target. Numbers that are no ordinary numbers: infinities, NaN, subnormals, temperatures, the ends of the random
// range.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "support/answers.h"
#include "support/case_rows.h"
#include "support/random_rows.h"

namespace tokendraw::test {
namespace {

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
        EXPECT_EQ(result.kept_mass, kWeightOfBest);
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
    EXPECT_EQ(result.kept_mass, kWeightOfBest);
    EXPECT_EQ(result.logprob, 0.0f);
  }
  const Answers answers = ask_everyone(one_row_many_parameters(twice, rows));
  const std::array<int64_t, 7> kept = {2, 2, 1, 2, 1, 1, 2};
  for (const auto& results : {answers.exact, answers.rejection}) {
    for (size_t r = 0; r < kept.size(); ++r) {
      EXPECT_EQ(results[r].kept, kept[r]) << r;
      EXPECT_EQ(results[r].kept_mass, static_cast<uint64_t>(kept[r]) * kWeightOfBest) << r;
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
      EXPECT_EQ(results[r].kept_mass, kWeightOfBest);
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
      EXPECT_EQ(results[r].kept_mass, 900 * kWeightOfBest);
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
