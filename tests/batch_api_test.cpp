// SPDX-License-Identifier: Apache-2.0
// Batches that are valid: none of no rows, defaults, workspace sizes, the description of a plan. Refusals are in
// api_misuse_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "support/case_rows.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

TEST(ValidBatches, NoRows) {
  for (const Variant& variant : on_cpu(exact_algorithms(2))) {
    TokendrawBatch batch;
    tokendraw_init_batch(&batch);
    batch.vocab = 100;
    size_t bytes = 0;
    TokendrawSampler* sampler = sampler_for(variant);
    EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &batch, &bytes), TOKENDRAW_OK);
    EXPECT_EQ(tokendraw_sample(sampler, &batch, nullptr, 0, nullptr), TOKENDRAW_OK);
    EXPECT_EQ(tokendraw_sample_host(sampler, &batch), TOKENDRAW_OK);
    batch.vocab = 0;  // still checked
    EXPECT_EQ(tokendraw_sample_host(sampler, &batch), TOKENDRAW_INVALID_VOCAB);
  }
}

TEST(ValidBatches, DefaultsOfInitBatch) {
  TokendrawBatch batch;
  std::memset(&batch, 0xee, sizeof batch);
  tokendraw_init_batch(&batch);
  tokendraw_init_batch(nullptr);
  EXPECT_EQ(batch.struct_size, sizeof batch);
  EXPECT_EQ(batch.dtype, TOKENDRAW_DTYPE_F32);
  EXPECT_EQ(batch.temperature, 1.0f);
  EXPECT_EQ(batch.top_k, 0);
  EXPECT_EQ(batch.top_p, 1.0f);
  EXPECT_EQ(batch.min_p, 0.0f);
  EXPECT_EQ(batch.top_p_base, TOKENDRAW_TOP_P_AFTER_TOP_K);
  EXPECT_EQ(batch.invalid_token, -1);
  EXPECT_EQ(batch.seed, 0u);
  EXPECT_EQ(batch.stream, -1);
  EXPECT_EQ(batch.offset, 0u);
  EXPECT_EQ(batch.repetition_penalty, 1.0f);
  EXPECT_EQ(batch.frequency_penalty, 0.0f);
  EXPECT_EQ(batch.presence_penalty, 0.0f);
  // Every other field is 0 or NULL: what is left after those above is nothing but zeros.
  batch.struct_size = 0;
  batch.temperature = batch.top_p = batch.repetition_penalty = 0.0f;
  batch.invalid_token = 0;
  batch.stream = 0;
  const auto* bytes = reinterpret_cast<const unsigned char*>(&batch);
  for (size_t i = 0; i < offsetof(TokendrawBatch, vocab); ++i) EXPECT_EQ(bytes[i], 0) << i;
  EXPECT_EQ(batch.rows, 0);
  EXPECT_EQ(batch.row_stride, 0);
  EXPECT_EQ(batch.mask, nullptr);
  EXPECT_EQ(batch.logprob, nullptr);
  EXPECT_EQ(batch.rounds, nullptr);
}

// A program that was compiled with an older header has a shorter struct and calls the function; a binding of a newer
// one may have a longer struct.
TEST(ValidBatches, InitWritesTheCallersBytesAlone) {
  constexpr size_t kFirst = offsetof(TokendrawBatch, rounds);
  constexpr size_t kLonger = sizeof(TokendrawBatch) + 24;
  struct alignas(8) Memory {
    unsigned char bytes[kLonger + 8];
  };
  TokendrawBatch defaults;
  tokendraw_init_batch(&defaults);
  for (const size_t size : {kFirst, sizeof(TokendrawBatch), kLonger, size_t{0}}) {
    Memory memory;
    std::memset(&memory, 0xee, sizeof memory);
    auto* batch = reinterpret_cast<TokendrawBatch*>(&memory);
    size_t written = size;
    if (size == size_t{0}) {
      (tokendraw_init_batch)(batch);
      written = kFirst;
    } else {
      tokendraw_init_sized_batch(batch, size);
    }
    const size_t known = std::min(written, sizeof defaults);
    EXPECT_EQ(batch->struct_size, known);
    EXPECT_EQ(std::memcmp(memory.bytes + sizeof(size_t),
                          reinterpret_cast<const unsigned char*>(&defaults) + sizeof(size_t), known - sizeof(size_t)),
              0);
    for (size_t i = known; i < sizeof memory.bytes; ++i) EXPECT_EQ(memory.bytes[i], i < written ? 0 : 0xee) << i;
  }
  Memory memory;
  std::memset(&memory, 0xee, sizeof memory);
  tokendraw_init_sized_batch(reinterpret_cast<TokendrawBatch*>(&memory), kFirst - 1);
  tokendraw_init_sized_batch(nullptr, kFirst);
  EXPECT_EQ(memory.bytes[0], 0xee);
}

// What lies behind an older struct is no part of it.
TEST(ValidBatches, TheFirstVersionHasNoRounds) {
  const BatchSpec spec = repeated_draws({1.0f, 2.0f, 3.0f, 2.5f}, filtered(1.0f, 2), 8);
  const Variant rejection = {TOKENDRAW_ALGORITHM_REJECTION, "", 1};
  const SamplerPointer sampler = make_sampler(rejection);
  PackedBatch packed(spec);
  packed.batch.struct_size = offsetof(TokendrawBatch, rounds);
  packed.clear_outputs();
  ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  std::vector<RowResult> expected = run(rejection, spec);
  for (RowResult& row : expected) {
    EXPECT_GE(row.rounds, 1);
    row.rounds = PackedBatch::guard_token();  // not written
  }
  EXPECT_EQ(difference(expected, packed.results()), "");
}

// "Larger vocab, rows and entries never need less, so a workspace for the largest batch serves all."
TEST(Workspace, GrowsWithTheBatchAndNeverShrinks) {
  for (const auto algorithm : {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE,
                               TOKENDRAW_ALGORITHM_REFERENCE, TOKENDRAW_ALGORITHM_REJECTION}) {
    for (const int32_t threads : {1, 3}) {
      TokendrawSampler* sampler = sampler_for({algorithm, "", threads});
      const std::vector<int32_t> vocabs = {1, 2, 31, 32, 33, 255, 256, 257, 1000, 4096, 4097, 100000, 1 << 21};
      const std::vector<int64_t> rows = {1, 2, 3, 4, 7, 8, 100, 65536, 2147483647};
      const std::vector<int64_t> entries = {0, 1, 5, 1000, int64_t{1} << 40};
      const auto bytes_of = [&](size_t v, size_t r, size_t e) {
        static const float logits = 0.0f;
        static const int64_t offsets = 0;
        static const int32_t ids = 0;
        static int32_t tokens = 0;
        TokendrawBatch batch;
        tokendraw_init_batch(&batch);
        batch.logits = &logits;  // no array is read
        batch.tokens = &tokens;
        batch.vocab = vocabs[v];
        batch.rows = rows[r];
        batch.bias_offsets = batch.history_offsets = &offsets;
        batch.bias_ids = batch.history_ids = &ids;
        batch.bias_values = &logits;
        batch.bias_entries = batch.history_entries = entries[e];
        size_t bytes = 0;
        EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &batch, &bytes), TOKENDRAW_OK)
            << tokendraw_last_error_message();
        return bytes;
      };
      for (size_t v = 0; v < vocabs.size(); ++v) {
        for (size_t r = 0; r < rows.size(); ++r) {
          for (size_t e = 0; e < entries.size(); ++e) {
            const size_t bytes = bytes_of(v, r, e);
            if (v > 0) {
              EXPECT_GE(bytes, bytes_of(v - 1, r, e));
            }
            if (r > 0) {
              EXPECT_GE(bytes, bytes_of(v, r - 1, e));
            }
            if (e > 0) {
              EXPECT_GE(bytes, bytes_of(v, r, e - 1));
            }
          }
        }
      }
    }
  }
}

TEST(DescribePlan, IsTextOfKeysAndValuesCutToItsCapacity) {
  const PackedBatch packed(single_row(std::vector<float>(1000, 1.0f)));
  for (const Variant& variant : on_cpu(exact_variants())) {
    TokendrawSampler* sampler = sampler_for(variant);
    if (variant.algorithm != TOKENDRAW_ALGORITHM_AUTO) {
      EXPECT_EQ(plan_value(sampler, packed.batch, "algorithm"), tokendraw_algorithm_name(variant.algorithm));
    }
    if (!variant.cpu_target.empty()) {
      EXPECT_EQ(plan_value(sampler, packed.batch, "target"), variant.cpu_target);
    }
    EXPECT_EQ(plan_value(sampler, packed.batch, "backend"), "cpu");
    EXPECT_EQ(plan_value(sampler, packed.batch, "vocab"), "1000");
  }
  TokendrawSampler* sampler = sampler_for({});
  size_t needed = 0;
  ASSERT_EQ(tokendraw_describe_plan(sampler, &packed.batch, nullptr, 0, &needed), TOKENDRAW_OK);
  std::string whole(needed, 'x');
  ASSERT_EQ(tokendraw_describe_plan(sampler, &packed.batch, whole.data(), needed, nullptr), TOKENDRAW_OK);
  EXPECT_EQ(whole.find('\0'), needed - 1);
  for (const size_t capacity : {size_t{1}, size_t{10}, needed - 1}) {
    std::string cut(capacity + 1, 'x');
    size_t again = 0;
    ASSERT_EQ(tokendraw_describe_plan(sampler, &packed.batch, cut.data(), capacity, &again), TOKENDRAW_OK);
    EXPECT_EQ(again, needed);
    EXPECT_EQ(cut.substr(0, capacity), whole.substr(0, capacity - 1) + '\0');
    EXPECT_EQ(cut[capacity], 'x');
  }
}

}  // namespace
}  // namespace tokendraw::test
