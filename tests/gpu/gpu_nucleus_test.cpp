// SPDX-License-Identifier: Apache-2.0
// Rows of top_p alone, in clusters (src/gpu/kernels/resident_nucleus.h) and by one block each
// (src/gpu/kernels/rough_search.h): cuts at the border of every kind of bucket, in clusters of every size.
#include <gtest/gtest.h>

#include <ostream>
#include <random>
#include <tuple>

#include "gpu/emulator.h"
#include "gpu/one_row.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

enum class Rows {
  kSpread,    // few logits share a bucket
  kTies,      // buckets hold equal logits of all blocks, some of which are kept
  kClose,     // so many in one bucket that its range is looked at once more
  kTooClose,  // two values next to each other, thousands of times: that does not help
  kDeep,      // the cut lies below what is counted
  kDense,     // hundreds of different logits in a bucket
  kRising,    // from far below: what a block counts first has other logits' buckets in the end
};
constexpr const char* kNames[] = {"spread", "ties", "close", "too_close", "deep", "dense", "rising"};
void PrintTo(Rows rows, std::ostream* out) { *out << kNames[static_cast<size_t>(rows)]; }

// By vocabulary: 2, 4, 8 and 16 blocks hold a row of floats.
constexpr int32_t kVocabs[] = {2100, 6221, 13003, 33001};

std::vector<float> make_row(Rows rows, int32_t vocab) {
  std::mt19937 generator(static_cast<uint32_t>(rows) + 1);
  std::normal_distribution<float> normal(0.0f, 3.0f);
  std::vector<float> row(static_cast<size_t>(vocab));
  for (size_t i = 0; i < row.size(); ++i) {
    const float x = normal(generator);
    switch (rows) {
      case Rows::kSpread:
        row[i] = x;
        break;
      case Rows::kTies:
        row[i] = std::round(x);
        break;
      case Rows::kClose:
        row[i] = i % 8 == 0 ? x : 2.0f + 1e-4f * x;
        break;
      case Rows::kTooClose:
        row[i] = i % 3 == 0 ? x - 20.0f : i % 2 == 0 ? 1.0f : std::nextafter(1.0f, 2.0f);
        break;
      case Rows::kDeep:
        row[i] = i == row.size() / 3 ? 23.0f : 0.5f * x / 3.0f;
        break;
      case Rows::kDense:
        row[i] = 0.02f * x;
        break;
      case Rows::kRising:
        row[i] = 60.0f * static_cast<float>(i) / static_cast<float>(vocab) + 0.5f * x;
        break;
    }
  }
  return row;
}

SamplerPointer sampler_of(int32_t device, TokendrawAlgorithm algorithm, TokendrawGpuWay way) {
  return make_sampler({algorithm, "", 1, TOKENDRAW_BACKEND_CUDA, device, way});
}

// How many tokens are kept at the cuts that are looked at.
std::vector<size_t> kept_of(Rows rows, size_t vocab) {
  if (rows == Rows::kDeep) return {2, vocab / 2, vocab - 1};
  if (kSanitized) return {7, vocab / 3};
  return {1, 2, 40, 300, vocab / 3, vocab / 2 + 1, vocab - 3};
}

BatchSpec cuts_of(Rows rows, int32_t vocab, TokendrawDtype dtype) {
  std::vector<float> row = make_row(rows, vocab);
  round_to_dtype(row, dtype);
  const ShareBorders borders(weights_of(row));
  BatchSpec spec = draws_of(row, {}, {});
  spec.dtype = dtype;
  std::mt19937_64 random;
  for (const size_t kept : kept_of(rows, row.size())) {
    for (const float top_p : borders.of_heaviest(kept)) {
      if (!(top_p > 0.0f && top_p < 1.0f)) continue;
      RowSpec parameters;
      parameters.top_p = top_p;
      spec.rows.push_back(parameters);
      spec.row_index.push_back(0);
      spec.random_u64.push_back(random());
    }
  }
  return spec;
}

class GpuNucleus : public testing::TestWithParam<std::tuple<int32_t, TokendrawGpuWay, TokendrawDtype, Rows, int32_t>> {
};

TEST_P(GpuNucleus, KeepsWhatReachesTheShare) {
  const auto& [device, way, dtype, rows, vocab] = GetParam();
  if (!has_device(device)) GTEST_SKIP() << "there is no such device";
  const SamplerPointer sampler = sampler_of(device, TOKENDRAW_ALGORITHM_CANDIDATES, way);
  ASSERT_NE(sampler, nullptr);
  const BatchSpec spec = cuts_of(rows, vocab, dtype);
  PackedBatch packed(spec);
  // On the emulator in several orders of threads, where a cut has many to do with it.
  auto* const set_seed = EMULATOR(simt_set_seed);
  const uint64_t orders = set_seed != nullptr && (rows == Rows::kClose || rows == Rows::kDense) ? 3 : 1;
  for (uint64_t order = 1; order <= orders; ++order) {
    if (set_seed != nullptr) set_seed(order);
    packed.clear_outputs();
    ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(difference(oracle_results(spec), packed.results()), "") << "order " << order;
  }
}

constexpr TokendrawGpuWay kCluster = TOKENDRAW_GPU_WAY_CLUSTER;
constexpr TokendrawGpuWay kBlock = TOKENDRAW_GPU_WAY_BLOCK;
constexpr TokendrawGpuWay kSmallBlock = TOKENDRAW_GPU_WAY_SMALL_BLOCK;

INSTANTIATE_TEST_SUITE_P(Floats, GpuNucleus,
                         testing::Combine(testing::Values(0), testing::Values(kCluster),
                                          testing::Values(TOKENDRAW_DTYPE_F32),
                                          testing::Values(Rows::kSpread, Rows::kTies, Rows::kClose, Rows::kTooClose,
                                                          Rows::kDeep, Rows::kDense, Rows::kRising),
                                          testing::ValuesIn(kVocabs)));
INSTANTIATE_TEST_SUITE_P(FloatsByBlock, GpuNucleus,
                         testing::Combine(testing::Values(0), testing::Values(kBlock, kSmallBlock),
                                          testing::Values(TOKENDRAW_DTYPE_F32),
                                          testing::Values(Rows::kSpread, Rows::kTies, Rows::kClose, Rows::kTooClose,
                                                          Rows::kDeep, Rows::kDense, Rows::kRising),
                                          testing::Values(kVocabs[0], kVocabs[3])));
INSTANTIATE_TEST_SUITE_P(WideWaves, GpuNucleus,
                         testing::Combine(testing::Values(1), testing::Values(kCluster, kBlock),
                                          testing::Values(TOKENDRAW_DTYPE_F32),
                                          testing::Values(Rows::kSpread, Rows::kTies, Rows::kClose),
                                          testing::Values(kVocabs[0], kVocabs[2])));
INSTANTIATE_TEST_SUITE_P(SixteenBits, GpuNucleus,
                         testing::Combine(testing::Values(0), testing::Values(kCluster, kBlock, kSmallBlock),
                                          testing::Values(TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16),
                                          testing::Values(Rows::kSpread, Rows::kTies), testing::Values(kVocabs[2])));

// What a row costs on the emulator.
uint64_t switches_of(const SamplerPointer& sampler, Rows rows) {
  auto* const count = EMULATOR(simt_count_switches);
  BatchSpec spec = draws_of(make_row(rows, kVocabs[1]), {}, {uint64_t{1} << 62});
  spec.rows[0].top_p = rows == Rows::kDeep ? std::nextafter(1.0f, 0.0f) : 0.75f;
  PackedBatch packed(spec);
  packed.batch.kept = nullptr;
  packed.batch.logprob = nullptr;
  EMULATOR(simt_set_seed)(1);
  const uint64_t start = count();
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  return count() - start;
}

// Else the tests above would show nothing of these ways: beside the search that serves all.
TEST(GpuNucleusSearch, ServesAllButWhatLiesTooCloseOrTooDeepInClusters) {
  if (!has_device(0)) GTEST_SKIP() << "there is no device";
  const SamplerPointer candidates = sampler_of(0, TOKENDRAW_ALGORITHM_CANDIDATES, kCluster);
  const SamplerPointer refine = sampler_of(0, TOKENDRAW_ALGORITHM_REFINE, kCluster);
  if (EMULATOR(simt_count_switches) == nullptr) GTEST_SKIP() << "not on the emulator";
  const uint64_t search_for_ties = switches_of(refine, Rows::kTies);
  EXPECT_LT(switches_of(candidates, Rows::kTies), search_for_ties);
  for (const Rows rows : {Rows::kTooClose, Rows::kDeep}) {
    EXPECT_GT(switches_of(candidates, rows), switches_of(refine, rows)) << kNames[static_cast<size_t>(rows)];
  }
  // Without room for a list there is no other way than that search.
  for (const Rows rows : {Rows::kSpread, Rows::kClose}) {
    const uint64_t by_list = switches_of(candidates, rows);
    EMULATOR(simt_set_list_limit)(1);
    EXPECT_LT(by_list, switches_of(candidates, rows)) << kNames[static_cast<size_t>(rows)];
    EMULATOR(simt_set_list_limit)(0);
  }
}

TEST(GpuNucleusSearch, FindsByItsListWhatWouldBeSearchedForByBlocks) {
  if (!has_device(0)) GTEST_SKIP() << "there is no device";
  for (const TokendrawGpuWay way : {kBlock, kSmallBlock}) {
    const SamplerPointer candidates = sampler_of(0, TOKENDRAW_ALGORITHM_CANDIDATES, way);
    if (EMULATOR(simt_count_switches) == nullptr) GTEST_SKIP() << "not on the emulator";
    for (const Rows rows : {Rows::kSpread, Rows::kClose, Rows::kDense}) {
      const uint64_t by_list = switches_of(candidates, rows);
      EMULATOR(simt_set_list_limit)(1);
      EXPECT_LT(by_list, switches_of(candidates, rows)) << kNames[static_cast<size_t>(rows)];
      EMULATOR(simt_set_list_limit)(0);
    }
    // Ties that do not fit are counted instead, in no more time than by a list, and in less than by that search.
    const SamplerPointer refine = sampler_of(0, TOKENDRAW_ALGORITHM_REFINE, way);
    EMULATOR(simt_set_list_limit)(1);
    EXPECT_LT(switches_of(candidates, Rows::kTies), switches_of(refine, Rows::kTies));
    EMULATOR(simt_set_list_limit)(0);
  }
}

}  // namespace
}  // namespace tokendraw::test
