// SPDX-License-Identifier: Apache-2.0
// Asking every algorithm and SIMD target the same question.
#pragma once

#include <vector>

#include "support/batch_spec.h"

namespace tokendraw::test {

// The results of one batch under both contracts of randomness.
struct Answers {
  std::vector<RowResult> exact;      // of auto, candidates, refine and reference alike
  std::vector<RowResult> rejection;  // of rejection; empty where random numbers are handed in

  // Both lists, for statements that hold for each.
  std::vector<RowResult> all() const;
};

// Runs the batch on every algorithm and SIMD target (rejection: on two of them), fails the test where one differs from
// the tests' oracle in any output, and returns what they all answered. 1e-6, as promised, for log-probabilities.
Answers ask_everyone(const BatchSpec& spec, const Layout& layout = {});

// The same on the best SIMD target only. For large batches.
Answers ask_every_algorithm(const BatchSpec& spec, const Layout& layout = {});

}  // namespace tokendraw::test
