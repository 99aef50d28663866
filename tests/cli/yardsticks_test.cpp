// SPDX-License-Identifier: Apache-2.0
// What measures must itself be right: the bench's two yardsticks, the G-test, and the case list.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

#include "case_batch.h"
#include "case_random.h"
#include "cases.h"
#include "distribution.h"
#include "one_read.h"
#include "sort_baseline.h"
#include "stored_logit.h"

namespace tokendraw::cli_test {
namespace {

using namespace tokendraw::cases;

TEST(OneRead, IsTheMaximum) {
  for (const TokendrawDtype dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    for (const int32_t vocab : {1, 2, 31, 32, 33, 127, 128, 129, 1025, 5000}) {
      for (const float shift : {0.0f, -100.0f, 100.0f}) {  // mixed signs, all negative, all positive
        std::vector<float> storage(static_cast<size_t>(vocab));
        float expected = -std::numeric_limits<float>::infinity();
        for (int32_t i = 0; i < vocab; ++i) {
          const auto x = static_cast<float>(hash_normal(static_cast<uint64_t>(vocab), static_cast<uint64_t>(i)));
          store_logit_bits(storage.data(), i, dtype, encode_logit(x + shift, dtype));
          expected = std::max(expected, load_logit(storage.data(), i, dtype));
        }
        EXPECT_EQ(cli::one_read_max(storage.data(), vocab, dtype), expected) << vocab << " " << shift;
      }
    }
  }
}

// The best value at each place in turn: no lane and no tail is left out.
TEST(OneRead, LooksEverywhere) {
  for (int64_t place = 0; place < 600; ++place) {
    std::vector<uint16_t> row(600, 0xbf80);  // -1
    row[static_cast<size_t>(place)] = 0xbf00;
    EXPECT_EQ(cli::one_read_max(row.data(), 600, TOKENDRAW_DTYPE_BF16), -0.5f) << place;
    std::vector<float> floats(600, -1.0f);
    floats[static_cast<size_t>(place)] = -0.5f;
    EXPECT_EQ(cli::one_read_max(floats.data(), 600, TOKENDRAW_DTYPE_F32), -0.5f) << place;
  }
}

TEST(SortBaseline, DrawsFromTheKeptTokens) {
  // Shares 1/2, 1/4, 1/8, 1/8 at T = log2(e).
  const std::vector<float> row = {-3.0f, 0.0f, -3.0f, -1.0f, -2.0f};
  const auto sample = [&](FilterSetting setting, TokendrawTopPBase base, double u) {
    cli::SortBaseline baseline;
    setting.temperature = setting.temperature == 0.0f ? 0.0f : kBinaryTemperature;
    return baseline.sample(row.data(), 5, TOKENDRAW_DTYPE_F32, setting, base, u);
  };
  const auto after_top_k = TOKENDRAW_TOP_P_AFTER_TOP_K;
  EXPECT_EQ(sample({0.0f, 0, 1.0f, 0.0f}, after_top_k, 0.9), 1);
  EXPECT_EQ(sample({1.0f, 2, 1.0f, 0.0f}, after_top_k, 0.0), 1);
  EXPECT_EQ(sample({1.0f, 2, 1.0f, 0.0f}, after_top_k, 0.99), 3);
  EXPECT_EQ(sample({1.0f, 0, 0.75f, 0.0f}, after_top_k, 0.99), 3);
  EXPECT_EQ(sample({1.0f, 2, 0.6f, 0.0f}, after_top_k, 0.99), 1);
  EXPECT_EQ(sample({1.0f, 2, 0.6f, 0.0f}, TOKENDRAW_TOP_P_ALL, 0.99), 3);
  EXPECT_EQ(sample({1.0f, 0, 1.0f, 0.3f}, after_top_k, 0.99), 3);
  EXPECT_EQ(sample({1.0f, 0, 1.0f, 0.0f}, after_top_k, 0.0), 0);
  EXPECT_EQ(sample({1.0f, 0, 1.0f, 0.0f}, after_top_k, 0.99), 4);
}

TEST(GTest, ChiSquareTails) {
  // From the usual tables of upper quantiles.
  EXPECT_NEAR(cli::chi_square_tail(3.8415, 1), 0.05, 1e-5);
  EXPECT_NEAR(cli::chi_square_tail(18.3070, 10), 0.05, 1e-5);
  EXPECT_NEAR(cli::chi_square_tail(124.3421, 100), 0.05, 1e-5);
  EXPECT_NEAR(cli::chi_square_tail(2.5582, 10), 0.99, 1e-5);
  // Two degrees of freedom have a closed form, exp(-x / 2), far into the tail.
  for (const double x : {0.1, 1.0, 10.0, 60.0}) {
    EXPECT_NEAR(cli::chi_square_tail(x, 2) / std::exp(-x / 2), 1.0, 1e-10) << x;
  }
  EXPECT_EQ(cli::chi_square_tail(0.0, 5), 1.0);
}

TEST(GTest, FindsABiasAndNothingElse) {
  const std::vector<double> even(100, 0.01);
  std::vector<int64_t> observed(100, 1000);
  EXPECT_EQ(cli::g_test(observed, even).g, 0.0);
  EXPECT_EQ(cli::g_test(observed, even).degrees, 99);
  EXPECT_EQ(cli::g_test(observed, even).p_value, 1.0);
  // Draws that follow the distribution pass: p is not small, nor too good to be true.
  std::fill(observed.begin(), observed.end(), 0);
  for (uint64_t i = 0; i < 100000; ++i) ++observed[hash_below(5, i, 100)];
  const double p = cli::g_test(observed, even).p_value;
  EXPECT_GT(p, 1e-3);
  EXPECT_LT(p, 1.0 - 1e-3);
  observed[3] += 400;  // one cell, by about twelve standard deviations
  EXPECT_LT(cli::g_test(observed, even).p_value, cli::kFalseAlarmRate);
}

TEST(GTest, PoolsTails) {
  // One heavy cell and 1000 cells that expect 1/2 each: 100 pools of 10 cells, 101 cells in all.
  std::vector<double> probability(1001, 0.0005);
  probability[0] = 0.5;
  std::vector<int64_t> observed(1001, 0);
  observed[0] = 500;
  for (size_t i = 1; i < 1001; i += 2) observed[i] = 1;
  const cli::GTestResult result = cli::g_test(observed, probability);
  EXPECT_NEAR(static_cast<double>(result.degrees), 100, 1);
  EXPECT_GT(result.p_value, 0.99);
  // A tail that is never reached shows, though no single cell of it could.
  std::vector<int64_t> truncated(1001, 0);
  truncated[0] = 1000;
  EXPECT_LT(cli::g_test(truncated, probability).p_value, cli::kFalseAlarmRate);
}

TEST(GTest, CountsTheImpossible) {
  const cli::GTestResult result = cli::g_test(std::vector<int64_t>{50, 50, 1}, std::vector<double>{0.5, 0.5, 0.0});
  EXPECT_EQ(result.impossible, 1);
}

TEST(Cases, NamesRebuildThem) {
  for (const Case& c : list_cases({.quick = true})) {
    const auto again = parse_case_id(case_id(c));
    ASSERT_TRUE(again) << case_id(c);
    EXPECT_EQ(*again, c);
  }
  Case seeded;
  seeded.seed = 99;
  EXPECT_EQ(parse_case_id(case_id(seeded)), seeded);
  for (const char* wrong :
       {"", "1", "1/f32/normal1/scalar/plain/packed/seed", "0/f32/normal1/scalar/plain/packed/seed/all",
        "1/f64/normal1/scalar/plain/packed/seed/all", "1/f32/normal1/scalar/plain/packed/seed/all/x",
        "1/f32/normal1/scalar/plain/packed/seed/all/1/2"}) {
    EXPECT_FALSE(parse_case_id(wrong)) << wrong;
  }
}

// In the whole list every kind of row meets every extra, filter group, layout, randomness and base, in every dtype.
TEST(Cases, EveryPairMeets) {
  std::set<std::tuple<int, int, int>> pairs;
  const auto note = [&](int which, auto a, auto b) { pairs.insert({which, static_cast<int>(a), static_cast<int>(b)}); };
  for (const Case& c : list_cases({})) {
    note(0, c.kind, c.extras);
    note(1, c.kind, c.filters);
    note(2, c.kind, c.layout);
    note(3, c.kind, c.randomness);
    note(4, c.kind, c.base);
    note(5, c.kind, c.dtype);
    note(6, c.extras, c.filters);
    note(7, c.extras, c.layout);
    note(8, c.extras, c.randomness);
    note(9, c.filters, c.base);
  }
  const size_t kinds = all_row_kinds().size();
  EXPECT_EQ(pairs.size(), kinds * (10 + 4 + 4 + 4 + 3 + 3) + 10 * (4 + 4 + 4) + 4 * 3);
}

TEST(Cases, ChosenRowsKeepTheirInputs) {
  for (const char* id :
       {"33/f32/normal1/random/everything/strided/seeds/all", "33/bf16/normal5/edges/bias-wild/indexed/f32/after-top-k",
        "33/f16/stairs/typical/mask/misaligned/u64/after-all"}) {
    const auto c = parse_case_id(id);
    ASSERT_TRUE(c);
    const CaseBatch whole(*c);
    const std::vector<int64_t> chosen = {7, 2, 2, 23};
    const CaseBatch part(*c, chosen);
    CaseOutput whole_output, part_output;
    const TokendrawBatch a = whole.batch(whole_output), b = part.batch(part_output);
    for (size_t i = 0; i < chosen.size(); ++i) {
      const auto r = static_cast<size_t>(chosen[i]);
      EXPECT_EQ(part.effective_logits(static_cast<int64_t>(i)), whole.effective_logits(chosen[i])) << id;
      EXPECT_EQ(b.top_k_per_row[i], a.top_k_per_row[r]);
      if (a.seed_per_row != nullptr) {
        EXPECT_EQ(b.seed_per_row[i], a.seed_per_row[r]);
      }
      if (a.random_u64 != nullptr) {
        EXPECT_EQ(b.random_u64[i], a.random_u64[r]);
      }
    }
  }
}

TEST(StoredLogits, HalvesRoundTrip) {
  for (const TokendrawDtype dtype : {TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    for (uint32_t bits = 0; bits < 65536; ++bits) {
      const float x = decode_logit(bits, dtype);
      if (std::isnan(x)) {
        EXPECT_TRUE(std::isnan(decode_logit(encode_logit(x, dtype), dtype)));
      } else {
        EXPECT_EQ(encode_logit(x, dtype), bits);
      }
    }
  }
  // Ties go to even, and what is too large to infinity.
  EXPECT_EQ(encode_logit(1.0f + 0x1p-11f, TOKENDRAW_DTYPE_F16), 0x3c00u);
  EXPECT_EQ(encode_logit(1.0f + 0x3p-11f, TOKENDRAW_DTYPE_F16), 0x3c02u);
  EXPECT_EQ(encode_logit(65519.0f, TOKENDRAW_DTYPE_F16), 0x7bffu);
  EXPECT_EQ(encode_logit(65520.0f, TOKENDRAW_DTYPE_F16), 0x7c00u);
  EXPECT_EQ(encode_logit(1.0f + 0x1p-8f, TOKENDRAW_DTYPE_BF16), 0x3f80u);
  EXPECT_EQ(encode_logit(1.0f + 0x3p-8f, TOKENDRAW_DTYPE_BF16), 0x3f82u);
}

TEST(CaseRandom, Normals) {
  double sum = 0.0, squares = 0.0;
  constexpr int kCount = 100000;
  int beyond_3 = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double x = hash_normal(1, i);
    sum += x;
    squares += x * x;
    beyond_3 += std::fabs(x) > 3.0 ? 1 : 0;
  }
  EXPECT_NEAR(sum / kCount, 0.0, 0.015);
  EXPECT_NEAR(squares / kCount, 1.0, 0.025);
  EXPECT_NEAR(beyond_3, 270, 80);
  for (const double x : {1e-300, 0.1, 0.7, 0.70710678, 0.99999, 1.0, 1.5, 1e10}) {
    EXPECT_NEAR(portable_log(x), std::log(x), std::fabs(std::log(x)) * 1e-14 + 1e-16) << x;
  }
}

}  // namespace
}  // namespace tokendraw::cli_test
