// SPDX-License-Identifier: Apache-2.0
// Algorithm rejection: the oracle's token for the same seed, and the bound on its rounds where rows are made to need
// many. Its distribution is in distribution_test.cpp, random rows are in random_search_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "support/answers.h"
#include "support/case_rows.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

const Variant kRejection = {TOKENDRAW_ALGORITHM_REJECTION, "", 1};

// On the CPU, and on the GPU where the environment asks for it (support/samplers.h).
void expect_everywhere(std::vector<RowResult> expected, BatchSpec spec) {
  constexpr size_t kEmulatedRows = 8;
  for (const Variant& variant : rejection_variants()) {  // the GPU's last
    if (may_be_emulated(variant) && spec.rows.size() > kEmulatedRows) {
      spec.rows.resize(kEmulatedRows);
      if (!spec.row_index.empty()) spec.row_index.resize(kEmulatedRows);
      expected.resize(kEmulatedRows);
    }
    EXPECT_EQ(difference(expected, run(variant, spec)), "") << to_text(variant);
  }
}

TEST(Rejection, DrawsTheOraclesTokens) {
  TestRandom random(81);
  int64_t different = 0;
  for (const cases::RowKind kind : cases::all_row_kinds()) {
    for (const auto base : {TOKENDRAW_TOP_P_AFTER_TOP_K, TOKENDRAW_TOP_P_ALL, TOKENDRAW_TOP_P_AFTER_ALL}) {
      const std::vector<float> logits = make_logits(kind, 200, TOKENDRAW_DTYPE_F32, random);
      BatchSpec spec = one_row_many_parameters(logits, std::vector<RowSpec>(40));
      spec.top_p_base = base;
      for (RowSpec& row : spec.rows) row = make_row_parameters(200, random, false);
      const std::vector<RowResult> expected = rejection_results(spec);
      SCOPED_TRACE(cases::row_kind_name(kind));
      expect_everywhere(expected, spec);
      const std::vector<RowResult> exact = oracle_results(spec);
      for (size_t r = 0; r < exact.size(); ++r) different += exact[r].token != expected[r].token ? 1 : 0;
    }
  }
  EXPECT_GT(different, 300);  // another use of randomness, so another token for the same seed
}

// The same kept set as the other algorithms: kept count and mass, whatever the token.
TEST(Rejection, KeepsTheSameSet) {
  TestRandom random(82);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, 500, TOKENDRAW_DTYPE_F32, random);
  const BatchSpec spec = one_row_many_parameters(
      logits, {filtered(1.0f, 40), filtered(1.0f, 0, 0.8f), filtered(1.0f, 40, 0.8f, 0.1f), filtered(0.5f, 0)});
  const Answers answers = ask_everyone(spec);
  for (size_t r = 0; r < spec.rows.size(); ++r) {
    EXPECT_EQ(answers.exact[r].kept, answers.rejection[r].kept);
    EXPECT_EQ(answers.exact[r].kept_mass, answers.rejection[r].kept_mass);
  }
}

// With top_p off its condition holds everywhere, also at a second pivot below the last kept token and above the next:
// then the interval's upper part is dropped. 9 ties are kept by min_p, the steps below them are not, many rounds apart.
TEST(Rejection, ASecondPivotBetweenTheLastKeptTokenAndTheNext) {
  std::vector<float> logits(270, 0.0f);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = -static_cast<float>(i / 9);
  int64_t rounds_differ = 0;
  for (const float min_p : {0.9f, 0.5f, 0.99f}) {
    RowSpec row = filtered(20.0f, 0, 1.0f, min_p);
    BatchSpec off = repeated_draws(logits, row, 2000);
    off.top_p_base = TOKENDRAW_TOP_P_AFTER_ALL;
    expect_everywhere(rejection_results(off), off);
    BatchSpec nearly_on = off;
    for (RowSpec& one : nearly_on.rows) one.top_p = 0.99999994f;
    expect_everywhere(rejection_results(nearly_on), nearly_on);
    for (size_t r = 0; r < off.rows.size(); r += 10) {
      rounds_differ += rejection_row(off, r).result.rounds != rejection_row(nearly_on, r).result.rounds ? 1 : 0;
    }
  }
  EXPECT_GT(rounds_differ, 0) << "these rows are meant to tell the two apart";
}

// Rows where a draw is rejected again and again: one kept token in a large mass of tokens just below it.
class Adversarial : public testing::TestWithParam<float> {};

TEST_P(Adversarial, RoundsStayBelowTheBound) {
  std::vector<float> logits(static_cast<size_t>(scaled(4000)), 0.0f);
  // `GetParam()` apart, so that the interval of keys is halved as often as its width allows.
  float value = 1.0f;
  for (float& x : logits) {
    x = value;
    value = GetParam() == 0.0f ? std::nextafter(value, kInfinity) : value + GetParam();
  }
  int most = 0;
  int64_t total = 0;
  for (const RowSpec& filter : {filtered(1.0f, 1), filtered(1.0f, 0, 1e-6f), filtered(1e6f, 2),
                                filtered(1e6f, 0, 1e-6f), filtered(kInfinity, 1), filtered(kInfinity, 3, 0.5f)}) {
    const BatchSpec spec = repeated_draws(logits, filter, kSanitized ? 5 : 25);
    std::vector<RowResult> expected;
    for (size_t r = 0; r < spec.rows.size(); ++r) {
      const OracleRow row = rejection_row(spec, r);  // throws past 65 rounds
      expected.push_back(row.result);
      most = std::max(most, row.result.rounds);
      total += row.result.rounds;
    }
    expect_everywhere(expected, spec);
  }
  EXPECT_GT(most, 5) << "these rows are meant to need many rounds";
  EXPECT_GT(total, 250 / (kSanitized ? 5 : 1));
  EXPECT_LE(most, 65);
}

INSTANTIATE_TEST_SUITE_P(Steps, Adversarial, testing::Values(0.0f, 1e-6f, 1e-3f, 0.01f));

// All logits equal: the keys differ in the id alone, the narrowest interval there is.
TEST(Rejection, EqualLogits) {
  const std::vector<float> logits(static_cast<size_t>(scaled(2000)), -2.0f);
  const BatchSpec spec = repeated_draws(logits, filtered(1.0f, 1), 20);
  const std::vector<RowResult> expected = rejection_results(spec);
  for (const RowResult& result : expected) EXPECT_EQ(result.token, 0);
  expect_everywhere(expected, spec);
}

// The draws of which some take the most rounds: one token is kept among many that weigh as much.
TEST(Rejection, TheMostRoundsOfManyDraws) {
  const std::vector<float> logits(static_cast<size_t>(scaled(3000)), 0.5f);
  for (const auto& [filter, base] : {std::pair{filtered(kInfinity, 1), TOKENDRAW_TOP_P_AFTER_TOP_K},
                                     std::pair{filtered(1.0f, 0, 1e-6f), TOKENDRAW_TOP_P_ALL},
                                     std::pair{filtered(1.0f, 2, 0.4f), TOKENDRAW_TOP_P_AFTER_ALL}}) {
    for (const Variant& variant : rejection_variants()) {
      const bool few = kSanitized || may_be_emulated(variant);
      BatchSpec spec = repeated_draws(logits, filter, few ? 30 : 600);
      spec.top_p_base = base;
      int32_t most = 0;
      for (const RowResult& result : run(variant, spec)) {
        EXPECT_EQ(result.token, 0);
        EXPECT_GE(result.rounds, 1);
        most = std::max(most, result.rounds);
      }
      EXPECT_LE(most, 65) << to_text(variant);
      EXPECT_GE(most, few ? 7 : 14) << to_text(variant);
    }
  }
}

// Second pivots whose high halves are the bits of -0, which no logit is but which compares equal to 0, and of a NaN
// above +inf. The logits are such that the second round's lies just below the key of the first 0 wherever -2^33 and
// then -2^-79 are drawn.
TEST(Rejection, SecondPivotsThatAreNoLogits) {
  std::vector<float> zeros = {-0x1p33f, -0x1p-79f, -0x1p-100f, -0x1p-110f, -0x1p-120f, -0x1p-130f};
  zeros.resize(90, -kInfinity);
  zeros.push_back(-0.0f);
  zeros.push_back(0.0f);
  std::vector<float> infinities = {1.0f, 3.4e38f};
  infinities.resize(40, kInfinity);
  for (const std::vector<float>& logits : {zeros, infinities}) {
    const BatchSpec spec = repeated_draws(logits, filtered(kInfinity, 1), 200);
    const std::vector<RowResult> expected = rejection_results(spec);
    const int32_t best = logits.size() == zeros.size() ? 90 : 2;
    for (const RowResult& result : expected) EXPECT_EQ(result.token, best);
    for (const Variant& variant : rejection_variants()) {
      EXPECT_EQ(difference(expected, run(variant, spec)), "") << to_text(variant);
    }
  }
}

// Every other algorithm has none, and neither have rows that draw nothing.
TEST(Rejection, RoundsAreRejectionsAlone) {
  BatchSpec spec = repeated_draws({1.0f, 2.0f, -kInfinity}, filtered(1.0f, 2), 4);
  spec.rows[1].temperature = 0.0f;
  spec.rows[2].temperature = -1.0f;
  spec.rows[3].mask = {0};
  const Answers answers = ask_everyone(spec);
  for (const RowResult& result : answers.exact) EXPECT_EQ(result.rounds, 0);
  EXPECT_GE(answers.rejection[0].rounds, 1);
  for (size_t r = 1; r < spec.rows.size(); ++r) EXPECT_EQ(answers.rejection[r].rounds, 0) << r;
}

TEST(Rejection, RandomNumbersHandedInAreRefused) {
  const SamplerPointer sampler = make_sampler(kRejection);
  for (const bool floats : {false, true}) {
    BatchSpec spec = single_row({1.0f, 2.0f});
    if (floats) spec.random_f32 = {0.5f};
    if (!floats) spec.random_u64 = {1};
    const PackedBatch packed(spec);
    EXPECT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_INVALID_RANDOM);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find(floats ? "random_f32" : "random_u64"),
              std::string::npos);
  }
}

}  // namespace
}  // namespace tokendraw::test
