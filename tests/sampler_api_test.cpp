// SPDX-License-Identifier: Apache-2.0
// Samplers, backends, devices and messages: what the header promises, and each refusal.
#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <set>
#include <string>
#include <thread>

#include "support/case_rows.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

TEST(LastErrorMessage, BelongsToItsThread) {
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(nullptr, nullptr), TOKENDRAW_INVALID_OUTPUT_POINTER);
  const std::string mine = tokendraw_last_error_message();
  EXPECT_NE(mine.find("sampler"), std::string::npos);
  std::thread([&] {
    EXPECT_STREQ(tokendraw_last_error_message(), "");
    TokendrawBatch batch;
    tokendraw_init_batch(&batch);
    EXPECT_EQ(tokendraw_sample_host(nullptr, &batch), TOKENDRAW_INVALID_SAMPLER);
    EXPECT_STRNE(tokendraw_last_error_message(), "");
  }).join();
  EXPECT_EQ(tokendraw_last_error_message(), mine);
  ASSERT_EQ(tokendraw_create_sampler(nullptr, &sampler), TOKENDRAW_OK);
  EXPECT_EQ(tokendraw_last_error_message(), mine);  // of the last call that failed, not of the last call
  tokendraw_destroy_sampler(sampler);
}

// ---- Samplers --------------------------------------------------------------------------------------------

class SamplerOptions : public testing::Test {
 protected:
  SamplerOptions() { tokendraw_init_sampler_options(&options); }

  void expect_refused(TokendrawStatus expected, const std::string& named) {
    auto* sampler = reinterpret_cast<TokendrawSampler*>(&options);  // must become NULL
    EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), expected);
    EXPECT_EQ(sampler, nullptr);
    const std::string message = tokendraw_last_error_message();
    EXPECT_NE(message.find(named), std::string::npos) << "\"" << message << "\" names no " << named;
    tokendraw_init_sampler_options(&options);
  }

  TokendrawSamplerOptions options;
};

TEST_F(SamplerOptions, Defaults) {
  std::memset(&options, 0xee, sizeof options);
  tokendraw_init_sampler_options(&options);
  tokendraw_init_sampler_options(nullptr);
  EXPECT_EQ(options.struct_size, sizeof options);
  EXPECT_EQ(options.backend, TOKENDRAW_BACKEND_AUTO);
  EXPECT_EQ(options.device, -1);
  EXPECT_EQ(options.algorithm, TOKENDRAW_ALGORITHM_AUTO);
  EXPECT_EQ(options.threads, 0);
  EXPECT_EQ(options.on_gpu_failure, TOKENDRAW_ON_GPU_FAILURE_USE_CPU);
  EXPECT_EQ(options.cpu_target, nullptr);
}

TEST_F(SamplerOptions, Refusals) {
  for (const size_t size : {size_t{0}, size_t{1}, sizeof options - 1, sizeof options / 2}) {
    options.struct_size = size;
    expect_refused(TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size");
  }
  for (const int32_t value : {-1, 4, 99, kMinInt, kMaxInt}) {
    options.backend = static_cast<TokendrawBackend>(value);
    expect_refused(TOKENDRAW_INVALID_BACKEND, "backend");
  }
  for (const int32_t value : {-1, 5, 99, kMinInt, kMaxInt}) {
    options.algorithm = static_cast<TokendrawAlgorithm>(value);
    expect_refused(TOKENDRAW_INVALID_ALGORITHM, "algorithm");
  }
  for (const int32_t value : {-1, 2, 99, kMinInt, kMaxInt}) {
    options.on_gpu_failure = static_cast<TokendrawOnGpuFailure>(value);
    expect_refused(TOKENDRAW_INVALID_ON_GPU_FAILURE, "on_gpu_failure");
  }
  for (const int32_t value : {-1, 5, 99, kMinInt, kMaxInt}) {
    options.gpu_way = static_cast<TokendrawGpuWay>(value);
    expect_refused(TOKENDRAW_INVALID_GPU_WAY, "gpu_way");
  }
  for (const int32_t value : {-1, 257, kMinInt, kMaxInt}) {
    options.threads = value;
    expect_refused(TOKENDRAW_INVALID_THREADS, "threads");
  }
  for (const int32_t value : {-2, 1, kMinInt, kMaxInt}) {
    options.backend = TOKENDRAW_BACKEND_CPU;
    options.device = value;
    expect_refused(TOKENDRAW_INVALID_DEVICE, "device");
  }
  const std::string endless(100000, 'A');
  for (const char* target : {"", "avx9", "AVX2 ", endless.c_str(), "%s%n"}) {
    options.cpu_target = target;
    expect_refused(TOKENDRAW_INVALID_CPU_TARGET, "cpu_target");
  }
}

TEST_F(SamplerOptions, NullOptionsAndNullOutput) {
  EXPECT_EQ(tokendraw_create_sampler(&options, nullptr), TOKENDRAW_INVALID_OUTPUT_POINTER);
  TokendrawSampler* sampler = nullptr;
  ASSERT_EQ(tokendraw_create_sampler(nullptr, &sampler), TOKENDRAW_OK);
  tokendraw_destroy_sampler(sampler);
  tokendraw_destroy_sampler(nullptr);
}

TEST_F(SamplerOptions, TheCpuTargetIsReadDuringCreationOnly) {
  for (const std::string& name : cpu_targets()) {
    std::string copy = name;
    options.cpu_target = copy.c_str();
    options.backend = TOKENDRAW_BACKEND_CPU;
    TokendrawSampler* sampler = nullptr;
    ASSERT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK);
    copy.assign(copy.size(), '?');
    TokendrawSamplerInfo info = {};
    info.struct_size = sizeof info;
    EXPECT_EQ(tokendraw_get_sampler_info(sampler, &info), TOKENDRAW_OK);
    EXPECT_EQ(info.target, name);
    tokendraw_destroy_sampler(sampler);
  }
}

TEST_F(SamplerOptions, InfoTellsWhatWasAskedFor) {
  for (const int32_t threads : {1, 2, 7, 256}) {
    const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_REFINE, "", threads});
    TokendrawSamplerInfo info = {};
    info.struct_size = sizeof info;
    ASSERT_EQ(tokendraw_get_sampler_info(sampler.get(), &info), TOKENDRAW_OK);
    EXPECT_EQ(info.struct_size, sizeof info);
    EXPECT_EQ(info.backend, TOKENDRAW_BACKEND_CPU);
    EXPECT_EQ(info.device, 0);
    EXPECT_EQ(info.algorithm, TOKENDRAW_ALGORITHM_REFINE);
    EXPECT_EQ(info.threads, threads);
    EXPECT_EQ(info.target, cpu_targets().front());
  }
  TokendrawSampler* sampler = nullptr;
  ASSERT_EQ(tokendraw_create_sampler(nullptr, &sampler), TOKENDRAW_OK);
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  ASSERT_EQ(tokendraw_get_sampler_info(sampler, &info), TOKENDRAW_OK);
  EXPECT_GE(info.threads, 1);
  EXPECT_NE(info.backend, TOKENDRAW_BACKEND_AUTO);  // the best that is here
  tokendraw_destroy_sampler(sampler);
}

// Each info function: NULL, sizes that are too small, and a struct of a later version, larger than what is known.
TEST(Infos, StructSizes) {
  const SamplerPointer sampler = make_sampler({});
  const auto check = [](size_t whole, const std::function<TokendrawStatus(void*)>& get) {
    EXPECT_EQ(get(nullptr), TOKENDRAW_INVALID_OUTPUT_POINTER);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find("info"), std::string::npos);
    std::vector<uint64_t> memory(whole / 8 + 16);
    auto* bytes = reinterpret_cast<unsigned char*>(memory.data());
    for (const size_t size : {size_t{0}, size_t{4}, sizeof(size_t), whole - 1}) {
      std::memset(bytes, 0x5a, memory.size() * 8);
      std::memcpy(bytes, &size, sizeof size);
      EXPECT_EQ(get(bytes), TOKENDRAW_INVALID_STRUCT_SIZE) << size;
      EXPECT_EQ(bytes[sizeof size], 0x5a);
    }
    for (const size_t size : {whole, whole + 64}) {
      std::memset(bytes, 0x5a, memory.size() * 8);
      std::memcpy(bytes, &size, sizeof size);
      EXPECT_EQ(get(bytes), TOKENDRAW_OK) << size;
      EXPECT_EQ(bytes[whole], 0x5a) << "wrote past its own version of the struct";
    }
  };
  check(sizeof(TokendrawSamplerInfo), [&](void* info) {
    return tokendraw_get_sampler_info(sampler.get(), static_cast<TokendrawSamplerInfo*>(info));
  });
  check(sizeof(TokendrawBackendInfo),
        [](void* info) { return tokendraw_get_backend_info(0, static_cast<TokendrawBackendInfo*>(info)); });
  check(sizeof(TokendrawDeviceInfo), [](void* info) {
    return tokendraw_get_device_info(TOKENDRAW_BACKEND_CPU, 0, static_cast<TokendrawDeviceInfo*>(info));
  });
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  EXPECT_EQ(tokendraw_get_sampler_info(nullptr, &info), TOKENDRAW_INVALID_SAMPLER);
}

// ---- Backends and devices --------------------------------------------------------------------------------

TEST(Backends, TheCpuComesFirstAndIsAlwaysThere) {
  ASSERT_GE(tokendraw_get_backend_count(), 1);
  for (int32_t index = 0; index < tokendraw_get_backend_count(); ++index) {
    TokendrawBackendInfo info = {};
    info.struct_size = sizeof info;
    ASSERT_EQ(tokendraw_get_backend_info(index, &info), TOKENDRAW_OK);
    EXPECT_EQ(info.backend == TOKENDRAW_BACKEND_CPU, index == 0);
    EXPECT_NE(info.backend, TOKENDRAW_BACKEND_AUTO);
    EXPECT_EQ(std::string(info.reason).empty(), info.available == 1) << info.reason;
    if (info.available == 0) {
      EXPECT_EQ(info.device_count, 0);
    }
    if (index == 0) {
      EXPECT_EQ(info.available, 1);
      EXPECT_EQ(info.device_count, 1);
    }
  }
  TokendrawBackendInfo info = {};
  info.struct_size = sizeof info;
  for (const int32_t index : {-1, tokendraw_get_backend_count(), kMinInt, kMaxInt}) {
    EXPECT_EQ(tokendraw_get_backend_info(index, &info), TOKENDRAW_INVALID_INDEX);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find("index"), std::string::npos);
  }
}

TEST(Devices, FactsAndRefusals) {
  TokendrawDeviceInfo info = {};
  info.struct_size = sizeof info;
  ASSERT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_CPU, 0, &info), TOKENDRAW_OK);
  EXPECT_EQ(info.backend, TOKENDRAW_BACKEND_CPU);
  EXPECT_EQ(info.device, 0);
  EXPECT_EQ(info.target, cpu_targets().front());
  EXPECT_GE(info.compute_units, 1);
  EXPECT_GE(info.simd_width_f32, 1);
  for (const int32_t device : {-1, 1, kMinInt, kMaxInt}) {
    EXPECT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_CPU, device, &info), TOKENDRAW_INVALID_DEVICE) << device;
    EXPECT_NE(std::string(tokendraw_last_error_message()).find("device"), std::string::npos);
  }
  for (const int32_t backend : {-1, 0, 4, kMinInt, kMaxInt}) {
    EXPECT_EQ(tokendraw_get_device_info(static_cast<TokendrawBackend>(backend), 0, &info), TOKENDRAW_INVALID_BACKEND);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find("backend"), std::string::npos);
  }
}

TEST(CpuTargets, AreListedBestFirstAndEndInNull) {
  const std::vector<std::string> targets = cpu_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(std::set<std::string>(targets.begin(), targets.end()).size(), targets.size());
  const auto count = static_cast<int32_t>(targets.size());
  for (const int32_t index : {-1, count, count + 1, kMinInt, kMaxInt}) {
    EXPECT_EQ(tokendraw_get_cpu_target_name(index), nullptr);
  }
}

// Case37: the library is there, the GPU is not. A sampler for it answers on the CPU and says so, or is refused, as
// asked.
TEST(Case37_MissingGpu, FallsBackOrIsRefused) {
  const BatchSpec spec = single_row({1.0f, 5.0f, 2.0f}, filtered(0.0f, 0));
  for (const auto backend : {TOKENDRAW_BACKEND_CUDA, TOKENDRAW_BACKEND_HIP}) {
    TokendrawDeviceInfo device = {};
    device.struct_size = sizeof device;
    if (tokendraw_get_device_info(backend, 0, &device) == TOKENDRAW_OK) continue;  // it is there
    EXPECT_EQ(tokendraw_get_device_info(backend, 0, &device), TOKENDRAW_ERROR_BACKEND_UNAVAILABLE);

    TokendrawSamplerOptions options;
    tokendraw_init_sampler_options(&options);
    options.backend = backend;
    TokendrawSampler* sampler = nullptr;
    ASSERT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK_CPU_FALLBACK);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find(tokendraw_backend_name(backend)), std::string::npos);
    TokendrawSamplerInfo info = {};
    info.struct_size = sizeof info;
    ASSERT_EQ(tokendraw_get_sampler_info(sampler, &info), TOKENDRAW_OK);
    EXPECT_EQ(info.backend, TOKENDRAW_BACKEND_CPU);
    PackedBatch packed(spec);
    const TokendrawStatus status = tokendraw_sample_host(sampler, &packed.batch);
    EXPECT_TRUE(status == TOKENDRAW_OK || status == TOKENDRAW_OK_CPU_FALLBACK) << status;
    EXPECT_EQ(packed.results().at(0).token, 1);
    tokendraw_destroy_sampler(sampler);

    options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
    sampler = reinterpret_cast<TokendrawSampler*>(&options);
    EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_ERROR_BACKEND_UNAVAILABLE);
    EXPECT_EQ(sampler, nullptr);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find(tokendraw_backend_name(backend)), std::string::npos);
  }
}

}  // namespace
}  // namespace tokendraw::test
