// SPDX-License-Identifier: Apache-2.0
// Inputs that other samplers got wrong, numbered as in support/case_rows.h; each runs on every algorithm and SIMD
// target. The filters at their edges: ties, exact shares, flat and ordered rows.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "support/answers.h"
#include "support/case_rows.h"
#include "support/random_rows.h"

namespace tokendraw::test {
namespace {

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
      EXPECT_EQ(result.kept_mass, kWeightOfBest);
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
      for (const Share& share : shares) rows.push_back(filtered(kBinaryTemperature, 0, share.top_p));
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
      {filtered(kBinaryTemperature, 2, 0.7f), {2, 2, 2}},         // 0.7 of 1.5 = 1.05; of 2: 1.4
      {filtered(kBinaryTemperature, 2, 0.6f), {1, 2, 1}},         // 0.9; 1.2
      {filtered(kBinaryTemperature, 0, 0.6f, 0.5f), {2, 2, 1}},   // of 2: 1.2, of 1.5: 0.9
      {filtered(kBinaryTemperature, 3, 0.55f, 0.5f), {1, 2, 1}},  // of 1.75: 0.9625, of 2: 1.1, of 1.5: 0.825
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
    const std::array<int32_t, 8> top_k = {0, -1, 1, vocab, vocab + 1, kMaxInt, kMinInt, 2};
    for (const int32_t k : top_k) rows.push_back(filtered(1.0f, k));
    const Answers answers = ask_everyone(one_row_many_parameters(logits, rows));
    for (const auto& results : {answers.exact, answers.rejection}) {
      for (size_t r = 0; r < top_k.size(); ++r) {
        EXPECT_EQ(results[r].kept, top_k[r] == 1 ? 1 : top_k[r] == 2 ? std::min(2, vocab) : vocab) << top_k[r];
      }
    }
  }
}

TEST(Case30, MinPAtTheThreshold) {
  const BatchSpec maxima =
      one_row_many_parameters({1.0f, 5.0f, 5.0f, 4.9999995f, 5.0f}, {filtered(1.0f, 0, 1.0f, 1.0f)});
  for (const RowResult& result : ask_everyone(maxima).all()) {
    EXPECT_EQ(result.kept, 3);
    EXPECT_TRUE(result.token == 1 || result.token == 2 || result.token == 4);
  }
  const BatchSpec halves = one_row_many_parameters(
      {0.0f, -1.0f, -2.0f, -3.0f, -42.0f, -43.0f},
      {filtered(kBinaryTemperature, 0, 1.0f, 0.25f), filtered(kBinaryTemperature, 0, 1.0f, 0.25000003f),
       filtered(kBinaryTemperature, 0, 1.0f, 0.24999999f), filtered(kBinaryTemperature, 0, 1.0f, 0x1p-42f),
       filtered(kBinaryTemperature, 0, 1.0f, 0x1p-60f), filtered(kBinaryTemperature, 0, 1.0f, 0x1.000002p-42f),
       filtered(kBinaryTemperature, 0, 1.0f, kTiny)});
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
        EXPECT_EQ(results[r].kept_mass, kVocab * kWeightOfBest);
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

// What an algorithm that looks at every n-th logit, or at groups of them, takes for the whole row.
TEST(Case33, PeriodicRows) {
  TestRandom random(34);
  for (const int32_t vocab : {5000, 40001}) {
    for (const int32_t period : {2, 3, 8, 61, 64, 78, 125, 156, 157, 256, 1000}) {
      std::vector<float> logits(static_cast<size_t>(vocab));
      const auto place = static_cast<size_t>(random.below(static_cast<uint64_t>(period)));
      for (size_t id = 0; id < logits.size(); ++id) {
        const bool large = id % static_cast<size_t>(period) == place;
        logits[id] = (large ? 6.0f : 0.0f) + 0.125f * random.normal();
      }
      const BatchSpec spec = one_row_many_parameters(
          logits, {filtered(1.0f, 0, 0.5f), filtered(1.0f, 0, 0.9f), filtered(1.0f, 0, 0.99f), filtered(1.0f, 50),
                   filtered(1.0f, vocab / period + 1), filtered(1.0f, 3000, 0.9f), filtered(1.0f, 0, 1.0f, 0.002f)});
      SCOPED_TRACE(std::to_string(vocab) + ", every " + std::to_string(period));
      ask_every_algorithm(spec);
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
