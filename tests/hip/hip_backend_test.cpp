// SPDX-License-Identifier: Apache-2.0
// The HIP backend as it is built, its kernels included, on a runtime that executes nothing (fake_runtime.cpp): which
// code a device gets, which kernels of it are launched, and what becomes of devices that there is no code for.
#include <dlfcn.h>
#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <cstring>
#include <memory>
#include <vector>

#include "fake_runtime.h"

namespace tokendraw::test {
namespace {

// Loaded before the backend, under the name that the backend needs.
FakeRuntime& runtime() {
  static FakeRuntime* const fake = [] {
    void* library = dlopen(TOKENDRAW_FAKE_RUNTIME, RTLD_NOW | RTLD_GLOBAL);
    EXPECT_NE(library, nullptr) << dlerror();
    using Get = FakeRuntime* (*)();
    const auto get = reinterpret_cast<Get>(dlsym(library, "fake_hip_runtime"));
    FakeRuntime* found = get();
    found->devices = {"gfx906:sramecc+:xnack-"};  // one that there is no code for, and then all that there is
    for (const char* target : {TOKENDRAW_TARGETS}) found->devices.emplace_back(target);
    found->devices.push_back(found->devices.back());
    found->devices[1] += ":sramecc+:xnack-";
    return found;
  }();
  return *fake;
}

struct DestroySampler {
  void operator()(TokendrawSampler* sampler) const { tokendraw_destroy_sampler(sampler); }
};
using Sampler = std::unique_ptr<TokendrawSampler, DestroySampler>;

TokendrawStatus create(int32_t device, Sampler* made,
                       TokendrawOnGpuFailure on_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_HIP;
  options.device = device;
  options.on_gpu_failure = on_failure;
  TokendrawSampler* sampler = nullptr;
  const TokendrawStatus status = tokendraw_create_sampler(&options, &sampler);
  made->reset(sampler);
  return status;
}

// A batch of rows that are all of one kind; what it points to lives as long.
struct HostBatch {
  std::vector<unsigned char> logits;
  std::vector<int32_t> tokens;
  std::vector<int32_t> ids = {1, 2, 3};
  std::vector<float> values = {1, 2, 3};
  std::vector<int64_t> offsets;
  TokendrawBatch batch;

  HostBatch(int64_t rows, int32_t vocab, TokendrawDtype dtype, bool edited)
      : logits(static_cast<size_t>(rows) * static_cast<size_t>(vocab) * (dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2)),
        tokens(static_cast<size_t>(rows)),
        offsets(static_cast<size_t>(rows) + 1, 0) {
    tokendraw_init_batch(&batch);
    batch.logits = logits.data();
    batch.dtype = dtype;
    batch.rows = rows;
    batch.vocab = vocab;
    batch.tokens = tokens.data();
    if (!edited) return;
    offsets.back() = 3;
    batch.bias_ids = ids.data();
    batch.bias_values = values.data();
    batch.bias_offsets = offsets.data();
    batch.bias_entries = 3;
  }
};

TEST(HipBackend, LoadsNothingBeforeADeviceIsOpened) {
  (void)runtime();
  TokendrawDeviceInfo info = {};
  info.struct_size = sizeof info;
  ASSERT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_HIP, 1, &info), TOKENDRAW_OK) << tokendraw_last_error_message();
  EXPECT_EQ(runtime().modules_at_first, 0);
  EXPECT_EQ(std::strchr(info.target, ':'), nullptr) << info.target;
}

TEST(HipBackend, ADeviceWithoutCodeIsRefusedAndTheOthersWork) {
  (void)runtime();
  Sampler sampler;
  EXPECT_EQ(create(0, &sampler), TOKENDRAW_ERROR_UNSUPPORTED);
  EXPECT_NE(std::strstr(tokendraw_last_error_message(), "no code for this GPU"), nullptr)
      << tokendraw_last_error_message();
  EXPECT_EQ(create(0, &sampler, TOKENDRAW_ON_GPU_FAILURE_USE_CPU), TOKENDRAW_OK_CPU_FALLBACK);
  EXPECT_EQ(create(1, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
}

TEST(HipBackend, EveryTargetGetsItsOwnKernels) {
  for (size_t device = 1; device + 1 < runtime().devices.size(); ++device) {
    const std::string& target = runtime().devices[device];
    const std::string wave = target.rfind("gfx9", 0) == 0 ? "ELi64E" : "ELi32E";
    Sampler sampler;
    ASSERT_EQ(create(static_cast<int32_t>(device), &sampler), TOKENDRAW_OK)
        << target << ": " << tokendraw_last_error_message();
    for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
      for (const bool edited : {false, true}) {
        for (const bool split : {false, true}) {
          HostBatch host(split ? 2 : 65, split ? 40000 : 100, dtype, edited);
          runtime().launches.clear();
          ASSERT_EQ(tokendraw_sample_host(sampler.get(), &host.batch), TOKENDRAW_OK)
              << target << ": " << tokendraw_last_error_message();
          std::vector<std::string> expected;
          if (edited) expected.emplace_back("make_list_tables");
          if (split) expected.insert(expected.end(), {"split_maxima", "split_masses", "split_search", "split_finish"});
          if (!split) expected.emplace_back("sample_row");
          const std::string kind = "DtypeE" + std::to_string(static_cast<int>(dtype)) + "ELb" + (edited ? "1" : "0");
          ASSERT_EQ(runtime().launches.size(), expected.size()) << target;
          for (size_t i = 0; i < expected.size(); ++i) {
            const FakeLaunch& launch = runtime().launches[i];
            EXPECT_NE(launch.kernel.find(expected[i]), std::string::npos) << launch.kernel;
            EXPECT_EQ(launch.threads, 512u);
            EXPECT_EQ(launch.device, static_cast<int>(device));
            if (expected[i] == "make_list_tables") continue;
            EXPECT_NE(launch.kernel.find(kind + wave), std::string::npos) << launch.kernel;
          }
        }
      }
    }
  }
}

TEST(HipBackend, WhatCouldNotBeLoadedIsTriedAgain) {
  // The second device of an architecture, which no other test opens.
  const auto device = static_cast<int32_t>(runtime().devices.size() - 1);
  const int before = runtime().modules;
  runtime().failing_modules = 1;
  Sampler sampler;
  EXPECT_EQ(create(device, &sampler), TOKENDRAW_ERROR_UNSUPPORTED);
  EXPECT_EQ(runtime().modules, before);
  EXPECT_EQ(create(device, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  EXPECT_GT(runtime().modules, before);
}

}  // namespace
}  // namespace tokendraw::test
