// SPDX-License-Identifier: Apache-2.0
// main() of the binaries with RapidCheck properties: a fixed seed unless RC_PARAMS, which a failure prints, gives
// another.
#include <gtest/gtest.h>

#include <cstdlib>

#include "support/sanitizers.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  const char* parameters = tokendraw::test::kSanitized ? "seed=20260 max_success=200" : "seed=20260 max_success=5000";
  setenv("RC_PARAMS", parameters, 0);
  return RUN_ALL_TESTS();
}
