// SPDX-License-Identifier: Apache-2.0
// The weights of every SIMD target, which computes them in steps of its own: each fraction of an exponent there is, and
// the ends of the range. Rows of one vector's length and of many, summed by kept_mass and counted by kept.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "support/case_rows.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

// Rows at kBinaryTemperature, where y = x - max: a 0 at the front of each row, then these exponents.
std::vector<float> row_of_exponents(std::vector<float> y) {
  y.insert(y.begin(), 0.0f);
  return y;
}

// Mass and count of a row that no filter shortens.
RowResult expected_sum(const std::vector<float>& y) {
  RowResult sum;
  for (const float exponent : y) {
    const uint64_t weight = oracle_weight(exponent);
    sum.kept += weight > 0 ? 1 : 0;
    sum.kept_mass += weight;
  }
  return sum;
}

class TargetWeights : public testing::TestWithParam<std::string> {
 protected:
  // With min_p = 2^-42 the sum is another algorithm's: that of a cut.
  static void check(const std::vector<std::vector<float>>& rows, float min_p) {
    BatchSpec spec;
    spec.logits = rows;
    spec.rows.assign(rows.size(), filtered(kBinaryTemperature, 0, 1.0f, min_p));
    for (const auto algorithm : {TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
      const std::vector<RowResult> results = run({algorithm, GetParam(), 1}, spec);
      for (size_t r = 0; r < rows.size(); ++r) {
        const RowResult expected = expected_sum(rows[r]);
        ASSERT_EQ(results[r].kept_mass, expected.kept_mass) << "row " << r << ", from y = " << rows[r][1];
        ASSERT_EQ(results[r].kept, expected.kept) << "row " << r << ", from y = " << rows[r][1];
      }
    }
  }
};

// f takes the multiples of 2^-21 in [-1/2, 1/2]: all of them, in rows of 64, for two whole exponents.
TEST_P(TargetWeights, EveryFraction) {
  constexpr int32_t kPerRow = 64;
  constexpr int32_t kFractions = (1 << 21) + 1;
  const int32_t step = kSanitized ? 50 : 1;
  for (const int32_t exponent : {-1, -20}) {
    std::vector<std::vector<float>> rows;
    for (int32_t first = 0; first < kFractions; first += kPerRow * step) {
      std::vector<float> y;
      for (int32_t i = first; i < std::min(first + kPerRow, kFractions); ++i) {
        const float fraction = static_cast<float>(i - (1 << 20)) * 0x1p-21f;
        y.push_back(static_cast<float>(exponent) + fraction);
      }
      rows.push_back(row_of_exponents(std::move(y)));
      rows.back().resize(kPerRow + 1, -kInfinity);
    }
    check(rows, 0.0f);
  }
}

TEST_P(TargetWeights, RandomExponents) {
  TestRandom random(7);
  for (const int32_t length : {1, 15, 64, 255, 256, 300, 5000}) {
    for (const float lowest : {-1.0f, -17.0f, -19.0f, -45.0f, -70.0f}) {
      for (const float highest : {0.0f, -17.9f, -30.0f}) {
        if (highest <= lowest) continue;
        std::vector<std::vector<float>> rows(length > 300 ? 4 : 20);
        for (std::vector<float>& row : rows) {
          std::vector<float> y(static_cast<size_t>(length));
          for (float& value : y) value = random.uniform(lowest, highest);
          row = row_of_exponents(std::move(y));
        }
        check(rows, 0.0f);
        check(rows, 0x1p-42f);  // keeps all that weighs anything
      }
    }
  }
}

// Whole chunks of one exponent, on both sides of each place where the way of summing may change.
TEST_P(TargetWeights, WholeChunksOfOneExponent) {
  for (const float around :
       {-17.0f, -18.0f, -18.5f, -19.0f, -24.0f, -25.0f, -31.5f, -32.0f, -41.5f, -42.0f, -42.5f, -43.0f}) {
    std::vector<std::vector<float>> rows;
    for (const float y :
         {around, std::nextafter(around, 0.0f), std::nextafter(around, -100.0f), around + 0.25f, around - 0.25f}) {
      rows.push_back(row_of_exponents(std::vector<float>(2000, y)));
    }
    check(rows, 0.0f);
  }
}

// Far below, where y is out of every table: huge, -inf, and at the places where its integer part fills a float.
TEST_P(TargetWeights, NothingIsLeftFarBelow) {
  std::vector<std::vector<float>> rows;
  for (const float y : {-43.5f,       -44.0f,       -50.0f,       -63.9f,       -64.0f,         -64.5f,
                        -100.0f,      -1000.0f,     -4194304.0f,  -8388607.5f,  -8388608.0f,    -12582911.0f,
                        -12582912.0f, -12582913.0f, -16777216.0f, -25165824.0f, -2147483648.0f, -4294967296.0f,
                        -1e15f,       -1e30f,       -3.4e38f,     -kInfinity}) {
    rows.push_back(row_of_exponents(std::vector<float>(300, y)));
  }
  check(rows, 0.0f);
  check(rows, 0x1p-42f);
}

INSTANTIATE_TEST_SUITE_P(Targets, TargetWeights, testing::ValuesIn(cpu_targets()),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace tokendraw::test
