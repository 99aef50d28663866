// SPDX-License-Identifier: Apache-2.0
// Finds the shared object of a GPU backend and decides whether it can be used.
#pragma once

#include <cstdint>

#include "backend/table.h"
#include "plan/plan.h"

namespace tokendraw::backend {

struct Loaded {
  const Table* table = nullptr;  // nullptr: not available, and `reason` is one sentence about why
  int32_t device_count = 0;
  char reason[240] = "";
};

// What became of the backend, kCuda or kHip. The first call looks for it beside this library and where the system looks
// for libraries; the answer stays for as long as the process does, and so does the backend. Thread-safe.
const Loaded& load(plan::Backend backend);

}  // namespace tokendraw::backend
