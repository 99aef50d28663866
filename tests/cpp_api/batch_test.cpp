// SPDX-License-Identifier: Apache-2.0
// Batch::to_c: every field arrives, and every span of a wrong length is refused by its name.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>
#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

using tokendraw::Batch;
using tokendraw::Result;

constexpr int32_t kVocab = 70;  // three mask words
constexpr int64_t kRows = 3;

// Storage for everything a batch of three rows can point to.
struct Arrays {
  std::vector<float> logits = std::vector<float>(kRows * kVocab);
  std::vector<float> f32 = std::vector<float>(kRows);
  std::vector<int32_t> i32 = std::vector<int32_t>(kRows);
  std::vector<uint32_t> u32 = std::vector<uint32_t>(kRows);
  std::vector<uint64_t> u64 = std::vector<uint64_t>(kRows);
  std::vector<uint32_t> mask = std::vector<uint32_t>(kRows * 3);
  std::vector<float> bias = std::vector<float>(kRows * kVocab);
  std::vector<int32_t> ids = {1, 2, 3, 4};
  std::vector<float> values = {1, 2, 3, 4};
  std::vector<int64_t> offsets = {0, 1, 1, 4};
  std::vector<int32_t> tokens = std::vector<int32_t>(kRows);
  std::vector<uint32_t> row_status = std::vector<uint32_t>(kRows);
  std::vector<int64_t> kept = std::vector<int64_t>(kRows);
  std::vector<uint64_t> kept_mass = std::vector<uint64_t>(kRows);
  std::vector<float> logprob = std::vector<float>(kRows);
  std::vector<int32_t> rounds = std::vector<int32_t>(kRows);

  Batch batch() { return {.logits = logits, .tokens = tokens}; }
};

TEST(Batch, HasTheDefaultsOfTheCApi) {
  Arrays arrays;
  const TokendrawBatch c = arrays.batch().to_c().value();
  TokendrawBatch defaults;
  tokendraw_init_batch(&defaults);
  EXPECT_EQ(c.struct_size, defaults.struct_size);
  EXPECT_EQ(c.dtype, defaults.dtype);
  EXPECT_EQ(c.logits_memory, defaults.logits_memory);
  EXPECT_EQ(c.params_memory, defaults.params_memory);
  EXPECT_EQ(c.row_stride, defaults.row_stride);
  EXPECT_EQ(c.logits_rows, defaults.logits_rows);
  EXPECT_EQ(c.temperature, defaults.temperature);
  EXPECT_EQ(c.top_k, defaults.top_k);
  EXPECT_EQ(c.top_p, defaults.top_p);
  EXPECT_EQ(c.min_p, defaults.min_p);
  EXPECT_EQ(c.top_p_base, defaults.top_p_base);
  EXPECT_EQ(c.invalid_token, defaults.invalid_token);
  EXPECT_EQ(c.seed, defaults.seed);
  EXPECT_EQ(c.stream, defaults.stream);
  EXPECT_EQ(c.offset, defaults.offset);
  EXPECT_EQ(c.repetition_penalty, defaults.repetition_penalty);
  EXPECT_EQ(c.frequency_penalty, defaults.frequency_penalty);
  EXPECT_EQ(c.presence_penalty, defaults.presence_penalty);
  const std::array<const void*, 24> not_given = {c.row_index,
                                                 c.temperature_per_row,
                                                 c.top_k_per_row,
                                                 c.top_p_per_row,
                                                 c.min_p_per_row,
                                                 c.seed_per_row,
                                                 c.stream_per_row,
                                                 c.offset_per_row,
                                                 c.random_u64,
                                                 c.random_f32,
                                                 c.mask,
                                                 c.bias,
                                                 c.bias_ids,
                                                 c.bias_values,
                                                 c.bias_offsets,
                                                 c.history_ids,
                                                 c.history_counts,
                                                 c.history_offsets,
                                                 c.row_status,
                                                 c.repetition_penalty_per_row,
                                                 c.frequency_penalty_per_row,
                                                 c.kept,
                                                 c.presence_penalty_per_row,
                                                 c.logprob};
  for (size_t i = 0; i < not_given.size(); ++i) EXPECT_EQ(not_given[i], nullptr) << i;
  EXPECT_EQ(c.kept_mass, nullptr);
  EXPECT_EQ(c.rounds, nullptr);
}

TEST(Batch, PassesScalarsOn) {
  Arrays arrays;
  Batch batch = {.logits = arrays.logits,
                 .params_memory = tokendraw::Memory::kDevice,
                 .temperature = 0.5f,
                 .top_k = 7,
                 .top_p = 0.25f,
                 .min_p = 0.125f,
                 .top_p_base = tokendraw::TopPBase::kAll,
                 .invalid_token = -5,
                 .seed = 11,
                 .stream = 12u,
                 .offset = 13,
                 .repetition_penalty = 1.5f,
                 .frequency_penalty = 0.75f,
                 .presence_penalty = -0.5f,
                 .tokens = arrays.tokens};
  batch.logits.memory = tokendraw::Memory::kDevice;
  const TokendrawBatch c = batch.to_c().value();
  EXPECT_EQ(c.logits, arrays.logits.data());
  EXPECT_EQ(c.rows, kRows);
  EXPECT_EQ(c.vocab, kVocab);
  EXPECT_EQ(c.logits_memory, TOKENDRAW_MEMORY_DEVICE);
  EXPECT_EQ(c.params_memory, TOKENDRAW_MEMORY_DEVICE);
  EXPECT_EQ(c.temperature, 0.5f);
  EXPECT_EQ(c.top_k, 7);
  EXPECT_EQ(c.top_p, 0.25f);
  EXPECT_EQ(c.min_p, 0.125f);
  EXPECT_EQ(c.top_p_base, TOKENDRAW_TOP_P_ALL);
  EXPECT_EQ(c.invalid_token, -5);
  EXPECT_EQ(c.seed, 11u);
  EXPECT_EQ(c.stream, 12);
  EXPECT_EQ(c.offset, 13u);
  EXPECT_EQ(c.repetition_penalty, 1.5f);
  EXPECT_EQ(c.frequency_penalty, 0.75f);
  EXPECT_EQ(c.presence_penalty, -0.5f);
  EXPECT_EQ(c.tokens, arrays.tokens.data());
}

TEST(Batch, PassesTheLargestStreamOn) {
  Arrays arrays;
  Batch batch = arrays.batch();
  batch.stream = UINT32_MAX;
  EXPECT_EQ(batch.to_c().value().stream, 4294967295);
}

TEST(Batch, PassesArraysOn) {
  Arrays arrays;
  std::vector<float> top_p(kRows), min_p(kRows), repetition(kRows), frequency(kRows), presence(kRows), random(kRows);
  std::vector<uint64_t> offset(kRows), random_u64(kRows);
  std::vector<int32_t> row_index(kRows), history_ids = {5, 6}, counts = {1, 2};
  std::vector<int64_t> history_offsets = {0, 0, 1, 2};
  const Batch batch = {.logits = arrays.logits,
                       .row_index = row_index,
                       .temperature = arrays.f32,
                       .top_k = arrays.i32,
                       .top_p = top_p,
                       .min_p = min_p,
                       .seed = arrays.u64,
                       .stream = tokendraw::PerRow<uint32_t>(arrays.u32),
                       .offset = offset,
                       .random_u64 = random_u64,
                       .random_f32 = random,
                       .mask = arrays.mask,
                       .bias = arrays.bias,
                       .bias_lists = {arrays.ids, arrays.values, arrays.offsets},
                       .histories = {history_ids, counts, history_offsets},
                       .repetition_penalty = repetition,
                       .frequency_penalty = frequency,
                       .presence_penalty = presence,
                       .tokens = arrays.tokens,
                       .row_status = arrays.row_status,
                       .kept = arrays.kept,
                       .kept_mass = arrays.kept_mass,
                       .logprob = arrays.logprob,
                       .rounds = arrays.rounds};
  const TokendrawBatch c = batch.to_c().value();
  EXPECT_EQ(c.row_index, row_index.data());
  EXPECT_EQ(c.temperature_per_row, arrays.f32.data());
  EXPECT_EQ(c.top_k_per_row, arrays.i32.data());
  EXPECT_EQ(c.top_p_per_row, top_p.data());
  EXPECT_EQ(c.min_p_per_row, min_p.data());
  EXPECT_EQ(c.seed_per_row, arrays.u64.data());
  EXPECT_EQ(c.stream_per_row, arrays.u32.data());
  EXPECT_EQ(c.offset_per_row, offset.data());
  EXPECT_EQ(c.random_u64, random_u64.data());
  EXPECT_EQ(c.random_f32, random.data());
  EXPECT_EQ(c.mask, arrays.mask.data());
  EXPECT_EQ(c.mask_row_stride, 3);
  EXPECT_EQ(c.bias, arrays.bias.data());
  EXPECT_EQ(c.bias_row_stride, kVocab);
  EXPECT_EQ(c.bias_ids, arrays.ids.data());
  EXPECT_EQ(c.bias_values, arrays.values.data());
  EXPECT_EQ(c.bias_offsets, arrays.offsets.data());
  EXPECT_EQ(c.bias_entries, 4);
  EXPECT_EQ(c.history_ids, history_ids.data());
  EXPECT_EQ(c.history_counts, counts.data());
  EXPECT_EQ(c.history_offsets, history_offsets.data());
  EXPECT_EQ(c.history_entries, 2);
  EXPECT_EQ(c.repetition_penalty_per_row, repetition.data());
  EXPECT_EQ(c.frequency_penalty_per_row, frequency.data());
  EXPECT_EQ(c.presence_penalty_per_row, presence.data());
  EXPECT_EQ(c.row_status, arrays.row_status.data());
  EXPECT_EQ(c.kept, arrays.kept.data());
  EXPECT_EQ(c.kept_mass, arrays.kept_mass.data());
  EXPECT_EQ(c.logprob, arrays.logprob.data());
  EXPECT_EQ(c.rounds, arrays.rounds.data());
}

TEST(Batch, RefusesArraysOfAnotherLength) {
  struct Case {
    const char* field;
    TokendrawStatus status;
    std::function<void(Batch&, size_t)> set;  // sets the field to an array of that many elements
  };
  Arrays arrays;
  std::vector<float> f32(9);
  std::vector<int32_t> i32(9);
  std::vector<uint32_t> u32(9);
  std::vector<int64_t> i64(9);
  std::vector<uint64_t> u64(9);
  const auto floats = [&](size_t n) { return std::span<const float>(f32.data(), n); };
  const std::vector<Case> cases = {
      {"temperature", TOKENDRAW_INVALID_TEMPERATURE, [&](Batch& b, size_t n) { b.temperature = floats(n); }},
      {"top_k", TOKENDRAW_INVALID_TOP_K, [&](Batch& b, size_t n) { b.top_k = std::span(i32.data(), n); }},
      {"top_p", TOKENDRAW_INVALID_TOP_P, [&](Batch& b, size_t n) { b.top_p = floats(n); }},
      {"min_p", TOKENDRAW_INVALID_MIN_P, [&](Batch& b, size_t n) { b.min_p = floats(n); }},
      {"seed", TOKENDRAW_INVALID_SEED, [&](Batch& b, size_t n) { b.seed = std::span(u64.data(), n); }},
      {"stream", TOKENDRAW_INVALID_STREAM,
       [&](Batch& b, size_t n) { b.stream = tokendraw::PerRow<uint32_t>(std::span(u32.data(), n)); }},
      {"offset", TOKENDRAW_INVALID_OFFSET, [&](Batch& b, size_t n) { b.offset = std::span(u64.data(), n); }},
      {"random_u64", TOKENDRAW_INVALID_RANDOM,
       [&](Batch& b, size_t n) {
         b.random_u64 = {u64.data(), n};
       }},
      {"random_f32", TOKENDRAW_INVALID_RANDOM, [&](Batch& b, size_t n) { b.random_f32 = floats(n); }},
      {"repetition_penalty", TOKENDRAW_INVALID_REPETITION_PENALTY,
       [&](Batch& b, size_t n) { b.repetition_penalty = floats(n); }},
      {"frequency_penalty", TOKENDRAW_INVALID_FREQUENCY_PENALTY,
       [&](Batch& b, size_t n) { b.frequency_penalty = floats(n); }},
      {"presence_penalty", TOKENDRAW_INVALID_PRESENCE_PENALTY,
       [&](Batch& b, size_t n) { b.presence_penalty = floats(n); }},
      {"row_status", TOKENDRAW_INVALID_OUTPUTS,
       [&](Batch& b, size_t n) {
         b.row_status = {u32.data(), n};
       }},
      {"kept", TOKENDRAW_INVALID_OUTPUTS,
       [&](Batch& b, size_t n) {
         b.kept = {i64.data(), n};
       }},
      {"kept_mass", TOKENDRAW_INVALID_OUTPUTS,
       [&](Batch& b, size_t n) {
         b.kept_mass = {u64.data(), n};
       }},
      {"logprob", TOKENDRAW_INVALID_OUTPUTS,
       [&](Batch& b, size_t n) {
         b.logprob = {f32.data(), n};
       }},
      {"rounds", TOKENDRAW_INVALID_OUTPUTS,
       [&](Batch& b, size_t n) {
         b.rounds = {i32.data(), n};
       }},
      {"row_index", TOKENDRAW_INVALID_ROW_INDEX,
       [&](Batch& b, size_t n) {
         b.row_index = {i32.data(), n};
       }},
  };
  for (const Case& test : cases) {
    for (const size_t length : {kRows - 1, kRows, kRows + 1}) {
      Batch batch = arrays.batch();
      batch.logits.vocab = kVocab;
      test.set(batch, length);
      const Result<TokendrawBatch> c = batch.to_c();
      EXPECT_EQ(c.status(), length == kRows ? TOKENDRAW_OK : test.status) << test.field << " " << length;
      if (c) continue;
      EXPECT_EQ(c.error().what(),
                std::string(test.field) + ": " + std::to_string(length) + " elements given, 3 needed");
    }
  }
}

TEST(Batch, RefusesAnEmptyArrayOfAParameter) {
  Arrays arrays;
  Batch batch = arrays.batch();
  batch.temperature = std::vector<float>();
  EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_TEMPERATURE);
}

TEST(Batch, FindsTheStrideOfMaskAndBias) {
  Arrays arrays;
  Batch batch = arrays.batch();
  batch.mask = std::span<const uint32_t>(arrays.mask).first(3);
  batch.bias = std::span<const float>(arrays.bias).first(kVocab);
  EXPECT_EQ(batch.to_c().value().mask_row_stride, 0);
  EXPECT_EQ(batch.to_c().value().bias_row_stride, 0);

  batch.mask = arrays.mask;
  batch.bias = arrays.bias;
  EXPECT_EQ(batch.to_c().value().mask_row_stride, 3);
  EXPECT_EQ(batch.to_c().value().bias_row_stride, kVocab);

  batch.mask_row_stride = 0;
  batch.bias_row_stride = 0;
  EXPECT_EQ(batch.to_c().value().mask_row_stride, 0);
  EXPECT_EQ(batch.to_c().value().bias_row_stride, 0);
}

TEST(Batch, RefusesShortMasksAndBiases) {
  Arrays arrays;
  for (const size_t words : {1, 2, 4, 8}) {
    Batch batch = arrays.batch();
    batch.mask = std::span<const uint32_t>(arrays.mask).first(words);
    EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_MASK) << words;
  }
  for (const size_t elements : {1, kVocab - 1, kVocab + 1, 3 * kVocab - 1}) {
    Batch batch = arrays.batch();
    batch.bias = std::span<const float>(arrays.bias).first(elements);
    EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_BIAS) << elements;
  }
  Batch batch = arrays.batch();
  batch.mask = arrays.mask;
  batch.mask_row_stride = 4;  // 2 * 4 + 3 words
  EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_MASK);
  batch.mask_row_stride = INT64_MAX;
  EXPECT_EQ(batch.to_c().status(), TOKENDRAW_INVALID_MASK);
}

TEST(Batch, RefusesListsThatDoNotFit) {
  Arrays arrays;
  const std::span<const int32_t> ids = arrays.ids;
  const std::span<const float> values = arrays.values;
  const std::span<const int64_t> offsets = arrays.offsets;
  const auto bias_status = [&](tokendraw::BiasLists lists) {
    Batch batch = arrays.batch();
    batch.bias_lists = lists;
    return batch.to_c().status();
  };
  EXPECT_EQ(bias_status({ids, values, offsets}), TOKENDRAW_OK);
  EXPECT_EQ(bias_status({{}, {}, offsets}), TOKENDRAW_OK);
  EXPECT_EQ(bias_status({ids, values.first(3), offsets}), TOKENDRAW_INVALID_BIAS_LIST);
  EXPECT_EQ(bias_status({ids, values, offsets.first(3)}), TOKENDRAW_INVALID_BIAS_LIST);
  EXPECT_EQ(bias_status({ids, values, {}}), TOKENDRAW_INVALID_BIAS_LIST);

  const auto history_status = [&](tokendraw::Histories histories) {
    Batch batch = arrays.batch();
    batch.histories = histories;
    return batch.to_c().status();
  };
  EXPECT_EQ(history_status({ids, ids, offsets}), TOKENDRAW_OK);
  EXPECT_EQ(history_status({ids, {}, offsets}), TOKENDRAW_OK);
  EXPECT_EQ(history_status({ids, ids.first(1), offsets}), TOKENDRAW_INVALID_HISTORY);
  EXPECT_EQ(history_status({ids, ids, offsets.first(1)}), TOKENDRAW_INVALID_HISTORY);
  EXPECT_EQ(history_status({ids, ids, {}}), TOKENDRAW_INVALID_HISTORY);
}

}  // namespace
