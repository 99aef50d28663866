// SPDX-License-Identifier: Apache-2.0
// The likelihood-ratio test (G-test) of observed counts against expected shares.
#pragma once

#include <cstdint>
#include <vector>

namespace tokendraw::test {

// P(X >= x) for X of the chi-square distribution with `freedom` degrees: the regularised upper incomplete gamma
// function Q(freedom / 2, x / 2), by its series or its continued fraction, to about 12 digits.
double chi_square_tail(double freedom, double x);

struct GTest {
  double g = 0.0;
  int freedom = 0;
  double p_value = 1.0;
  // Counts in categories of share 0. Any such count disproves the hypothesis; it is kept out of g.
  int64_t outside = 0;
};

// observed[i] draws in category i, whose share of all draws is weights[i] / sum of weights. Categories that expect
// fewer than `min_expected` draws are pooled, in the order of their expectation, into groups that expect at least as
// many, so that a tail of many light categories is tested as well and G follows the chi-square distribution closely.
GTest g_test(const std::vector<int64_t>& observed, const std::vector<uint64_t>& weights, double min_expected = 20.0);

}  // namespace tokendraw::test
