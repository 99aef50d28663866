// SPDX-License-Identifier: Apache-2.0
#include "support/answers.h"

#include <gtest/gtest.h>

#include "support/oracle.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

// Weights of 2^-42 and float exponents: what the promise of 1e-6 leaves to the library. The oracle works in doubles.
constexpr double kLogprobTolerance = 1e-6;

Answers ask(const std::vector<Variant>& exact, const std::vector<Variant>& rejection, const BatchSpec& spec,
            const Layout& layout) {
  Answers answers;
  answers.exact = oracle_results(spec);
  for (const Variant& variant : exact) {
    EXPECT_EQ(difference(answers.exact, run(variant, spec, layout), kLogprobTolerance), "") << to_text(variant);
  }
  if (!spec.random_u64.empty() || !spec.random_f32.empty()) return answers;
  answers.rejection = rejection_results(spec);
  for (const Variant& variant : rejection) {
    EXPECT_EQ(difference(answers.rejection, run(variant, spec, layout), kLogprobTolerance), "") << to_text(variant);
  }
  return answers;
}

}  // namespace

std::vector<RowResult> Answers::all() const {
  std::vector<RowResult> results = exact;
  results.insert(results.end(), rejection.begin(), rejection.end());
  return results;
}

Answers ask_everyone(const BatchSpec& spec, const Layout& layout) {
  return ask(exact_variants(), rejection_variants(), spec, layout);
}

Answers ask_every_algorithm(const BatchSpec& spec, const Layout& layout) {
  return ask(exact_algorithms(), rejection_algorithms(), spec, layout);
}

}  // namespace tokendraw::test
