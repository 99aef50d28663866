// SPDX-License-Identifier: Apache-2.0
// GPU = reference, output for output, over the case list: every algorithm that a GPU serves, on each of the devices (the
// emulator has one with warps of 32 lanes and one of 64), rows split over blocks and not.
//
// A failure names the case and how to run it alone: TOKENDRAW_TEST_CASE=<id> gpu_agreement_test
#include <case_batch.h>
#include <cases.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <optional>

#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

// On the emulator a lane is a fiber; a real GPU takes the whole list (TOKENDRAW_TEST_MAX_VOCAB, TOKENDRAW_TEST_WHOLE).
constexpr size_t kParts = 4;

SamplerPointer make_gpu_sampler(TokendrawAlgorithm algorithm, int32_t device) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.device = device;
  options.algorithm = algorithm;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

int32_t device_count() {
  for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
    TokendrawBackendInfo info = {};
    info.struct_size = sizeof info;
    if (tokendraw_get_backend_info(i, &info) != TOKENDRAW_OK || info.backend != TOKENDRAW_BACKEND_CUDA) continue;
    EXPECT_EQ(info.available, 1) << info.reason;
    return info.device_count;
  }
  return 0;
}

std::vector<RowResult> run_case(TokendrawSampler* sampler, const cases::CaseBatch& batch) {
  cases::CaseOutput output;
  const TokendrawBatch arrays = batch.batch(output);
  EXPECT_EQ(tokendraw_sample_host(sampler, &arrays), TOKENDRAW_OK) << tokendraw_last_error_message();
  std::vector<RowResult> results;
  for (size_t r = 0; r < output.tokens.size(); ++r) {
    results.push_back({output.tokens[r], output.row_status[r], output.kept[r], output.kept_mass[r], output.logprob[r]});
  }
  return results;
}

std::vector<cases::Case> cases_to_run(size_t part) {
  if (const char* id = std::getenv("TOKENDRAW_TEST_CASE")) {
    const std::optional<cases::Case> one = cases::parse_case_id(id);
    EXPECT_TRUE(one.has_value()) << "TOKENDRAW_TEST_CASE is no case: " << id;
    return one ? std::vector<cases::Case>{*one} : std::vector<cases::Case>{};
  }
  cases::CaseListOptions options;
  options.quick = std::getenv("TOKENDRAW_TEST_WHOLE") == nullptr;
  const char* max_vocab = std::getenv("TOKENDRAW_TEST_MAX_VOCAB");
  options.max_vocab = max_vocab != nullptr ? std::atoi(max_vocab) : kSanitized ? 1100 : 5000;
  const std::vector<cases::Case> list = cases::list_cases(options);
  std::vector<cases::Case> chosen;
  for (size_t i = part; i < list.size(); i += kParts) chosen.push_back(list[i]);
  return chosen;
}

class GpuAgreement : public testing::TestWithParam<size_t> {};

TEST_P(GpuAgreement, EveryAlgorithmAndDevice) {
  const int32_t devices = device_count();
  ASSERT_GT(devices, 0);
  const SamplerPointer reference = make_sampler({TOKENDRAW_ALGORITHM_REFERENCE, "", 1});
  std::vector<std::pair<std::string, SamplerPointer>> samplers;
  for (int32_t device = 0; device < devices; ++device) {
    for (const auto algorithm : {TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
      samplers.emplace_back(std::string(tokendraw_algorithm_name(algorithm)) + " on device " + std::to_string(device),
                            make_gpu_sampler(algorithm, device));
      ASSERT_NE(samplers.back().second, nullptr);
    }
  }
  int failures = 0;
  int64_t rows = 0;
  for (const cases::Case& c : cases_to_run(GetParam())) {
    const cases::CaseBatch whole(c);
    const std::vector<RowResult> expected = run_case(reference.get(), whole);
    // A batch of all rows has one block a row; two rows alone are split where they are long enough.
    const std::vector<int64_t> chosen = {whole.rows() - 1, 0};
    const cases::CaseBatch two(c, chosen);
    const std::vector<RowResult> expected_two = {expected.back(), expected.front()};
    for (const auto& [name, sampler] : samplers) {
      for (const bool split : {false, true}) {
        const std::string found = split ? difference(expected_two, run_case(sampler.get(), two))
                                        : difference(expected, run_case(sampler.get(), whole));
        rows += split ? 2 : whole.rows();
        if (found.empty()) continue;
        ADD_FAILURE() << name << (split ? ", the last and the first row alone: " : ": ") << found
                      << "\nTOKENDRAW_TEST_CASE=" << case_id(c) << " gpu_agreement_test";
        if (++failures == 10) return;
      }
    }
  }
  EXPECT_GT(rows, 0);
  RecordProperty("rows_compared", std::to_string(rows));
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuAgreement, testing::Range(size_t{0}, kParts));

}  // namespace
}  // namespace tokendraw::test
