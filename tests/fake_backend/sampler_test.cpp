// SPDX-License-Identifier: Apache-2.0
// Creating GPU samplers, and what they and the device functions say of themselves.
#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <string>

#include "fake_backend/device_batch.h"

namespace tokendraw::test {
namespace {

constexpr auto kUseCpu = TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
constexpr auto kReturnError = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;

TokendrawSamplerInfo info_of(const SamplerPointer& sampler) {
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  EXPECT_EQ(tokendraw_get_sampler_info(sampler.get(), &info), TOKENDRAW_OK);
  return info;
}

// The status of creating a sampler; it is destroyed again. `backend`, where given, receives what would have served.
TokendrawStatus try_create(const TokendrawSamplerOptions& options, TokendrawBackend* backend = nullptr) {
  TokendrawSampler* raw = nullptr;
  const TokendrawStatus status = tokendraw_create_sampler(&options, &raw);
  const std::string message = tokendraw_last_error_message();
  const SamplerPointer sampler(raw);
  EXPECT_EQ(sampler != nullptr, status < 10);
  if (backend != nullptr && sampler != nullptr) *backend = info_of(sampler).backend;
  return status;
}

TEST(GpuDevices, AreDescribed) {
  TokendrawBackendInfo backend = {};
  backend.struct_size = sizeof backend;
  ASSERT_EQ(tokendraw_get_backend_info(1, &backend), TOKENDRAW_OK);
  EXPECT_EQ(backend.backend, TOKENDRAW_BACKEND_CUDA);
  EXPECT_EQ(backend.available, 1);
  EXPECT_EQ(backend.device_count, 2);
  EXPECT_STREQ(backend.reason, "");
  TokendrawDeviceInfo device = {};
  device.struct_size = sizeof device;
  ASSERT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_CUDA, 1, &device), TOKENDRAW_OK);
  EXPECT_EQ(device.backend, TOKENDRAW_BACKEND_CUDA);
  EXPECT_EQ(device.device, 1);
  EXPECT_STREQ(device.name, "Fake device 1");
  EXPECT_STREQ(device.target, "sm_00");
  EXPECT_EQ(device.compute_units, 7);
  EXPECT_EQ(device.simd_width_f32, 32);
  EXPECT_EQ(device.memory_bytes, uint64_t{1} << 33);
  ASSERT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_HIP, 0, &device), TOKENDRAW_OK);
  EXPECT_STREQ(device.target, "gfx000");
  EXPECT_EQ(device.simd_width_f32, 64);
  for (const int32_t index : {-1, 2, 99}) {
    EXPECT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_CUDA, index, &device), TOKENDRAW_INVALID_DEVICE);
    EXPECT_TRUE(message_has("device is " + std::to_string(index) + "; the cuda backend has devices 0 to 1"));
  }
  const Failing failing(fake::kDescribeDevice, TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_CUDA, 1, &device), TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_TRUE(message_has("cuda device 1: describing the device failed"));
  EXPECT_EQ(cuda().misuses, 0);
}

TEST(GpuSampler, SaysWhatServes) {
  for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
    for (const int32_t device : {-1, 0, 1}) {
      TokendrawSamplerOptions options = cuda_options(on_gpu_failure);
      options.device = device;
      options.algorithm = TOKENDRAW_ALGORITHM_REFINE;
      const TokendrawSamplerInfo info = info_of(make_sampler(options));
      EXPECT_EQ(info.backend, TOKENDRAW_BACKEND_CUDA);
      EXPECT_EQ(info.device, device < 0 ? 0 : device);
      EXPECT_EQ(info.algorithm, TOKENDRAW_ALGORITHM_REFINE);
      EXPECT_EQ(info.threads, on_gpu_failure == kUseCpu ? 2 : 0);
      EXPECT_STREQ(info.target, "sm_00");
    }
  }
  TokendrawSamplerOptions options = cuda_options(kUseCpu);
  options.backend = TOKENDRAW_BACKEND_HIP;
  EXPECT_EQ(info_of(make_sampler(options)).backend, TOKENDRAW_BACKEND_HIP);
  EXPECT_EQ(cuda().open_devices, 0);
  EXPECT_EQ(cuda().live_streams, 0);
  EXPECT_EQ(cuda().live_allocations, 0);
  EXPECT_EQ(cuda().misuses, 0);
}

TEST(GpuSampler, AutoIsTheGpuUnlessTheAlgorithmIsTheCpus) {
  for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
    TokendrawSamplerOptions options = cuda_options(on_gpu_failure);
    options.backend = TOKENDRAW_BACKEND_AUTO;
    for (const auto algorithm : {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE,
                                 TOKENDRAW_ALGORITHM_REJECTION}) {
      options.algorithm = algorithm;
      EXPECT_EQ(info_of(make_sampler(options)).backend, TOKENDRAW_BACKEND_CUDA);
    }
    options.algorithm = TOKENDRAW_ALGORITHM_REFERENCE;
    const TokendrawSamplerInfo info = info_of(make_sampler(options));
    EXPECT_EQ(info.backend, TOKENDRAW_BACKEND_CPU);
    EXPECT_EQ(info.threads, 2);
    options.algorithm = TOKENDRAW_ALGORITHM_AUTO;
    options.device = 1;
    EXPECT_EQ(info_of(make_sampler(options)).device, 1);
    options.algorithm = TOKENDRAW_ALGORITHM_REFERENCE;
    EXPECT_EQ(try_create(options), TOKENDRAW_INVALID_DEVICE);  // the CPU serves, which has one device
  }
}

TEST(GpuSampler, TheReferenceIsTheCpusAndRefusedOrServedByTheCpu) {
  TokendrawSamplerOptions options = cuda_options(kReturnError);
  options.algorithm = TOKENDRAW_ALGORITHM_REFERENCE;
  EXPECT_EQ(try_create(options), TOKENDRAW_ERROR_UNSUPPORTED);
  const std::string reason = "cuda: algorithm reference runs on the cpu only";
  TokendrawSampler* raw = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &raw), TOKENDRAW_ERROR_UNSUPPORTED);
  EXPECT_EQ(tokendraw_last_error_message(), reason);
  options.on_gpu_failure = kUseCpu;
  ASSERT_EQ(tokendraw_create_sampler(&options, &raw), TOKENDRAW_OK_CPU_FALLBACK);
  EXPECT_EQ(tokendraw_last_error_message(), reason + "; the cpu serves");
  const SamplerPointer sampler(raw);
  EXPECT_EQ(info_of(sampler).backend, TOKENDRAW_BACKEND_CPU);
  EXPECT_EQ(info_of(sampler).algorithm, TOKENDRAW_ALGORITHM_REFERENCE);
}

TEST(GpuSampler, DevicesOutOfRangeAreRefusedWhateverServes) {
  for (const auto backend : {TOKENDRAW_BACKEND_AUTO, TOKENDRAW_BACKEND_CUDA}) {
    for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
      for (const int32_t device : {-2, 2, 99}) {
        TokendrawSamplerOptions options = cuda_options(on_gpu_failure);
        options.backend = backend;
        options.device = device;
        EXPECT_EQ(try_create(options), TOKENDRAW_INVALID_DEVICE) << device;
      }
    }
  }
}

TEST(GpuSampler, ADeviceThatCannotBeOpenedIsAFailureOrTheCpus) {
  const std::pair<fake::Function, const char*> steps[] = {{fake::kDescribeDevice, "describing the device failed"},
                                                          {fake::kOpen, "opening the device failed"},
                                                          {fake::kCreateStream, "creating a stream failed"}};
  for (const auto& [function, what] : steps) {
    for (const auto backend : {TOKENDRAW_BACKEND_AUTO, TOKENDRAW_BACKEND_CUDA}) {
      const Failing failing(function, TOKENDRAW_ERROR_OUT_OF_MEMORY);
      TokendrawSamplerOptions options = cuda_options(kReturnError);
      options.backend = backend;
      TokendrawSampler* raw = nullptr;
      EXPECT_EQ(tokendraw_create_sampler(&options, &raw), TOKENDRAW_ERROR_OUT_OF_MEMORY);
      EXPECT_EQ(raw, nullptr);
      EXPECT_EQ(tokendraw_last_error_message(), std::string("cuda: ") + what);
      options.on_gpu_failure = kUseCpu;
      ASSERT_EQ(tokendraw_create_sampler(&options, &raw), TOKENDRAW_OK_CPU_FALLBACK);
      EXPECT_EQ(tokendraw_last_error_message(), std::string("cuda: ") + what + "; the cpu serves");
      EXPECT_EQ(info_of(SamplerPointer(raw)).backend, TOKENDRAW_BACKEND_CPU);
    }
  }
  EXPECT_EQ(cuda().open_devices, 0);
  EXPECT_EQ(cuda().live_streams, 0);
  EXPECT_EQ(cuda().misuses, 0);
}

TEST(GpuSampler, PlansAndWorkspacesAreTheDevices) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const cases::CaseBatch batch(some_cases().back());
  cases::CaseOutput output;
  TokendrawBatch raw = batch.batch(output);
  for (const auto memory : {TOKENDRAW_MEMORY_HOST, TOKENDRAW_MEMORY_DEVICE}) {  // a plan looks at no array
    raw.logits_memory = memory;
    raw.params_memory = memory;
    EXPECT_EQ(plan_value(sampler.get(), raw, "backend"), "cuda");
    EXPECT_EQ(plan_value(sampler.get(), raw, "target"), "sm_00");
    size_t bytes = 0;
    EXPECT_EQ(tokendraw_get_workspace_bytes(sampler.get(), &raw, &bytes), TOKENDRAW_OK);
    EXPECT_LT(bytes, size_t{1} << 20);
  }
}

size_t planned_workspace(int32_t vocab, TokendrawDtype dtype, int64_t rows) {
  TokendrawDeviceInfo device = {};
  device.struct_size = sizeof device;
  device.backend = TOKENDRAW_BACKEND_CUDA;
  device.compute_units = 132;
  device.simd_width_f32 = 32;
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  alignas(16) static float somewhere[4];  // a plan looks at no array
  batch.logits = somewhere;
  batch.tokens = reinterpret_cast<int32_t*>(somewhere);
  batch.vocab = vocab;
  batch.dtype = dtype;
  batch.rows = rows;
  char text[2000];
  EXPECT_EQ(tokendraw_describe_device_plan(&device, TOKENDRAW_ALGORITHM_AUTO, &batch, text, sizeof text, nullptr),
            TOKENDRAW_OK)
      << tokendraw_last_error_message();
  const char* line = std::strstr(text, "\nworkspace: ");
  EXPECT_NE(line, nullptr);
  return line == nullptr ? 0 : std::strtoull(line + std::strlen("\nworkspace: "), nullptr, 10);
}

TEST(GpuSampler, WorkspacesAreSmallAndGrowWithTheBatch) {
  for (const int32_t vocab : {1, 1000, 32000, 128256, 262144, 1 << 21}) {
    for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_BF16}) {
      size_t before = 0;
      for (int64_t rows = 1; rows <= 300; ++rows) {
        const size_t bytes = planned_workspace(vocab, dtype, rows);
        EXPECT_GE(bytes, before) << "vocab " << vocab << ", rows " << rows;
        before = bytes;
      }
      for (const int64_t rows : {int64_t{512}, int64_t{8192}, int64_t{1} << 30}) {
        EXPECT_LT(planned_workspace(vocab, dtype, rows), 1000000u) << "vocab " << vocab << ", rows " << rows;
        EXPECT_GE(planned_workspace(vocab, dtype, rows), before);
      }
    }
  }
}

// The plan for a device that is there is the plan for its facts.
TEST(GpuSampler, PlansForDevicesThatNeedNotBeThere) {
  const cases::CaseBatch batch(some_cases().back());
  cases::CaseOutput output;
  const TokendrawBatch raw = batch.batch(output);
  TokendrawDeviceInfo device = {};
  device.struct_size = sizeof device;
  const auto describe = [&](TokendrawAlgorithm algorithm, std::string* text) {
    char buffer[2000];
    size_t needed = 0;
    const TokendrawStatus status =
        tokendraw_describe_device_plan(&device, algorithm, &raw, buffer, sizeof buffer, &needed);
    if (status == TOKENDRAW_OK) {
      *text = buffer;
      EXPECT_EQ(needed, text->size() + 1);
    }
    return status;
  };
  for (const auto backend : {TOKENDRAW_BACKEND_CUDA, TOKENDRAW_BACKEND_HIP}) {
    ASSERT_EQ(tokendraw_get_device_info(backend, 0, &device), TOKENDRAW_OK);
    TokendrawSamplerOptions options = cuda_options(kUseCpu);
    options.backend = backend;
    options.algorithm = TOKENDRAW_ALGORITHM_REFINE;
    char expected[2000];
    ASSERT_EQ(tokendraw_describe_plan(make_sampler(options).get(), &raw, expected, sizeof expected, nullptr),
              TOKENDRAW_OK);
    std::string text;
    ASSERT_EQ(describe(TOKENDRAW_ALGORITHM_REFINE, &text), TOKENDRAW_OK);
    EXPECT_EQ(text, expected);
    EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_REFERENCE, &text), TOKENDRAW_ERROR_UNSUPPORTED);
    EXPECT_EQ(describe(static_cast<TokendrawAlgorithm>(9), &text), TOKENDRAW_INVALID_ALGORITHM);
  }
  std::string text;
  const TokendrawDeviceInfo good = device;
  device.compute_units = 0;
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_INVALID_DEVICE);
  std::snprintf(device.target, sizeof device.target, "gfx942");  // known
  device.simd_width_f32 = 0;
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_OK);
  device.backend = TOKENDRAW_BACKEND_CUDA;  // which has no such target
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_INVALID_DEVICE);
  device = good;
  device.simd_width_f32 = 16;
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_INVALID_DEVICE);
  device = good;
  device.backend = TOKENDRAW_BACKEND_AUTO;
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_INVALID_BACKEND);
  device = good;
  device.struct_size -= 1;
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_INVALID_STRUCT_SIZE);
  device = good;
  std::fill_n(device.target, sizeof device.target, 'x');  // without an end
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_AUTO, &text), TOKENDRAW_OK);
  EXPECT_NE(text.find("target: " + std::string(sizeof device.target, 'x') + "\n"), std::string::npos);
  ASSERT_EQ(tokendraw_get_device_info(TOKENDRAW_BACKEND_CPU, 0, &device), TOKENDRAW_OK);
  EXPECT_EQ(describe(TOKENDRAW_ALGORITHM_REFERENCE, &text), TOKENDRAW_OK);
  EXPECT_EQ(text.rfind("backend: cpu\n", 0), 0u);
  EXPECT_EQ(tokendraw_describe_device_plan(nullptr, TOKENDRAW_ALGORITHM_AUTO, &raw, nullptr, 0, nullptr),
            TOKENDRAW_INVALID_DEVICE);
  EXPECT_EQ(tokendraw_describe_device_plan(&device, TOKENDRAW_ALGORITHM_AUTO, &raw, nullptr, 1, nullptr),
            TOKENDRAW_INVALID_OUTPUT_POINTER);
  EXPECT_EQ(tokendraw_describe_device_plan(&device, TOKENDRAW_ALGORITHM_AUTO, nullptr, nullptr, 0, nullptr),
            TOKENDRAW_INVALID_BATCH);
}

}  // namespace
}  // namespace tokendraw::test
