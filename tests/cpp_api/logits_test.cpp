// SPDX-License-Identifier: Apache-2.0
// Logits: from vectors, arrays, spans and raw pointers, with the vocabulary and the rows found from the length.
#include <gtest/gtest.h>

#include <array>
#include <tokendraw/tokendraw.hpp>
#include <type_traits>
#include <vector>

namespace {

using tokendraw::Batch;
using tokendraw::Logits;

TEST(Logits, TakeVectorsArraysAndSpans) {
  const std::vector<float> vector(6);
  const float array[6] = {};
  const tokendraw::Bf16 bf16[6] = {};
  const std::array<tokendraw::F16, 6> f16 = {};
  const std::span<const float> span = vector;
  EXPECT_EQ(Logits(vector).data, vector.data());
  EXPECT_EQ(Logits(array).data, array);
  EXPECT_EQ(Logits(span).elements, 6u);
  EXPECT_EQ(Logits(array).dtype, tokendraw::Dtype::kF32);
  EXPECT_EQ(Logits(bf16).dtype, tokendraw::Dtype::kBf16);
  EXPECT_EQ(Logits(f16).dtype, tokendraw::Dtype::kF16);
  static_assert(!std::is_convertible_v<std::vector<double>, Logits>);
  static_assert(!std::is_convertible_v<std::vector<uint16_t>, Logits>);
}

TEST(Logits, FindTheVocabulary) {
  std::vector<float> values(12);
  std::vector<int32_t> tokens(4);
  Batch batch = {.logits = values, .tokens = tokens};
  EXPECT_EQ(batch.to_c().value().vocab, 3);
  batch.logits = Logits(values, 2);  // longer than needed is allowed
  EXPECT_EQ(batch.to_c().value().vocab, 2);
  batch.logits = std::span(values).first(11);
  EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_LOGITS);
  batch.logits = Logits(values, 0, 3);  // a stride needs a vocabulary
  EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_LOGITS);
}

TEST(Logits, MustHoldTheirRows) {
  std::vector<float> values(12);
  std::vector<int32_t> tokens(3);
  const auto status = [&](Logits logits) { return Batch{.logits = logits, .tokens = tokens}.to_c().status(); };
  EXPECT_EQ(status(Logits(values, 4)), TOKENDRAW_OK);
  EXPECT_EQ(status(Logits(values, 5)), TOKENDRAW_INVALID_LOGITS);
  EXPECT_EQ(status(Logits(values, 2, 5)), TOKENDRAW_OK);
  EXPECT_EQ(status(Logits(values, 3, 5)), TOKENDRAW_INVALID_LOGITS);
  EXPECT_EQ(status(Logits(values, 2, INT64_MAX)), TOKENDRAW_INVALID_LOGITS);
}

TEST(Logits, CountTheirRowsForARowIndex) {
  std::vector<float> values(12);
  std::vector<int32_t> tokens(5), row_index(5);
  Batch batch = {.logits = Logits(values, 4), .row_index = row_index, .tokens = tokens};
  EXPECT_EQ(batch.to_c().value().logits_rows, 3);
  batch.logits = Logits(values, 2, 5);
  EXPECT_EQ(batch.to_c().value().logits_rows, 3);
  batch.logits = Logits(values, 3, 5);
  EXPECT_EQ(batch.to_c().value().logits_rows, 2);
  batch.logits = values;
  batch.logits.rows = 2;
  EXPECT_EQ(batch.to_c().value().logits_rows, 2);
  EXPECT_EQ(batch.to_c().value().vocab, 6);
  batch.logits = std::span(values).first(0);
  batch.logits.vocab = 4;
  EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_LOGITS);
}

TEST(Logits, MayBeRaw) {
  const uint16_t bits[8] = {};
  std::vector<int32_t> tokens(2);
  const Batch batch = {.logits = Logits::raw(bits, tokendraw::Dtype::kBf16, 2, 3, 5, tokendraw::Memory::kDevice),
                       .tokens = tokens};
  const TokendrawBatch c = batch.to_c().value();
  EXPECT_EQ(c.logits, bits);
  EXPECT_EQ(c.dtype, TOKENDRAW_DTYPE_BF16);
  EXPECT_EQ(c.logits_memory, TOKENDRAW_MEMORY_DEVICE);
  EXPECT_EQ(c.logits_rows, 2);
  EXPECT_EQ(c.vocab, 3);
  EXPECT_EQ(c.row_stride, 5);
}

}  // namespace
