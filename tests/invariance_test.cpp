// SPDX-License-Identifier: Apache-2.0
// A token is a function of its row, its parameters and its seed, and of nothing else: here its neighbours, its place
// and the way its parameters are given vary. memory_invariance_test.cpp does the same for memory and the caller's
// environment.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/requests.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

TEST(Case18_Invariance, PlaceInBatch) {
  const Request mine = request(0, 3000);
  std::vector<Request> others;
  for (uint64_t i = 0; i < 64; ++i) others.push_back(request(i + 1, 3000));
  for (const int32_t threads : {1, 2, 7}) {
    for (const Variant& variant : every_algorithm(threads)) {
      const RowResult alone = run(variant, batch_of({mine})).at(0);
      for (const size_t place : {0, 17, 63}) {
        std::vector<Request> requests = others;
        requests[place] = mine;
        EXPECT_EQ(same(alone, run(variant, batch_of(requests)).at(place)), "") << to_text(variant) << ", " << place;
      }
    }
  }
}

TEST(Case18_Invariance, BatchSize) {
  const int largest = kSanitized ? 64 : 512;
  std::vector<Request> requests;
  for (int i = 0; i < largest; ++i) requests.push_back(request(static_cast<uint64_t>(i), 700));
  for (const Variant& variant : every_algorithm(3)) {
    const std::vector<RowResult> whole = run(variant, batch_of(requests));
    for (int size = 1; size <= largest; size = size < 8 ? size + 1 : size * 2) {
      const std::vector<Request> first(requests.begin(), requests.begin() + size);
      const std::vector<RowResult> part = run(variant, batch_of(first));
      EXPECT_EQ(difference({whole.begin(), whole.begin() + size}, part, 0.0), "") << to_text(variant) << ", " << size;
    }
  }
}

// A neighbour turns on a filter, a penalty, a mask or a bias, becomes NaN, greedy or bad.
TEST(Case19_Invariance, Neighbours) {
  constexpr int32_t kVocab = 1500;
  const std::vector<Request> quiet = {request(1, kVocab), request(2, kVocab), request(3, kVocab)};
  TestRandom random(19);
  for (const Variant& variant : every_algorithm(2)) {
    const RowResult before = run(variant, batch_of(quiet)).at(1);
    for (int change = 0; change < 12; ++change) {
      std::vector<Request> loud = quiet;
      for (const size_t neighbour : {0, 2}) {
        Request& other = loud[neighbour];
        RowSpec& row = other.row;
        switch (change) {
          case 0:
            row.top_k = 1;
            break;
          case 1:
            row.top_p = 0.1f;
            break;
          case 2:
            row.min_p = 0.5f;
            break;
          case 3:
            row.temperature = 0.0f;
            break;
          case 4:
            row.temperature = kNan;
            break;
          case 5:
            row.seed += 1;
            break;
          case 6:
            add_row_inputs(row, kVocab, {.mask = true}, random);
            break;
          case 7:
            add_row_inputs(row, kVocab, {.dense_bias = true}, random);
            break;
          case 8:
            add_row_inputs(row, kVocab, {.sparse_bias = true, .bad_ids = true}, random);
            break;
          case 9:
            add_row_inputs(row, kVocab, {.history = true, .bad_ids = true}, random);
            break;
          case 10:
            other.logits.assign(kVocab, kNan);
            break;
          case 11:
            other.logits.assign(kVocab, 0.0f);
            break;  // flat: the slow path, with a filter
        }
      }
      EXPECT_EQ(same(before, run(variant, batch_of(loud)).at(1)), "") << to_text(variant) << ", change " << change;
    }
  }
}

TEST(Case20_Invariance, EverySeedCounts) {
  TestRandom random(20);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, 5000, TOKENDRAW_DTYPE_F32, random);
  std::vector<RowSpec> rows(64, filtered(1.0f, 0));
  for (size_t r = 0; r < rows.size(); ++r) rows[r].seed = r / 2;  // each seed twice
  for (const Variant& variant : every_algorithm()) {
    BatchSpec spec = one_row_many_parameters(logits, rows);
    for (RowSpec& row : spec.rows) row.offset = 9;
    const std::vector<RowResult> results = run(variant, spec);
    std::vector<int32_t> tokens;
    for (size_t r = 0; r < results.size(); r += 2) {
      EXPECT_EQ(results[r].token, results[r + 1].token);
      tokens.push_back(results[r].token);
    }
    std::sort(tokens.begin(), tokens.end());
    const auto distinct = std::unique(tokens.begin(), tokens.end()) - tokens.begin();
    EXPECT_GT(distinct, 25) << to_text(variant);  // of 32, in a flat row of 5000
  }
}

TEST(Invariance, DefaultStreams) {
  TestRandom random(21);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, 2000, TOKENDRAW_DTYPE_F32, random);
  RowSpec row = filtered(1.0f, 0);
  row.seed = 5;
  row.offset = 3;
  // One seed for the batch and no stream: the stream is the row number.
  BatchSpec spec = one_row_many_parameters(logits, std::vector<RowSpec>(8, row));
  for (size_t r = 0; r < 8; ++r) {
    spec.rows[r].offset = 3;
    spec.rows[r].stream = static_cast<uint32_t>(r);
  }
  Layout scalars;
  scalars.scalar_parameters = true;
  for (const Variant& variant : every_algorithm()) {
    const std::vector<RowResult> given = run(variant, spec);
    PackedBatch packed(spec, scalars);
    packed.batch.stream = -1;
    EXPECT_EQ(difference(given, run(sampler_for(variant), packed), 0.0), "");
    // With a seed per row the default stream is 0, so that the place does not matter.
    const std::vector<uint64_t> seeds(8, 5);
    packed.batch.seed_per_row = seeds.data();
    const std::vector<RowResult> per_row = run(sampler_for(variant), packed);
    for (const RowResult& result : per_row) EXPECT_EQ(same(given[0], result), "");
    // A stream given counts in both cases.
    packed.batch.stream = 6;
    for (const RowResult& result : run(sampler_for(variant), packed)) EXPECT_EQ(same(given[6], result), "");
    packed.batch.stream = 4294967295;
    EXPECT_NE(run(sampler_for(variant), packed)[0].token, given[6].token);
  }
}

TEST(Invariance, RowIndexReadsTheSameRow) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 6; ++i) requests.push_back(request(i, 900));
  const BatchSpec direct = batch_of(requests);
  BatchSpec indexed = direct;
  std::reverse(indexed.logits.begin(), indexed.logits.end());
  indexed.logits.insert(indexed.logits.begin(), std::vector<float>(900, kNan));  // a row that nobody reads
  indexed.row_index = {6, 5, 4, 3, 2, 1};
  for (const Variant& variant : every_algorithm(2)) {
    EXPECT_EQ(difference(run(variant, direct), run(variant, indexed), 0.0), "") << to_text(variant);
  }
}

TEST(Invariance, RowIndexOutOfRangeIsABadParameter) {
  BatchSpec spec = batch_of({request(0, 100), request(1, 100), request(2, 100), request(3, 100)});
  const std::vector<RowResult> before = run({}, spec);
  spec.row_index = {0, -1, 4, 3};
  for (const Variant& variant : every_algorithm()) {
    const std::vector<RowResult> results = run(variant, spec);
    expect_no_token(results[1], TOKENDRAW_ROW_BAD_PARAMETER);
    expect_no_token(results[2], TOKENDRAW_ROW_BAD_PARAMETER);
    if (variant.algorithm == TOKENDRAW_ALGORITHM_REJECTION) continue;
    EXPECT_EQ(results[0].token, before[0].token);
    EXPECT_EQ(results[3].token, before[3].token);
  }
}

TEST(Invariance, ListOffsetsThatDoNotAscendAreABadParameter) {
  TestRandom random(23);
  for (const bool history : {false, true}) {
    BatchSpec spec = batch_of({request(0, 100), request(1, 100), request(2, 100)});
    for (RowSpec& row : spec.rows) {
      if (history) row.history = {{3, 1}, {4, 2}};
      if (!history) row.sparse_bias = {{3, 1.0f}, {4, 2.0f}};
    }
    for (const Variant& variant : every_algorithm()) {
      const std::vector<RowResult> before = run(variant, spec);
      for (const std::array<int64_t, 4>& offsets : {std::array<int64_t, 4>{0, 2, 1, 6},
                                                    {-1, 2, 4, 6},
                                                    {0, 2, 4, 7},
                                                    {0, 2, 4, INT64_MAX},
                                                    {0, INT64_MIN, 4, 6}}) {
        PackedBatch packed(spec);
        (history ? packed.batch.history_offsets : packed.batch.bias_offsets) = offsets.data();
        const std::vector<RowResult> results = run(sampler_for(variant), packed);
        int bad = 0;
        for (size_t r = 0; r < 3; ++r) {
          const bool usable = 0 <= offsets[r] && offsets[r] <= offsets[r + 1] && offsets[r + 1] <= 6;
          if (!usable) expect_no_token(results[r], TOKENDRAW_ROW_BAD_PARAMETER);
          const auto own = static_cast<int64_t>(2 * r);
          if (offsets[r] == own && offsets[r + 1] == own + 2) {
            EXPECT_EQ(same(before[r], results[r]), "");
          }
          bad += usable ? 0 : 1;
        }
        EXPECT_GE(bad, 1);
      }
    }
  }
}

TEST(Invariance, ScalarsAndArrays) {
  const Request one = request(7, 1100);
  BatchSpec spec = batch_of({one, one, one});
  TestRandom random(24);
  add_row_inputs(spec.rows[0], 1100, {.mask = true, .dense_bias = true, .history = true}, random);
  spec.rows[1] = spec.rows[2] = spec.rows[0];
  Layout scalars;
  scalars.scalar_parameters = scalars.share_mask = scalars.share_dense_bias = true;
  for (const Variant& variant : every_algorithm()) {
    EXPECT_EQ(difference(run(variant, spec), run(variant, spec, scalars), 0.0), "") << to_text(variant);
  }
}

// Where an array is given, it alone counts: the scalar beside it may be anything.
TEST(Invariance, ScalarsBesideArraysDoNotMatter) {
  const BatchSpec spec = batch_of({request(1, 300), request(2, 300)});
  const std::vector<RowResult> before = run({}, spec);
  PackedBatch packed(spec);
  packed.batch.temperature = packed.batch.top_p = packed.batch.min_p = kNan;
  packed.batch.top_k = 1;
  packed.batch.seed = packed.batch.offset = ~uint64_t{0};
  packed.batch.stream = -99;
  packed.batch.repetition_penalty = packed.batch.frequency_penalty = packed.batch.presence_penalty = kNan;
  EXPECT_EQ(difference(before, run(sampler_for({}), packed), 0.0), "");
}

// run() fills the workspace with one kind of garbage; here with others, among them what the last call left.
// A caller's rounding mode, or his flushing of subnormals, does not reach the draw, and is as it was afterwards.

}  // namespace
}  // namespace tokendraw::test
