// SPDX-License-Identifier: Apache-2.0
// Inputs that other samplers got wrong, numbered as in support/case_rows.h; each runs on every algorithm and SIMD
// target. Shapes and layouts, masks, biases and histories.
#include <gtest/gtest.h>

#include <array>

#include "support/answers.h"
#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

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
  biased.sparse_bias = {{-1, 100.0f}, {5, 100.0f}, {kMaxInt, 100.0f}, {kMinInt, 9.0f}, {1, 10.0f}};
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
  // At temperature kBinaryTemperature, kept_mass tells the penalised weights apart. Logits 2, -1, 0 and an anchor at 4.
  const std::vector<float> logits = {2.0f, -1.0f, 0.0f, 4.0f};
  RowSpec row = filtered(kBinaryTemperature, 0);
  row.repetition_penalty = 2.0f;
  row.history = {{0, 7}, {1, 7}, {2, 7}};
  for (const RowResult& result : ask_everyone(single_row(logits, row)).all()) {
    EXPECT_EQ(result.kept_mass,
              kWeightOfBest + (kWeightOfBest >> 3) + (kWeightOfBest >> 6) + (kWeightOfBest >> 4));  // 1, -2, 0 below 4
  }
  Layout no_counts;
  no_counts.omit_history_counts = true;
  BatchSpec once = single_row(logits, row);
  for (HistoryEntry& entry : once.rows[0].history) entry.count = 1;
  once.rows[0].frequency_penalty = 1.0f;
  for (const RowResult& result : ask_everyone(once, no_counts).all()) {
    EXPECT_EQ(result.kept_mass, kWeightOfBest + (kWeightOfBest >> 4) + (kWeightOfBest >> 7) +
                                    (kWeightOfBest >> 5));  // one lower each: counts of 1
  }
  BatchSpec prompt_only = once;
  for (HistoryEntry& entry : prompt_only.rows[0].history) entry.count = 0;
  prompt_only.rows[0].presence_penalty = 3.0f;
  for (const RowResult& result : ask_everyone(prompt_only).all()) {
    EXPECT_EQ(result.kept_mass,
              kWeightOfBest + (kWeightOfBest >> 3) + (kWeightOfBest >> 6) + (kWeightOfBest >> 4));  // repetition only
  }
}

}  // namespace
}  // namespace tokendraw::test
