// SPDX-License-Identifier: Apache-2.0
// A token does not depend on where its numbers lie, what the workspace held, which outputs are wanted, or how the
// caller has set his processor.
#include <gtest/gtest.h>

#include <cfenv>
#include <cstring>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/requests.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

TEST(MemoryInvariance, StrideAlignmentAndPadding) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 5; ++i) requests.push_back(request(i, 1237));
  BatchSpec spec = batch_of(requests);
  TestRandom random(22);
  for (RowSpec& row : spec.rows) add_row_inputs(row, 1237, {.mask = true, .dense_bias = true}, random);
  for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    spec.dtype = dtype;
    for (std::vector<float>& logits : spec.logits) round_to_dtype(logits, dtype);
    for (const Variant& variant : every_algorithm()) {
      const std::vector<RowResult> packed = run(variant, spec);
      for (int64_t lead = 0; lead < 33; ++lead) {
        Layout layout;
        layout.lead_elements = lead;
        layout.padding_columns = lead * 7 % 40;
        layout.padding_words = lead % 4;
        EXPECT_EQ(difference(packed, run(variant, spec, layout), 0.0), "") << to_text(variant) << ", lead " << lead;
      }
    }
  }
}

TEST(MemoryInvariance, WorkspaceContent) {
  const BatchSpec spec = batch_of({request(1, 2500), request(2, 2500), request(3, 2500)});
  for (const Variant& variant : on_cpu(every_algorithm(2))) {
    const std::vector<RowResult> before = run(variant, spec);
    PackedBatch packed(spec);
    size_t bytes = 0;
    ASSERT_EQ(tokendraw_get_workspace_bytes(sampler_for(variant), &packed.batch, &bytes), TOKENDRAW_OK);
    std::vector<unsigned char> workspace(bytes);
    for (const int fill : {0x00, 0xff, 0x7f, -1}) {
      if (fill >= 0) std::memset(workspace.data(), fill, bytes);
      packed.clear_outputs();
      ASSERT_EQ(tokendraw_sample(sampler_for(variant), &packed.batch, workspace.data(), bytes, nullptr), TOKENDRAW_OK);
      EXPECT_EQ(difference(before, packed.results(), 0.0), "") << to_text(variant) << ", filled with " << fill;
    }
  }
}

TEST(MemoryInvariance, SampleHostIsTheSame) {
  for (const Variant& variant : every_algorithm(2)) {
    const SamplerPointer sampler = make_sampler(variant);
    for (const int32_t vocab : {10, 5000, 100}) {  // its workspace grows once and is used again
      const BatchSpec spec = batch_of({request(1, vocab), request(2, vocab), request(3, vocab)});
      PackedBatch packed(spec);
      ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK);
      EXPECT_EQ(difference(run(variant, spec), packed.results(), 0.0), "") << to_text(variant);
    }
  }
}

TEST(MemoryInvariance, OutputsThatAreNotWanted) {
  const BatchSpec spec = batch_of({request(1, 800), request(2, 800)});
  for (const Variant& variant : every_algorithm()) {
    const std::vector<RowResult> before = run(variant, spec);
    for (unsigned wanted = 0; wanted < 16; ++wanted) {
      PackedBatch packed(spec);
      if ((wanted & 1) == 0) packed.batch.row_status = nullptr;
      if ((wanted & 2) == 0) packed.batch.kept = nullptr;
      if ((wanted & 4) == 0) packed.batch.kept_mass = nullptr;
      if ((wanted & 8) == 0) packed.batch.logprob = nullptr;
      ASSERT_EQ(tokendraw_sample_host(sampler_for(variant), &packed.batch), TOKENDRAW_OK);
      const std::vector<RowResult> results = packed.results();
      for (size_t r = 0; r < 2; ++r) {
        EXPECT_EQ(results[r].token, before[r].token) << to_text(variant) << ", " << wanted;
        if ((wanted & 1) != 0) {
          EXPECT_EQ(results[r].status, before[r].status);
        }
        if ((wanted & 2) != 0) {
          EXPECT_EQ(results[r].kept, before[r].kept);
        }
        if ((wanted & 4) != 0) {
          EXPECT_EQ(results[r].kept_mass, before[r].kept_mass);
        }
        if ((wanted & 8) != 0) {
          EXPECT_EQ(results[r].logprob, before[r].logprob);
        }
      }
    }
  }
}

TEST(MemoryInvariance, FloatingPointEnvironmentOfTheCaller) {
  TestRandom random(25);
  BatchSpec spec;
  for (const auto kind : {cases::RowKind::kSubnormal, cases::RowKind::kNormal1, cases::RowKind::kAdjacent}) {
    for (const float temperature : {0x1p-127f, 1e-30f, 0.7f}) {
      spec.logits.push_back(make_logits(kind, 500, TOKENDRAW_DTYPE_F32, random));
      spec.rows.push_back(filtered(temperature, 0, 0.9f, 0.01f));
      add_row_inputs(spec.rows.back(), 500, {.dense_bias = true, .history = true}, random);
    }
  }
  for (const int32_t threads : {1, 3}) {
    for (const Variant& variant : every_algorithm(threads)) {
      const std::vector<RowResult> before = run(variant, spec);
      PackedBatch packed(spec);
      TokendrawSampler* sampler = sampler_for(variant);
      for (const int rounding : {FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO}) {
        packed.clear_outputs();
        std::fesetround(rounding);
        const TokendrawStatus status = tokendraw_sample_host(sampler, &packed.batch);
        const int after = std::fegetround();
        std::fesetround(FE_TONEAREST);
        ASSERT_EQ(status, TOKENDRAW_OK);
        EXPECT_EQ(after, rounding);
        EXPECT_EQ(difference(before, packed.results(), 0.0), "") << to_text(variant) << ", rounding " << rounding;
      }
#if defined(__SSE2__)
      constexpr unsigned kFlushToZeroAndDenormalsAreZero = 0x8040;
      const unsigned usual = _mm_getcsr();
      packed.clear_outputs();
      _mm_setcsr(usual | kFlushToZeroAndDenormalsAreZero);
      const TokendrawStatus status = tokendraw_sample_host(sampler, &packed.batch);
      const unsigned after = _mm_getcsr();
      _mm_setcsr(usual);
      ASSERT_EQ(status, TOKENDRAW_OK);
      EXPECT_EQ(after & kFlushToZeroAndDenormalsAreZero, kFlushToZeroAndDenormalsAreZero);
      EXPECT_EQ(difference(before, packed.results(), 0.0), "") << to_text(variant) << ", subnormals flushed";
#endif
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
