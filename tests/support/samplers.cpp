// SPDX-License-Identifier: Apache-2.0
#include "support/samplers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <sstream>

namespace tokendraw::test {

std::string to_text(const Variant& variant) {
  return std::string(tokendraw_algorithm_name(variant.algorithm)) + "/" +
         (variant.cpu_target.empty() ? "best target" : variant.cpu_target) + "/" + std::to_string(variant.threads) +
         " thread(s)";
}

std::vector<std::string> cpu_targets() {
  std::vector<std::string> targets;
  for (int32_t i = 0; const char* name = tokendraw_get_cpu_target_name(i); ++i) targets.emplace_back(name);
  return targets;
}

std::vector<Variant> exact_variants(int32_t threads) {
  std::vector<Variant> variants = {{TOKENDRAW_ALGORITHM_REFERENCE, "", threads}};
  for (const std::string& target : cpu_targets()) {
    for (const auto algorithm :
         {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
      variants.push_back({algorithm, target, threads});
    }
  }
  return variants;
}

std::vector<Variant> exact_algorithms(int32_t threads) {
  return {{TOKENDRAW_ALGORITHM_REFERENCE, "", threads},
          {TOKENDRAW_ALGORITHM_AUTO, "", threads},
          {TOKENDRAW_ALGORITHM_CANDIDATES, "", threads},
          {TOKENDRAW_ALGORITHM_REFINE, "", threads}};
}

std::vector<Variant> every_algorithm(int32_t threads) {
  std::vector<Variant> variants = exact_algorithms(threads);
  variants.push_back({TOKENDRAW_ALGORITHM_REJECTION, "", threads});
  return variants;
}

std::vector<Variant> rejection_variants(int32_t threads) {
  const std::vector<std::string> targets = cpu_targets();
  return {{TOKENDRAW_ALGORITHM_REJECTION, targets.front(), threads},
          {TOKENDRAW_ALGORITHM_REJECTION, targets.back(), threads}};
}

SamplerPointer make_sampler(const Variant& variant) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CPU;
  options.algorithm = variant.algorithm;
  options.threads = variant.threads;
  if (!variant.cpu_target.empty()) options.cpu_target = variant.cpu_target.c_str();
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

TokendrawSampler* sampler_for(const Variant& variant) {
  static std::map<std::string, SamplerPointer> samplers;
  SamplerPointer& sampler = samplers[to_text(variant)];
  if (sampler == nullptr) sampler = make_sampler(variant);
  return sampler.get();
}

std::vector<RowResult> run(TokendrawSampler* sampler, PackedBatch& packed) {
  constexpr size_t kGuardBytes = 64;
  size_t bytes = 0;
  EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &packed.batch, &bytes), TOKENDRAW_OK)
      << tokendraw_last_error_message();
  // Garbage that is no valid float, count or index of anything.
  std::vector<unsigned char> memory(bytes + 2 * kGuardBytes + 1, 0xe5);
  unsigned char* workspace = memory.data() + kGuardBytes;
  if (reinterpret_cast<uintptr_t>(workspace) % 2 == 0) ++workspace;
  packed.clear_outputs();
  EXPECT_EQ(tokendraw_sample(sampler, &packed.batch, workspace, bytes, nullptr), TOKENDRAW_OK)
      << tokendraw_last_error_message();
  const bool intact =
      std::all_of(memory.data(), workspace, [](unsigned char byte) { return byte == 0xe5; }) &&
      std::all_of(workspace + bytes, memory.data() + memory.size(), [](unsigned char byte) { return byte == 0xe5; });
  EXPECT_TRUE(intact) << "the call wrote beside its workspace of " << bytes << " bytes";
  return packed.results();
}

std::vector<RowResult> run(const Variant& variant, const BatchSpec& spec, const Layout& layout) {
  PackedBatch packed(spec, layout);
  return run(sampler_for(variant), packed);
}

std::string plan_value(const TokendrawSampler* sampler, const TokendrawBatch& batch, const std::string& key) {
  size_t needed = 0;
  EXPECT_EQ(tokendraw_describe_plan(sampler, &batch, nullptr, 0, &needed), TOKENDRAW_OK)
      << tokendraw_last_error_message();
  std::string text(needed, '\0');
  EXPECT_EQ(tokendraw_describe_plan(sampler, &batch, text.data(), text.size(), nullptr), TOKENDRAW_OK);
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.compare(0, key.size() + 2, key + ": ") == 0) return line.substr(key.size() + 2);
  }
  return "";
}

}  // namespace tokendraw::test
