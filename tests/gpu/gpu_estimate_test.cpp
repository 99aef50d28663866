// SPDX-License-Identifier: Apache-2.0
// Rows whose masses are estimated (src/gpu/kernels/mass_estimate.h), at the places where an estimate cannot tell: draws
// that fall on the border between two tokens, and shares of top_p that end there. The emulator's exponentials are as
// wrong as a device's may be.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <ostream>
#include <random>
#include <tuple>

#include "gpu/emulator.h"
#include "gpu/one_row.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr int32_t kVocab = 3 * 2048 + 77;  // more than one list, so that candidates are collected
constexpr size_t kPlaces = kSanitized ? 4 : 12;

enum class Rows { kFlat, kPeaked, kLow };
void PrintTo(Rows rows, std::ostream* out) {
  *out << (rows == Rows::kFlat ? "flat" : rows == Rows::kPeaked ? "peaked" : "low");
}

std::vector<float> make_row(Rows rows) {
  std::mt19937 generator(static_cast<uint32_t>(rows) + 1);
  std::normal_distribution<float> normal(0.0f, rows == Rows::kFlat ? 1.0f : 4.0f);
  std::vector<float> row(kVocab);
  for (float& x : row) x = normal(generator);
  // What comes late is so much larger that references have to follow.
  if (rows == Rows::kLow) {
    for (size_t i = row.size() / 2; i < row.size(); ++i) row[i] += 30.0f;
  }
  return row;
}

// Tokens, and with them kept counts and masses where they are asked for.
std::vector<RowResult> run_on(TokendrawSampler* sampler, const BatchSpec& spec, bool kept) {
  PackedBatch packed(spec);
  packed.clear_outputs();
  packed.batch.logprob = nullptr;
  if (!kept) packed.batch.kept = nullptr;
  if (!kept) packed.batch.kept_mass = nullptr;
  EXPECT_EQ(tokendraw_sample_host(sampler, &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  return packed.results();
}

// The smallest random number that draws `target` of `total`.
uint64_t random_for(uint64_t target, uint64_t total) {
  __extension__ typedef unsigned __int128 Wide;
  return static_cast<uint64_t>(((static_cast<Wide>(target) << 64) + total - 1) / total);
}

class GpuEstimate : public testing::TestWithParam<std::tuple<int32_t, TokendrawGpuWay, Rows>> {
 protected:
  void SetUp() override {
    if (!has_device(std::get<0>(GetParam()))) GTEST_SKIP() << "there is no such device";
    sampler_ = make_sampler({TOKENDRAW_ALGORITHM_CANDIDATES, "", 1, TOKENDRAW_BACKEND_CUDA, std::get<0>(GetParam()),
                             std::get<1>(GetParam())});
    ASSERT_NE(sampler_, nullptr);
  }
  std::vector<float> logits() const { return make_row(std::get<2>(GetParam())); }

  SamplerPointer sampler_;
};

TEST_P(GpuEstimate, DrawsAtTheBorderOfTwoTokens) {
  const std::vector<float> row = logits();
  const std::vector<uint64_t> weights = weights_of(row);
  std::vector<uint64_t> up_to(weights.size());
  std::partial_sum(weights.begin(), weights.end(), up_to.begin());
  const uint64_t total = up_to.back();
  std::vector<uint64_t> random;
  std::vector<size_t> by_weight(weights.size());
  std::iota(by_weight.begin(), by_weight.end(), size_t{0});
  std::sort(by_weight.begin(), by_weight.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });
  for (size_t i = 0; i < kPlaces; ++i) {
    const size_t id = by_weight[i * i];  // heavy ones, and some that are not
    for (const uint64_t target : {up_to[id] - weights[id], up_to[id] - 1}) random.push_back(random_for(target, total));
  }
  const BatchSpec spec = draws_of(row, {}, random);
  const std::vector<RowResult> results = run_on(sampler_.get(), spec, false);
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].token, static_cast<int32_t>(by_weight[i / 2 * (i / 2)])) << "random " << random[i];
  }
}

TEST_P(GpuEstimate, KeepsWhatReachesTheShare) {
  const std::vector<float> row = logits();
  const ShareBorders borders(weights_of(row));
  BatchSpec spec = draws_of(row, {}, {});
  spec.top_p_base = TOKENDRAW_TOP_P_ALL;
  for (size_t i = 0; i < 2 * kPlaces; ++i) {
    for (const float top_p : borders.of_heaviest(i + 1)) {
      RowSpec parameters;
      parameters.top_k = i % 2 == 0 ? 40 : 120;
      parameters.top_p = top_p;
      spec.rows.push_back(parameters);
      spec.row_index.push_back(0);
      spec.random_u64.push_back(~uint64_t{0} / 3);
    }
  }
  const std::vector<RowResult> expected = oracle_results(spec);
  const std::vector<RowResult> results = run_on(sampler_.get(), spec, true);
  for (size_t i = 0; i < results.size(); ++i) {
    EXPECT_EQ(results[i].token, expected[i].token) << i;
    EXPECT_EQ(results[i].kept, expected[i].kept) << i;
    EXPECT_EQ(results[i].kept_mass, expected[i].kept_mass) << i;
  }
}

// Where rows are many, so that unfiltered ones are estimated too.
using GpuEstimateOfMany = GpuEstimate;

// Else the tests above would show nothing of estimates: a draw inside a heavy token's interval is decided by them, one
// at its border is not.
TEST_P(GpuEstimateOfMany, IsLookedAtAgainOnlyAtABorder) {
  auto* const count = EMULATOR(simt_count_switches);
  if (count == nullptr) GTEST_SKIP() << "not on the emulator";
  const std::vector<float> row = logits();
  const std::vector<uint64_t> weights = weights_of(row);
  const auto best = static_cast<size_t>(std::max_element(weights.begin(), weights.end()) - weights.begin());
  const uint64_t before =
      std::accumulate(weights.begin(), weights.begin() + static_cast<std::ptrdiff_t>(best), uint64_t{0});
  const uint64_t total = std::accumulate(weights.begin(), weights.end(), uint64_t{0});
  std::vector<uint64_t> switches;
  for (const uint64_t target : {before + weights[best] / 2, before}) {
    EMULATOR(simt_set_seed)(1);
    const uint64_t start = count();
    EXPECT_EQ(run_on(sampler_.get(), draws_of(row, {}, {random_for(target, total)}), false)[0].token,
              static_cast<int32_t>(best));
    switches.push_back(count() - start);
  }
  EXPECT_LT(switches[0], switches[1]);
}

const auto kRows = testing::Values(Rows::kFlat, Rows::kPeaked, Rows::kLow);

INSTANTIATE_TEST_SUITE_P(Ways, GpuEstimate,
                         testing::Combine(testing::Values(0, 1),
                                          testing::Values(TOKENDRAW_GPU_WAY_BLOCK, TOKENDRAW_GPU_WAY_SMALL_BLOCK),
                                          kRows));
INSTANTIATE_TEST_SUITE_P(Ways, GpuEstimateOfMany,
                         testing::Combine(testing::Values(0, 1), testing::Values(TOKENDRAW_GPU_WAY_SMALL_BLOCK),
                                          kRows));

}  // namespace
}  // namespace tokendraw::test
