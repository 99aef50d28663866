// SPDX-License-Identifier: Apache-2.0
// Rows in which more logits than a list takes could be kept: thousands of ties at the cut of top_k or top_p, flat rows
// of min_p.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ostream>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include "gpu/emulator.h"
#include "gpu/one_row.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr int32_t kVocab = 20011;  // 157 lines of 32 lanes, so that the largest of each bound the top 50

enum class Rows {
  kTwoValues,   // one in three is the larger
  kFewAbove,    // 20 different logits above thousands of ties
  kLateTies,    // the largest are equal, and none of them is in the first half
  kNearTies,    // two values next to each other, the larger in the second half: what is listed first is equal
  kInfinite,    // the largest are infinite, and many
  kManyValues,  // flat, rounded to a grid
  kFlat,
};
constexpr const char* kNames[] = {"two_values", "few_above",   "late_ties", "near_ties",
                                  "infinite",   "many_values", "flat"};
void PrintTo(Rows rows, std::ostream* out) { *out << kNames[static_cast<size_t>(rows)]; }

std::vector<float> make_row(Rows rows) {
  std::mt19937 generator(static_cast<uint32_t>(rows) + 1);
  std::normal_distribution<float> normal(0.0f, 0.5f);
  std::vector<float> row(kVocab);
  for (size_t i = 0; i < row.size(); ++i) {
    const float x = normal(generator);
    switch (rows) {
      case Rows::kTwoValues:
        row[i] = x > 0.2f ? 1.5f : 0.25f;
        break;
      case Rows::kFewAbove:
        row[i] = i % 331 == 17 ? 2.0f + std::abs(x) : std::min(std::round(x), 1.0f);
        break;
      case Rows::kLateTies:
        row[i] = i > row.size() / 2 && i % 2 == 0 ? 3.0f : x;
        break;
      case Rows::kNearTies:
        row[i] = i % 3 == 0 ? x - 2.0f : 2 * i < row.size() ? 1.0f : std::nextafter(1.0f, 2.0f);
        break;
      case Rows::kInfinite:
        row[i] = i % 3 == 1 ? INFINITY : x;
        break;
      case Rows::kManyValues:
        row[i] = std::round(x * 64.0f) / 64.0f;
        break;
      case Rows::kFlat:
        row[i] = x;
        break;
    }
  }
  return row;
}

// What cuts such a row where many could be kept.
std::vector<RowSpec> cuts() {
  std::vector<RowSpec> all;
  const auto add = [&all](int32_t top_k, float top_p, float min_p) {
    RowSpec row;
    row.top_k = top_k;
    row.top_p = top_p;
    row.min_p = min_p;
    all.push_back(row);
  };
  for (const int32_t top_k : {1, 19, 50, 200, 2000, kVocab / 2, kVocab - 1}) {
    if (kSanitized && top_k != 50 && top_k != 2000) continue;
    add(top_k, 1.0f, 0.0f);
    add(top_k, 0.9f, 0.0f);
    add(top_k, 0.3f, 0.2f);
    add(top_k, 1.0f, 0.02f);
  }
  for (const float min_p : {0.9f, 0.2f, 0.02f}) {
    add(0, 1.0f, min_p);
    add(0, 0.6f, min_p);
  }
  for (const float top_p : {0.1f, 0.5f, 0.8f, 0.97f}) add(0, top_p, 0.0f);
  return all;
}

BatchSpec make_spec(Rows rows, TokendrawDtype dtype, TokendrawTopPBase base) {
  std::vector<float> row = make_row(rows);
  round_to_dtype(row, dtype);
  BatchSpec spec = draws_of(row, {}, {});
  spec.dtype = dtype;
  spec.top_p_base = base;
  std::mt19937_64 random;
  for (const RowSpec& parameters : cuts()) {
    spec.rows.push_back(parameters);
    spec.row_index.push_back(0);
    spec.random_u64.push_back(random());
  }
  return spec;
}

using Parameters = std::tuple<int32_t, TokendrawGpuWay, TokendrawDtype, TokendrawTopPBase, Rows>;
class GpuCrowded : public testing::TestWithParam<Parameters> {};

// With every output, and with the fewest, for which rows may take a shorter way.
TEST_P(GpuCrowded, KeepsWhatTheReferenceDoes) {
  const auto& [device, way, dtype, base, rows] = GetParam();
  if (!has_device(device)) GTEST_SKIP() << "there is no such device";
  const SamplerPointer sampler =
      make_sampler({TOKENDRAW_ALGORITHM_CANDIDATES, "", 1, TOKENDRAW_BACKEND_CUDA, device, way});
  ASSERT_NE(sampler, nullptr);
  const BatchSpec spec = make_spec(rows, dtype, base);
  std::vector<RowResult> expected = oracle_results(spec);
  PackedBatch packed(spec);
  ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  EXPECT_EQ(difference(expected, packed.results()), "");

  packed.clear_outputs();
  const std::vector<RowResult> untouched = packed.results();
  packed.batch.kept = nullptr;
  packed.batch.logprob = nullptr;
  ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  for (size_t i = 0; i < expected.size(); ++i) {
    expected[i].kept = untouched[i].kept;
    expected[i].logprob = untouched[i].logprob;
  }
  EXPECT_EQ(difference(expected, packed.results()), "") << "without counts and log-probabilities";
}

constexpr TokendrawTopPBase kAfterTopK = TOKENDRAW_TOP_P_AFTER_TOP_K;
const auto kWays = testing::Values(TOKENDRAW_GPU_WAY_CLUSTER, TOKENDRAW_GPU_WAY_BLOCK, TOKENDRAW_GPU_WAY_SMALL_BLOCK);
const auto kAllRows = testing::Values(Rows::kTwoValues, Rows::kFewAbove, Rows::kLateTies, Rows::kNearTies,
                                      Rows::kInfinite, Rows::kManyValues, Rows::kFlat);

INSTANTIATE_TEST_SUITE_P(Floats, GpuCrowded,
                         testing::Combine(testing::Values(0), kWays, testing::Values(TOKENDRAW_DTYPE_F32),
                                          testing::Values(kAfterTopK), kAllRows));
INSTANTIATE_TEST_SUITE_P(SharesOfAll, GpuCrowded,
                         testing::Combine(testing::Values(0), kWays, testing::Values(TOKENDRAW_DTYPE_F32),
                                          testing::Values(TOKENDRAW_TOP_P_ALL, TOKENDRAW_TOP_P_AFTER_ALL),
                                          testing::Values(Rows::kTwoValues, Rows::kFewAbove)));
INSTANTIATE_TEST_SUITE_P(SixteenBits, GpuCrowded,
                         testing::Combine(testing::Values(0), kWays, testing::Values(TOKENDRAW_DTYPE_BF16),
                                          testing::Values(kAfterTopK),
                                          testing::Values(Rows::kTwoValues, Rows::kManyValues)));
INSTANTIATE_TEST_SUITE_P(WideWaves, GpuCrowded,
                         testing::Combine(testing::Values(1),
                                          testing::Values(TOKENDRAW_GPU_WAY_CLUSTER, TOKENDRAW_GPU_WAY_BLOCK),
                                          testing::Values(TOKENDRAW_DTYPE_F32), testing::Values(kAfterTopK),
                                          testing::Values(Rows::kTwoValues, Rows::kFewAbove)));

// What such rows cost on the emulator with one set of parameters, the token alone being asked for.
uint64_t switches_of(const SamplerPointer& sampler, Rows rows, const RowSpec& parameters) {
  PackedBatch packed(draws_of(make_row(rows), parameters, {uint64_t{1} << 62}));
  packed.batch.kept = nullptr;
  packed.batch.kept_mass = nullptr;
  packed.batch.logprob = nullptr;
  EMULATOR(simt_set_seed)(1);
  const uint64_t start = EMULATOR(simt_count_switches)();
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  return EMULATOR(simt_count_switches)() - start;
}

// Else the tests above would show nothing of the short ways.
TEST(GpuCrowdedCost, IsLessThanThatOfTheSearchForAllRows) {
  if (!has_device(0)) GTEST_SKIP() << "there is no device";
  for (const TokendrawGpuWay way : {TOKENDRAW_GPU_WAY_CLUSTER, TOKENDRAW_GPU_WAY_BLOCK}) {
    const SamplerPointer candidates =
        make_sampler({TOKENDRAW_ALGORITHM_CANDIDATES, "", 1, TOKENDRAW_BACKEND_CUDA, 0, way});
    const SamplerPointer refine = make_sampler({TOKENDRAW_ALGORITHM_REFINE, "", 1, TOKENDRAW_BACKEND_CUDA, 0, way});
    if (EMULATOR(simt_count_switches) == nullptr) GTEST_SKIP() << "not on the emulator";
    RowSpec ties;
    ties.top_k = 50;
    ties.top_p = 0.9f;
    EXPECT_LT(switches_of(candidates, Rows::kTwoValues, ties), switches_of(refine, Rows::kTwoValues, ties));
  }
}

}  // namespace
}  // namespace tokendraw::test
