// SPDX-License-Identifier: Apache-2.0
// The shipped logits of a language model, as people sample them: against the oracle, and against what is known of them.
#include <gtest/gtest.h>
#include <stored_logit.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <utility>

#include "support/answers.h"
#include "support/case_rows.h"
#include "support/data_file.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr size_t kRows = 24;
constexpr size_t kVocab = 128256;

// The file is one array of little-endian uint16 of shape (24, 128256), the bits of bf16, behind its NumPy header.
BatchSpec real_rows() {
  std::ifstream file(data_file("real_logits_128256_bf16.npy"), std::ios::binary | std::ios::ate);
  std::vector<uint16_t> bits(kRows * kVocab);
  const auto bytes = static_cast<std::streamoff>(bits.size() * sizeof(uint16_t));
  file.seekg(-bytes, std::ios::end);
  file.read(reinterpret_cast<char*>(bits.data()), bytes);
  EXPECT_TRUE(file.good());
  BatchSpec spec;
  spec.dtype = TOKENDRAW_DTYPE_BF16;
  for (size_t r = 0; r < kRows; ++r) {
    std::vector<float> logits(kVocab);
    for (size_t i = 0; i < kVocab; ++i) logits[i] = cases::decode_logit(bits[r * kVocab + i], TOKENDRAW_DTYPE_BF16);
    spec.logits.push_back(std::move(logits));
  }
  spec.rows.resize(kRows);
  return spec;
}

BatchSpec with_filters(BatchSpec spec, const RowSpec& row) {
  for (size_t r = 0; r < spec.rows.size(); ++r) {
    spec.rows[r] = row;
    spec.rows[r].stream = static_cast<uint32_t>(r);
  }
  return spec;
}

std::vector<int64_t> sorted_kept(const std::vector<RowResult>& results) {
  std::vector<int64_t> kept;
  for (const RowResult& result : results) kept.push_back(result.kept);
  std::sort(kept.begin(), kept.end());
  return kept;
}

TEST(RealLogits, EveryAlgorithmAgreesWithTheOracle) {
  BatchSpec spec = real_rows();
  if (kSanitized) spec.logits.resize(2), spec.rows.resize(2);
  for (const RowSpec& row : {filtered(1.0f, 50, 0.9f), filtered(1.0f, 0, 0.9f), filtered(1.0f, 0),
                             filtered(0.7f, 0, 0.9f), filtered(1.3f, 1000, 0.95f, 0.01f)}) {
    ask_every_algorithm(with_filters(spec, row));
  }
}

TEST(RealLogits, GreedyTokensAreThoseOfTheFile) {
  std::ifstream file(data_file("real_logits_128256.json"));
  const nlohmann::json facts = nlohmann::json::parse(file);
  ASSERT_EQ(facts.size(), kRows);
  const std::vector<RowResult> results = run({}, with_filters(real_rows(), filtered(0.0f, 0)));
  for (size_t r = 0; r < kRows; ++r) EXPECT_EQ(results[r].token, facts[r].at("argmax").get<int32_t>()) << r;
}

// What data/README.md says of them.
TEST(RealLogits, NucleiAreOfTheSizesStated) {
  const BatchSpec spec = real_rows();
  const std::vector<int64_t> at_one = sorted_kept(run({}, with_filters(spec, filtered(1.0f, 0, 0.9f))));
  EXPECT_EQ(at_one[0], 1);
  EXPECT_EQ(at_one[kRows / 2 - 1], 125);
  EXPECT_EQ(at_one[kRows - 2], 3122);
  EXPECT_EQ(at_one[kRows - 1], 82611);
  const std::vector<int64_t> cooler = sorted_kept(run({}, with_filters(spec, filtered(0.7f, 0, 0.9f))));
  EXPECT_EQ(cooler[kRows / 2 - 1], 7);
  EXPECT_EQ(cooler[kRows - 1], 9190);
}

// Log-probabilities keep their promise of 1e-6, before the rounding to float, where float weights are at their worst:
// many tokens far below the best, all rounded the same way.
TEST(LogProbability, IsWithinItsPromiseOnHeavyTails) {
  for (const int32_t vocab : {2000, scaled(200000), scaled(2000000)}) {
    for (const float distance : {5.0f, 8.3f, 10.0f, 11.7f, 12.9f, 14.2f, 14.55f}) {
      for (const float temperature : {0.7f, 0.9f, 1.0f, 1.1f, 1.37f, 3.0f}) {
        std::vector<float> logits(static_cast<size_t>(vocab), -distance * temperature);
        logits[17] = 0.0f;
        BatchSpec spec = one_row_many_parameters(logits, {filtered(temperature, 0), filtered(temperature, 1)});
        spec.random_u64 = {0, 0};
        const double exponent = static_cast<double>(logits[0]) / static_cast<double>(temperature);
        const double log_sum = std::log1p((vocab - 1) * std::exp(exponent));
        for (const auto algorithm : {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_REFERENCE}) {
          if (algorithm == TOKENDRAW_ALGORITHM_REFERENCE && vocab > 2000) continue;  // it sorts
          const std::vector<RowResult> results = run({algorithm, "", 1}, spec);
          ASSERT_EQ(results[0].token, 0);
          ASSERT_EQ(results[1].token, 17);
          for (const auto& [result, exact] :
               {std::pair(results[0], exponent - log_sum), std::pair(results[1], -log_sum)}) {
            const float rounded = static_cast<float>(exact);
            const double half_an_ulp = (std::nextafter(std::fabs(rounded), kInfinity) - std::fabs(rounded)) / 2.0;
            EXPECT_NEAR(result.logprob, exact, 1e-6 + half_an_ulp)
                << distance << " at temperature " << temperature << " of " << vocab;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
