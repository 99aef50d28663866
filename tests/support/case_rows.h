// SPDX-License-Identifier: Apache-2.0
// What the numbered cases share. Case<n> is number n of a collection from the issue trackers of other samplers: inputs
// for which one of them returned a wrong token, hung or crashed.
//   1 to 8, 15, 16, 34  cases_values_test.cpp      9 to 14, 30 to 33  cases_filters_test.cpp
//   24 to 29            cases_inputs_test.cpp      17                 large_batch_test.cpp
//   18 to 20            invariance_test.cpp        22                 distribution_test.cpp
//   23                  thread_test.cpp            37                 sampler_api_test.cpp
// GPUs have 17, 18, 21, 23, 24 and 37 of their own in gpu/cuda/, the others by TOKENDRAW_TEST_CUDA=1 (samplers.h). 35
// is the emulator's, whose devices have warps of 32 and of 64 lanes; for 36 kernels are compiled when the library is.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/batch_spec.h"

namespace tokendraw::test {

inline constexpr uint64_t kWeightOfBest = uint64_t{1} << 42;
inline constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
inline constexpr int32_t kMinInt = std::numeric_limits<int32_t>::min();
inline constexpr float kTiny = std::numeric_limits<float>::denorm_min();
// The temperature at which a logit one lower weighs exactly half.
inline constexpr float kBinaryTemperature = 1.44269502162933349609375f;

inline RowSpec filtered(float temperature, int32_t top_k, float top_p = 1.0f, float min_p = 0.0f) {
  RowSpec row;
  row.temperature = temperature;
  row.top_k = top_k;
  row.top_p = top_p;
  row.min_p = min_p;
  row.seed = 42;
  return row;
}

// One row of logits read by as many output rows as there are parameters; row r draws at offset r.
inline BatchSpec one_row_many_parameters(const std::vector<float>& logits, const std::vector<RowSpec>& rows) {
  BatchSpec spec;
  spec.logits = {logits};
  spec.rows = rows;
  spec.row_index.assign(rows.size(), 0);
  for (size_t r = 0; r < rows.size(); ++r) spec.rows[r].offset = r;
  return spec;
}

inline void expect_no_token(const RowResult& result, uint32_t status, int32_t invalid_token = -1) {
  EXPECT_EQ(result.token, invalid_token);
  EXPECT_EQ(result.status, status);
  EXPECT_EQ(result.kept, 0);
  EXPECT_EQ(result.kept_mass, 0u);
  EXPECT_TRUE(std::isnan(result.logprob));
}

}  // namespace tokendraw::test
