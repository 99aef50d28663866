// SPDX-License-Identifier: Apache-2.0
// Engine = reference, output for output, over the case list: every algorithm, every SIMD target peeled off one by one,
// 1, 2 and 7 threads. (random_search_test.cpp does the same for rows found at random, and adds the tests' own oracle.)
//
// A failure names the case and how to run it alone: TOKENDRAW_TEST_CASE=<id> agreement_test
#include <case_batch.h>
#include <cases.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

constexpr size_t kParts = 4;

// One part of the whole list, so that parts run side by side; or a fraction of the list, chosen by the cases' names.
std::vector<cases::Case> cases_to_run(std::optional<size_t> part) {
  if (const char* id = std::getenv("TOKENDRAW_TEST_CASE")) {
    const std::optional<cases::Case> one = cases::parse_case_id(id);
    EXPECT_TRUE(one.has_value()) << "TOKENDRAW_TEST_CASE is no case: " << id;
    return one ? std::vector<cases::Case>{*one} : std::vector<cases::Case>{};
  }
  cases::CaseListOptions options;
  options.quick = kSanitized || !part.has_value();
  if (kSanitized) options.max_vocab = 5000;
  const std::vector<cases::Case> list = cases::list_cases(options);
  if (!part.has_value()) return list;
  std::vector<cases::Case> chosen;
  for (size_t i = *part; i < list.size(); i += kParts) chosen.push_back(list[i]);
  return chosen;
}

std::vector<RowResult> run_case(const Variant& variant, const cases::CaseBatch& batch,
                                std::vector<unsigned char>& workspace) {
  TokendrawSampler* sampler = sampler_for(variant);
  cases::CaseOutput output;
  const TokendrawBatch arrays = batch.batch(output);
  size_t bytes = 0;
  EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &arrays, &bytes), TOKENDRAW_OK) << tokendraw_last_error_message();
  if (workspace.size() < bytes) workspace.resize(bytes, 0xe5);
  EXPECT_EQ(tokendraw_sample(sampler, &arrays, workspace.data(), bytes, nullptr), TOKENDRAW_OK)
      << tokendraw_last_error_message();
  std::vector<RowResult> results;
  for (size_t r = 0; r < output.tokens.size(); ++r) {
    results.push_back({output.tokens[r], output.row_status[r], output.kept[r], output.kept_mass[r], output.logprob[r]});
  }
  return results;
}

// Compares each variant with the reference on each case; returns the number of rows compared.
int64_t compare_cases(const std::vector<Variant>& variants, std::optional<size_t> part = std::nullopt) {
  const Variant reference = {TOKENDRAW_ALGORITHM_REFERENCE, "", 1};
  const testing::TestInfo& test = *testing::UnitTest::GetInstance()->current_test_info();
  std::vector<unsigned char> workspace;
  int64_t rows = 0;
  int failures = 0;
  for (const cases::Case& c : cases_to_run(part)) {
    const cases::CaseBatch batch(c);
    const std::vector<RowResult> expected = run_case(reference, batch, workspace);
    for (const Variant& variant : variants) {
      const std::string found = difference(expected, run_case(variant, batch, workspace));
      rows += batch.rows();
      if (found.empty()) continue;
      ADD_FAILURE() << to_text(variant) << ": " << found << "\nTOKENDRAW_TEST_CASE=" << case_id(c)
                    << " agreement_test --gtest_filter=" << test.test_suite_name() << "." << test.name();
      if (++failures == 20) return rows;
    }
  }
  testing::Test::RecordProperty("rows_compared", std::to_string(rows));
  return rows;
}

class WholeCaseList : public testing::TestWithParam<size_t> {};

TEST_P(WholeCaseList, EveryAlgorithm) {
  const std::vector<Variant> variants = {
      {TOKENDRAW_ALGORITHM_AUTO, "", 1}, {TOKENDRAW_ALGORITHM_CANDIDATES, "", 1}, {TOKENDRAW_ALGORITHM_REFINE, "", 1}};
  compare_cases(variants, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Agreement, WholeCaseList, testing::Range(size_t{0}, kParts));

// One test a target and algorithm: every SIMD target that this processor runs.
class EveryTarget : public testing::TestWithParam<std::string> {};

TEST_P(EveryTarget, EveryAlgorithmOneThread) {
  std::vector<Variant> variants;
  for (const auto algorithm : {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
    variants.push_back({algorithm, GetParam(), 1});
  }
  compare_cases(variants);
}

// The path asked for is the one that runs.
TEST_P(EveryTarget, IsTheOneThatRuns) {
  const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, GetParam(), 1});
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  ASSERT_EQ(tokendraw_get_sampler_info(sampler.get(), &info), TOKENDRAW_OK);
  EXPECT_EQ(info.target, GetParam());
}

INSTANTIATE_TEST_SUITE_P(Agreement, EveryTarget, testing::ValuesIn(cpu_targets()),
                         [](const testing::TestParamInfo<std::string>& info) { return info.param; });

TEST(CaseList, IsOfTheSizeStated) {
  EXPECT_GT(cases::list_cases({}).size(), 20000u);
  cases::CaseListOptions quick;
  quick.quick = true;
  EXPECT_GT(cases::list_cases(quick).size(), 1000u);
}

TEST(CaseList, TwoThreadsAndSeven) {
  std::vector<Variant> variants;
  for (const int32_t threads : {2, 7}) {
    for (const Variant& variant : on_cpu(exact_algorithms(threads))) variants.push_back(variant);
  }
  compare_cases(variants);
}

}  // namespace
}  // namespace tokendraw::test
