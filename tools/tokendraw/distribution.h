// SPDX-License-Identifier: Apache-2.0
// Do the tokens follow the distribution? Agreement alone cannot tell: two samplers may agree and both be wrong.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "filter_settings.h"
#include "row_kinds.h"

namespace tokendraw::cli {

// A test is failed below this: the chance that a right sampler fails one test, had the seed been chosen at random.
inline constexpr double kFalseAlarmRate = 1e-6;

// The chance that a chi-square variable with this many degrees of freedom is larger than x.
double chi_square_tail(double x, double degrees);

struct GTestResult {
  double g = 0.0;       // 2 * sum of observed * ln(observed / expected)
  int64_t degrees = 0;  // cells after pooling, less one
  double p_value = 1.0;
  int64_t impossible = 0;  // observations of cells whose probability is 0
};

// Cells with an expectation below 5 are pooled, lightest first, until each pool expects at least 5.
GTestResult g_test(std::span<const int64_t> observed, std::span<const double> probability);

enum class Varied { kOffset, kSeed, kStream };

struct DistributionCase {
  const char* name;
  cases::RowKind kind;
  int32_t vocab;
  TokendrawDtype dtype;
  cases::FilterSetting setting;
  TokendrawTopPBase base;
  Varied varied;  // what tells the draws apart
};

std::span<const DistributionCase> distribution_cases();

struct DistributionResult {
  GTestResult test;
  int64_t kept = 0;
  std::string defect;  // "" or what is wrong beside the distribution, in one line
};

// Draws `draws` tokens from one row and compares them with probabilities computed in doubles from the definitions.
DistributionResult run_distribution_case(const DistributionCase& c, TokendrawSampler* sampler, uint64_t seed,
                                         int64_t draws);

}  // namespace tokendraw::cli
