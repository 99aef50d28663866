// SPDX-License-Identifier: Apache-2.0
#include "support/samplers.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <map>
#include <sstream>

#if defined(TOKENDRAW_TEST_HAS_CUDA)
#include "support/cuda_batch.h"
#endif

namespace tokendraw::test {
namespace {

// The samplers of sampler_for: destroyed after the last test, before a GPU backend's own static objects are.
struct KeptSamplers : testing::Environment {
  void TearDown() override { of_name.clear(); }
  std::map<std::string, SamplerPointer> of_name;
};
auto* const kept_samplers = static_cast<KeptSamplers*>(testing::AddGlobalTestEnvironment(new KeptSamplers));

const char* cuda_wish() {
  const char* value = std::getenv("TOKENDRAW_TEST_CUDA");
  return value != nullptr && std::strcmp(value, "0") != 0 ? value : "";
}

bool gpu_only() { return std::strcmp(cuda_wish(), "only") == 0; }

bool gpu_from_host() { return std::strcmp(cuda_wish(), "host") == 0; }

TokendrawBackendInfo cuda_backend() {
  TokendrawBackendInfo info = {};
  for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
    info.struct_size = sizeof info;
    if (tokendraw_get_backend_info(i, &info) == TOKENDRAW_OK && info.backend == TOKENDRAW_BACKEND_CUDA) return info;
  }
  return {};
}

int32_t cuda_devices() {
  const TokendrawBackendInfo info = cuda_backend();
  EXPECT_EQ(info.available, 1) << "TOKENDRAW_TEST_CUDA is set: " << info.reason;
  return info.device_count;
}

bool runs_on_cpu(const TokendrawSampler* sampler) {
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  return tokendraw_get_sampler_info(sampler, &info) != TOKENDRAW_OK || info.backend == TOKENDRAW_BACKEND_CPU;
}

std::vector<RowResult> run_on_gpu(TokendrawSampler* sampler, PackedBatch& packed) {
  packed.clear_outputs();
#if defined(TOKENDRAW_TEST_HAS_CUDA)
  if (!gpu_from_host()) {
    sample_on_device(sampler, packed.batch);
    return packed.results();
  }
#endif
  EXPECT_EQ(tokendraw_sample_host(sampler, &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  return packed.results();
}

}  // namespace

std::string to_text(const Variant& variant) {
  if (variant.backend != TOKENDRAW_BACKEND_CPU) {
    return std::string(tokendraw_algorithm_name(variant.algorithm)) + "/" + tokendraw_backend_name(variant.backend) +
           " device " + std::to_string(variant.device) + "/way " + tokendraw_gpu_way_name(variant.gpu_way);
  }
  return std::string(tokendraw_algorithm_name(variant.algorithm)) + "/" +
         (variant.cpu_target.empty() ? "best target" : variant.cpu_target) + "/" + std::to_string(variant.threads) +
         " thread(s)";
}

std::vector<std::string> cpu_targets() {
  std::vector<std::string> targets;
  for (int32_t i = 0; const char* name = tokendraw_get_cpu_target_name(i); ++i) targets.emplace_back(name);
  return targets;
}

std::vector<Variant> gpu_variants(const std::vector<TokendrawAlgorithm>& algorithms) {
  static const int32_t devices = cuda_wish()[0] != '\0' ? cuda_devices() : 0;
  std::vector<Variant> variants;
  for (int32_t device = 0; device < devices; ++device) {
    for (const auto algorithm : algorithms) variants.push_back({algorithm, "", 1, TOKENDRAW_BACKEND_CUDA, device});
  }
  return variants;
}

int32_t cuda_device_count() { return cuda_backend().device_count; }

bool may_be_emulated(const Variant& variant) { return variant.backend != TOKENDRAW_BACKEND_CPU && gpu_from_host(); }

std::vector<Variant> on_cpu(const std::vector<Variant>& variants) {
  std::vector<Variant> chosen;
  std::copy_if(variants.begin(), variants.end(), std::back_inserter(chosen),
               [](const Variant& variant) { return variant.backend == TOKENDRAW_BACKEND_CPU; });
  return chosen;
}

std::vector<Variant> exact_variants(int32_t threads) {
  if (gpu_only()) return gpu_variants();
  std::vector<Variant> variants = {{TOKENDRAW_ALGORITHM_REFERENCE, "", threads}};
  for (const std::string& target : cpu_targets()) {
    for (const auto algorithm :
         {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
      variants.push_back({algorithm, target, threads});
    }
  }
  for (const Variant& variant : gpu_variants()) variants.push_back(variant);
  return variants;
}

std::vector<Variant> exact_algorithms(int32_t threads) {
  if (gpu_only()) return gpu_variants();
  std::vector<Variant> variants = {{TOKENDRAW_ALGORITHM_REFERENCE, "", threads},
                                   {TOKENDRAW_ALGORITHM_AUTO, "", threads},
                                   {TOKENDRAW_ALGORITHM_CANDIDATES, "", threads},
                                   {TOKENDRAW_ALGORITHM_REFINE, "", threads}};
  for (const Variant& variant : gpu_variants()) variants.push_back(variant);
  return variants;
}

std::vector<Variant> every_algorithm(int32_t threads) {
  std::vector<Variant> variants = exact_algorithms(threads);
  const std::vector<Variant> rejection = rejection_algorithms(threads);
  variants.insert(variants.begin(), rejection.begin(), rejection.end());
  return variants;
}

std::vector<Variant> rejection_algorithms(int32_t threads) {
  std::vector<Variant> variants = gpu_variants({TOKENDRAW_ALGORITHM_REJECTION});
  if (!gpu_only()) variants.insert(variants.begin(), {TOKENDRAW_ALGORITHM_REJECTION, "", threads});
  return variants;
}

std::vector<Variant> rejection_variants(int32_t threads) {
  std::vector<Variant> variants = rejection_algorithms(threads);
  if (gpu_only()) return variants;
  const std::vector<std::string> targets = cpu_targets();
  variants.front().cpu_target = targets.front();
  variants.insert(variants.begin(), {TOKENDRAW_ALGORITHM_REJECTION, targets.back(), threads});
  return variants;
}

SamplerPointer make_sampler(const Variant& variant) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = variant.backend;
  options.device = variant.device;
  options.algorithm = variant.algorithm;
  options.threads = variant.threads;
  options.gpu_way = variant.gpu_way;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  if (!variant.cpu_target.empty()) options.cpu_target = variant.cpu_target.c_str();
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

TokendrawSampler* sampler_for(const Variant& variant) {
  SamplerPointer& sampler = kept_samplers->of_name[to_text(variant)];
  if (sampler == nullptr) sampler = make_sampler(variant);
  return sampler.get();
}

std::vector<RowResult> run(TokendrawSampler* sampler, PackedBatch& packed) {
  if (!runs_on_cpu(sampler)) return run_on_gpu(sampler, packed);
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
