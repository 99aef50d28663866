// SPDX-License-Identifier: Apache-2.0
// The filters that a bench measures, of all rows alike.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>

namespace tokendraw::bench {

struct Filter {
  const char* name;
  float temperature;
  int32_t top_k;
  float top_p;
  float min_p;
  TokendrawTopPBase base;
  bool logprob;
};

inline constexpr Filter kFilters[] = {
    {"greedy", 0.0f, 0, 1.0f, 0.0f, TOKENDRAW_TOP_P_AFTER_TOP_K, false},
    {"top-k", 1.0f, 50, 1.0f, 0.0f, TOKENDRAW_TOP_P_AFTER_TOP_K, false},
    {"top-k+top-p", 1.0f, 50, 0.9f, 0.0f, TOKENDRAW_TOP_P_AFTER_TOP_K, false},
    {"min-p", 1.0f, 0, 1.0f, 0.05f, TOKENDRAW_TOP_P_AFTER_TOP_K, false},
    {"none", 1.0f, 0, 1.0f, 0.0f, TOKENDRAW_TOP_P_AFTER_TOP_K, false},
    {"top-p", 1.0f, 0, 0.9f, 0.0f, TOKENDRAW_TOP_P_AFTER_TOP_K, false},
    {"joint", 1.0f, 50, 0.9f, 0.0f, TOKENDRAW_TOP_P_ALL, false},
    {"top-k+logprob", 1.0f, 50, 1.0f, 0.0f, TOKENDRAW_TOP_P_AFTER_TOP_K, true},
};

}  // namespace tokendraw::bench
