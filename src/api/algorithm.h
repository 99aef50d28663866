// SPDX-License-Identifier: Apache-2.0
// Algorithms as callers name them.
#pragma once

#include "api/error.h"

namespace tokendraw::api {

inline TokendrawStatus check_algorithm(TokendrawAlgorithm algorithm) {
  if (algorithm >= TOKENDRAW_ALGORITHM_AUTO && algorithm <= TOKENDRAW_ALGORITHM_REJECTION) return TOKENDRAW_OK;
  return report(TOKENDRAW_INVALID_ALGORITHM, "algorithm is %d, which is no TokendrawAlgorithm",
                static_cast<int>(algorithm));
}

inline bool runs_on_cpu_only(TokendrawAlgorithm algorithm) { return algorithm == TOKENDRAW_ALGORITHM_REFERENCE; }

}  // namespace tokendraw::api
