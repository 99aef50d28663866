// SPDX-License-Identifier: Apache-2.0
#include "support/chi_square.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace tokendraw::test {
namespace {

constexpr double kPrecision = 1e-14;

// P(a, x) = x^a e^-x / Gamma(a) * sum of x^n / (a (a+1) ... (a+n)); converges quickly for x < a + 1.
double lower_gamma_by_series(double a, double x) {
  double term = 1.0 / a;
  double sum = term;
  for (double n = a + 1.0; term > sum * kPrecision; n += 1.0) {
    term *= x / n;
    sum += term;
  }
  return sum * std::exp(a * std::log(x) - x - std::lgamma(a));
}

// Q(a, x) = x^a e^-x / Gamma(a) * 1 / (x+1-a - 1(1-a) / (x+3-a - 2(2-a) / (x+5-a - ...))), evaluated from the front by
// Lentz's method; converges quickly for x > a + 1.
double upper_gamma_by_fraction(double a, double x) {
  constexpr double kTiny = 1e-300;
  double b = x + 1.0 - a;
  double c = 1.0 / kTiny;
  double d = 1.0 / b;
  double fraction = d;
  for (int i = 1; i < 100000; ++i) {
    const double numerator = -i * (i - a);
    b += 2.0;
    d = numerator * d + b;
    if (std::fabs(d) < kTiny) d = kTiny;
    c = b + numerator / c;
    if (std::fabs(c) < kTiny) c = kTiny;
    d = 1.0 / d;
    const double factor = d * c;
    fraction *= factor;
    if (std::fabs(factor - 1.0) < kPrecision) break;
  }
  return fraction * std::exp(a * std::log(x) - x - std::lgamma(a));
}

}  // namespace

double chi_square_tail(double freedom, double x) {
  const double a = freedom / 2.0;
  const double half = x / 2.0;
  if (half <= 0.0) return 1.0;
  return half < a + 1.0 ? 1.0 - lower_gamma_by_series(a, half) : upper_gamma_by_fraction(a, half);
}

GTest g_test(const std::vector<int64_t>& observed, const std::vector<uint64_t>& weights, double min_expected) {
  GTest test;
  double total_weight = 0.0;
  int64_t draws = 0;
  std::vector<size_t> order;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) {
      test.outside += observed[i];
      continue;
    }
    total_weight += static_cast<double>(weights[i]);
    draws += observed[i];
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return weights[a] > weights[b]; });

  struct Group {
    double expected = 0.0;
    int64_t observed = 0;
  };
  std::vector<Group> groups(1);
  for (const size_t i : order) {
    if (groups.back().expected >= min_expected) groups.emplace_back();
    groups.back().expected += static_cast<double>(draws) * static_cast<double>(weights[i]) / total_weight;
    groups.back().observed += observed[i];
  }
  if (groups.size() > 1 && groups.back().expected < min_expected) {
    const Group last = groups.back();
    groups.pop_back();
    groups.back().expected += last.expected;
    groups.back().observed += last.observed;
  }
  for (const Group& group : groups) {
    if (group.observed == 0) continue;
    const auto count = static_cast<double>(group.observed);
    test.g += 2.0 * count * std::log(count / group.expected);
  }
  test.freedom = static_cast<int>(groups.size()) - 1;
  if (test.freedom > 0) test.p_value = chi_square_tail(test.freedom, test.g);
  return test;
}

}  // namespace tokendraw::test
