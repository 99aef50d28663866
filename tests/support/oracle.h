// SPDX-License-Identifier: Apache-2.0
// The contract (docs/semantics.md) written a second time, for the tests alone: sequential, sorted, and sharing no code
// with the library, so that the library's reference and its engine cannot agree on the same mistake.
#pragma once

#include <cstdint>
#include <vector>

#include "support/batch_spec.h"

namespace tokendraw::test {

// What the contract says about one row, beyond its results.
struct OracleRow {
  RowResult result;              // of every algorithm but rejection
  std::vector<float> effective;  // empty where the row is BAD_PARAMETER
  std::vector<uint64_t> weights;
  std::vector<bool> kept;  // kept and of positive weight
};

OracleRow oracle_row(const BatchSpec& spec, size_t row);
OracleRow rejection_row(const BatchSpec& spec, size_t row);  // section 8: the same kept set, another token

// All rows of a batch. Per-row values are taken from the spec: shared masks and biases must be repeated in its rows.
std::vector<RowResult> oracle_results(const BatchSpec& spec);
std::vector<RowResult> rejection_results(const BatchSpec& spec);

uint64_t oracle_weight(float y);  // section 4, exp2_fixed
uint64_t oracle_random(uint64_t seed, uint32_t stream, uint64_t offset, uint32_t purpose);

}  // namespace tokendraw::test
