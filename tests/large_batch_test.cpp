// SPDX-License-Identifier: Apache-2.0
// Case17: batches of more than 2^31 and 2^32 elements. Address space is reserved without memory behind it; only the few
// rows that are read are ever touched, so that a row offset computed in 32 bits reads zeros and shows.
#include <gtest/gtest.h>
#include <stored_logit.h>

#include <cstring>

#include "support/case_rows.h"
#include "support/guarded_memory.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

std::vector<Variant> every_variant() {
  std::vector<Variant> variants = exact_variants(2);
  variants.push_back({TOKENDRAW_ALGORITHM_REJECTION, "", 2});
  return variants;
}

std::vector<RowResult> expected_of(const Variant& variant, const BatchSpec& spec) {
  return variant.algorithm == TOKENDRAW_ALGORITHM_REJECTION ? rejection_results(spec) : oracle_results(spec);
}

// Writes the spec's logits into `memory`, rows `stride` elements apart, row number `places[i]` holding logits i.
void write_rows(const BatchSpec& spec, const std::vector<int64_t>& places, int64_t stride, void* memory) {
  for (size_t i = 0; i < places.size(); ++i) {
    for (size_t id = 0; id < spec.logits[i].size(); ++id) {
      cases::store_logit_bits(memory, places[i] * stride + static_cast<int64_t>(id), spec.dtype,
                              cases::encode_logit(spec.logits[i][id], spec.dtype));
    }
  }
}

BatchSpec random_rows(int32_t vocab, TokendrawDtype dtype, size_t rows) {
  TestRandom random(17);
  BatchSpec spec;
  spec.dtype = dtype;
  for (size_t r = 0; r < rows; ++r) {
    spec.logits.push_back(make_logits(cases::RowKind::kNormal1, vocab, dtype, random));
    spec.rows.push_back(filtered(1.0f, r % 2 == 0 ? 0 : 50, 0.9f));
    spec.rows.back().offset = r;
  }
  return spec;
}

// 5 rows of 5000 logits, 2^30 + 12345 elements apart: the last begins past 2^32 elements.
TEST(Case17_LargeBatch, RowsFarApart) {
  for (const auto dtype : {TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16, TOKENDRAW_DTYPE_F32}) {
    constexpr int64_t kStride = (int64_t{1} << 30) + 12345;
    const BatchSpec spec = random_rows(5000, dtype, 5);
    const ReservedMemory memory((4 * kStride + 5000) * cases::dtype_bytes(dtype));
    write_rows(spec, {0, 1, 2, 3, 4}, kStride, memory.as<void>());
    PackedBatch packed(spec);
    packed.batch.logits = memory.as<void>();
    packed.batch.row_stride = kStride;
    for (const Variant& variant : every_variant()) {
      EXPECT_EQ(difference(expected_of(variant, spec), run(sampler_for(variant), packed)), "") << to_text(variant);
    }
  }
}

// 65536 rows of 65537 fp16 logits, in one piece: rows around the places where 31 and 32 bits end.
TEST(Case17_LargeBatch, ManyRows) {
  constexpr int32_t kVocab = 65537;
  constexpr int64_t kRows = 65536;
  const std::vector<int64_t> places = {0, 32766, 32767, 32768, 65534, 65535};
  BatchSpec spec = random_rows(kVocab, TOKENDRAW_DTYPE_F16, places.size());
  const ReservedMemory memory(static_cast<size_t>(kRows) * kVocab * 2);
  write_rows(spec, places, kVocab, memory.as<void>());
  PackedBatch packed(spec);
  const std::vector<int32_t> row_index(places.begin(), places.end());
  packed.batch.logits = memory.as<void>();
  packed.batch.logits_rows = kRows;
  packed.batch.row_index = row_index.data();
  for (const Variant& variant : every_variant()) {
    EXPECT_EQ(difference(expected_of(variant, spec), run(sampler_for(variant), packed)), "") << to_text(variant);
  }
}

// Masks and dense biases with rows as far apart.
TEST(Case17_LargeBatch, MasksAndBiasesFarApart) {
  constexpr int64_t kStride = (int64_t{1} << 30) + 77;
  constexpr int32_t kVocab = 3000;
  BatchSpec spec = random_rows(kVocab, TOKENDRAW_DTYPE_F32, 5);
  TestRandom random(18);
  for (RowSpec& row : spec.rows) {
    add_row_inputs(row, kVocab, {.dense_bias = true}, random);
    row.mask = mask_without(kVocab, {0, 1, static_cast<int32_t>(random.below(kVocab))});
  }
  const ReservedMemory masks((4 * kStride + kVocab) * sizeof(uint32_t));
  const ReservedMemory biases((4 * kStride + kVocab) * sizeof(float));
  for (size_t r = 0; r < spec.rows.size(); ++r) {
    const RowSpec& row = spec.rows[r];
    const int64_t place = static_cast<int64_t>(r) * kStride;
    std::memcpy(masks.as<uint32_t>() + place, row.mask.data(), row.mask.size() * sizeof(uint32_t));
    std::memcpy(biases.as<float>() + place, row.dense_bias.data(), row.dense_bias.size() * sizeof(float));
  }
  PackedBatch packed(spec);
  packed.batch.mask = masks.as<uint32_t>();
  packed.batch.mask_row_stride = kStride;
  packed.batch.bias = biases.as<float>();
  packed.batch.bias_row_stride = kStride;
  for (const Variant& variant : every_variant()) {
    EXPECT_EQ(difference(expected_of(variant, spec), run(sampler_for(variant), packed)), "") << to_text(variant);
  }
}

}  // namespace
}  // namespace tokendraw::test
