// SPDX-License-Identifier: Apache-2.0
// Nothing is read or written beside an array: each of a batch's arrays and the workspace in turn lie against a page
// that nobody may touch. Works where sanitizers do not look: in vector code, in optimised builds. A failure is a crash.
#include <gtest/gtest.h>
#include <stored_logit.h>

#include <cstring>
#include <list>
#include <string>

#include "support/case_rows.h"
#include "support/guarded_memory.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

// A packed batch whose inputs, in copies, all end (or begin) at a guard page.
class GuardedBatch {
 public:
  GuardedBatch(const BatchSpec& spec, Against against) : packed_(spec), against_(against) {
    TokendrawBatch& b = packed_.batch;
    const auto rows = static_cast<size_t>(b.rows);
    const size_t row_bytes = static_cast<size_t>(b.vocab) * cases::dtype_bytes(b.dtype);
    b.logits = guard(static_cast<const unsigned char*>(b.logits), static_cast<size_t>(b.logits_rows) * row_bytes);
    for (auto field : {&TokendrawBatch::temperature_per_row, &TokendrawBatch::top_p_per_row,
                       &TokendrawBatch::min_p_per_row, &TokendrawBatch::repetition_penalty_per_row,
                       &TokendrawBatch::frequency_penalty_per_row, &TokendrawBatch::presence_penalty_per_row}) {
      b.*field = guard(b.*field, rows);
    }
    b.top_k_per_row = guard(b.top_k_per_row, rows);
    b.seed_per_row = guard(b.seed_per_row, rows);
    b.offset_per_row = guard(b.offset_per_row, rows);
    b.stream_per_row = guard(b.stream_per_row, rows);
    b.mask = guard(b.mask, rows * static_cast<size_t>(b.mask_row_stride));
    b.bias = guard(b.bias, rows * static_cast<size_t>(b.bias_row_stride));
    b.bias_ids = guard(b.bias_ids, static_cast<size_t>(b.bias_entries));
    b.bias_values = guard(b.bias_values, static_cast<size_t>(b.bias_entries));
    b.bias_offsets = guard(b.bias_offsets, rows + 1);
    b.history_ids = guard(b.history_ids, static_cast<size_t>(b.history_entries));
    b.history_counts = guard(b.history_counts, static_cast<size_t>(b.history_entries));
    b.history_offsets = guard(b.history_offsets, rows + 1);
  }

  std::vector<RowResult> run_guarded(TokendrawSampler* sampler) {
    size_t bytes = 0;
    EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &packed_.batch, &bytes), TOKENDRAW_OK);
    const GuardedArray workspace(bytes, against_);
    packed_.clear_outputs();
    EXPECT_EQ(tokendraw_sample(sampler, &packed_.batch, workspace.data(), bytes, nullptr), TOKENDRAW_OK);
    return packed_.results();
  }

 private:
  template <typename T>
  const T* guard(const T* values, size_t count) {
    if (values == nullptr) return nullptr;
    const GuardedArray& array = arrays_.emplace_back(count * sizeof(T), against_);
    std::memcpy(array.data(), values, count * sizeof(T));
    return reinterpret_cast<const T*>(array.data());
  }

  PackedBatch packed_;
  Against against_;
  std::list<GuardedArray> arrays_;
};

BatchSpec make_batch(cases::RowKind kind, int32_t vocab, TokendrawDtype dtype, const RowInputs& inputs) {
  TestRandom random(static_cast<uint64_t>(vocab) * 7 + static_cast<uint64_t>(dtype));
  BatchSpec spec;
  spec.dtype = dtype;
  const std::vector<RowSpec> rows = {filtered(1.0f, 0), filtered(1.0f, vocab / 2 + 1, 0.9f), filtered(1.0f, 0, 0.9f),
                                     filtered(0.8f, 8, 0.99f)};
  for (const RowSpec& row : rows) {
    spec.logits.push_back(make_logits(kind, vocab, dtype, random));
    spec.rows.push_back(row);
    add_row_inputs(spec.rows.back(), vocab, inputs, random);
  }
  return spec;
}

void check(const BatchSpec& spec) {
  const std::vector<RowResult> exact = oracle_results(spec);
  const std::vector<RowResult> rejection = rejection_results(spec);
  for (const Against against : {Against::kEnd, Against::kBeginning}) {
    GuardedBatch guarded(spec, against);
    for (const Variant& variant : on_cpu(exact_variants())) {
      ASSERT_EQ(difference(exact, guarded.run_guarded(sampler_for(variant))), "") << to_text(variant);
    }
    for (const Variant& variant : on_cpu(rejection_variants())) {
      ASSERT_EQ(difference(rejection, guarded.run_guarded(sampler_for(variant))), "") << to_text(variant);
    }
  }
}

class Bounds : public testing::TestWithParam<TokendrawDtype> {};

TEST_P(Bounds, SmallRowsOfEverySize) {
  for (int32_t vocab = 1; vocab <= 140; vocab += vocab < 70 ? 1 : 7) {
    SCOPED_TRACE(vocab);
    check(make_batch(cases::RowKind::kNormal1, vocab, GetParam(), {}));
    check(make_batch(cases::RowKind::kNormal1, vocab, GetParam(), {.mask = true, .dense_bias = true, .history = true}));
    check(make_batch(cases::RowKind::kQuantised, vocab, GetParam(), {.sparse_bias = true, .bad_ids = true}));
  }
}

TEST_P(Bounds, LargerRows) {
  for (const int32_t vocab : {255, 256, 257, 1000, 1023, 1025, 4095, 4097, 10007}) {
    for (const auto kind : {cases::RowKind::kNormal1, cases::RowKind::kNormal5, cases::RowKind::kEqual,
                            cases::RowKind::kOutlierTail, cases::RowKind::kAscending}) {
      if (kSanitized && vocab > 1100) continue;
      SCOPED_TRACE(vocab);
      check(make_batch(kind, vocab, GetParam(), {}));
      check(make_batch(kind, vocab, GetParam(), {.mask = true, .dense_bias = true}));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Dtypes, Bounds,
                         testing::Values(TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16),
                         [](const auto& info) { return std::string(tokendraw_dtype_name(info.param)); });

}  // namespace
}  // namespace tokendraw::test
