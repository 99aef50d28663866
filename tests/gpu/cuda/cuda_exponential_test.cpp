// SPDX-License-Identifier: Apache-2.0
// What the bound on estimated masses assumes of the device (src/gpu/kernels/mass_estimate.h).
#include <gtest/gtest.h>

#include "cuda_fixture.h"
#include "exponential_errors.h"

namespace tokendraw::test {
namespace {

using CudaExponential = CudaTest;

TEST_F(CudaExponential, IsRightTo22BitsForEveryFloat) {
  ExponentialErrors errors;
  ASSERT_TRUE(measure_exponential(&errors));
  RecordProperty("worst_relative_error", std::to_string(errors.worst * 0x1p22) + " * 2^-22");
  EXPECT_GT(errors.worst, 0.0);
  EXPECT_LE(errors.worst, 0x1p-22) << "2^" << errors.worst_at;
  EXPECT_LE(errors.too_large, 0x1.00001p-126f);
  EXPECT_EQ(errors.of_lowest, 0.0f);
}

}  // namespace
}  // namespace tokendraw::test
