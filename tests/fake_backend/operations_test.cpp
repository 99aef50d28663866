// SPDX-License-Identifier: Apache-2.0
// Building blocks of a GPU sampler: every array goes to the device and back, whole rows and nothing between them, and
// whatever fails on the way is answered by the CPU.
#include <filter_case.h>
#include <gtest/gtest.h>
#include <random_case.h>
#include <softmax_case.h>
#include <tokendraw/tokendraw.h>

#include "fake_backend/device_batch.h"

namespace tokendraw::test {
namespace {

constexpr auto kUseCpu = TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
constexpr auto kReturnError = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;

SamplerPointer make_cpu_sampler() {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CPU;
  options.threads = 1;
  return make_sampler(options);
}

// No memory, stream or device is left, and nothing was done that a device would not survive.
class GpuBlocks : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(cuda().misuses, 0);
    EXPECT_EQ(cuda().live_allocations, 0);
    EXPECT_EQ(cuda().live_streams, 0);
    EXPECT_EQ(cuda().open_devices, 0);
  }
  SamplerPointer cpu_ = make_cpu_sampler();
};

cases::FilterCase rich_filter() {
  return {.vocab = 100, .setting = cases::kFilterCaseSettings[9], .in_place = false, .per_row = true, .gap = 3};
}

TEST_F(GpuBlocks, FromHostToHost) {
  const SamplerPointer sampler = make_sampler(cuda_options(kReturnError));
  for (const cases::SoftmaxCase& c : cases::softmax_cases({1, 70})) {
    cases::SoftmaxCall expected(c);
    cases::SoftmaxCall found(c);
    ASSERT_EQ(tokendraw_compute_softmax_host(cpu_.get(), &expected.softmax), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_compute_softmax_host(sampler.get(), &found.softmax), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    EXPECT_TRUE(found.output == expected.output && found.input == expected.input && found.status == expected.status)
        << c.text();
  }
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases({1, 70})) {
    cases::PrefixSumCall expected(c);
    cases::PrefixSumCall found(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(cpu_.get(), &expected.sum), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(sampler.get(), &found.sum), TOKENDRAW_OK);
    EXPECT_TRUE(found.output == expected.output && found.input == expected.input && found.status == expected.status)
        << c.text();
  }
  for (const cases::RandomCase& c : cases::random_cases({1, 33})) {
    cases::RandomCall expected(c);
    cases::RandomCall found(c);
    ASSERT_EQ(tokendraw_fill_random_host(cpu_.get(), &expected.random), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_fill_random_host(sampler.get(), &found.random), TOKENDRAW_OK);
    EXPECT_EQ(found.output, expected.output) << c.text();
  }
  for (const cases::FilterCase& c : cases::filter_cases({1, 70})) {
    cases::FilterCall expected(c);
    cases::FilterCall found(c);
    ASSERT_EQ(tokendraw_apply_filter_host(cpu_.get(), &expected.filter), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_apply_filter_host(sampler.get(), &found.filter), TOKENDRAW_OK);
    EXPECT_TRUE(found == expected) << c.text();
  }
}

TEST_F(GpuBlocks, HostCallsSurviveEveryFault) {
  cases::FilterCall expected(rich_filter());
  ASSERT_EQ(tokendraw_apply_filter_host(cpu_.get(), &expected.filter), TOKENDRAW_OK);
  for (const fake::Function function :
       {fake::kRun, fake::kAllocate, fake::kCopyToDevice, fake::kCopyToHost, fake::kSynchronize}) {
    for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
      const SamplerPointer sampler = make_sampler(cuda_options(on_gpu_failure));
      cases::FilterCall found(rich_filter());
      const Failing failing(function, TOKENDRAW_ERROR_BACKEND_FAILED);
      const TokendrawStatus status = tokendraw_apply_filter_host(sampler.get(), &found.filter);
      if (on_gpu_failure == kReturnError) {
        EXPECT_EQ(status, TOKENDRAW_ERROR_BACKEND_FAILED) << function;
        EXPECT_TRUE(message_has("failed"));
        continue;
      }
      EXPECT_EQ(status, TOKENDRAW_OK_CPU_FALLBACK) << function;
      EXPECT_TRUE(message_has("the cpu answered"));
      EXPECT_TRUE(found == expected) << function;
    }
  }
}

TEST_F(GpuBlocks, MemoryOfTheWrongKindIsRefused) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  cases::SoftmaxCall call(cases::SoftmaxCase{});
  EXPECT_EQ(tokendraw_compute_softmax(sampler.get(), &call.softmax, nullptr), TOKENDRAW_INVALID_MEMORY);
  EXPECT_TRUE(message_has("memory is host, but this call of a cuda sampler takes device memory"));
  call.softmax.memory = TOKENDRAW_MEMORY_DEVICE;
  EXPECT_EQ(tokendraw_compute_softmax_host(sampler.get(), &call.softmax), TOKENDRAW_INVALID_MEMORY);
  EXPECT_TRUE(message_has("memory is device, but this call of a cuda sampler takes host memory"));
}

// On a stream nothing is waited for; where the launch fails the CPU answers, but not while the stream is captured.
TEST_F(GpuBlocks, FromDeviceToDevice) {
  constexpr int64_t kCount = 50;
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  std::vector<uint32_t> expected(kCount), found(kCount);
  TokendrawRandom random;
  tokendraw_init_random(&random);
  random.rows = 1;
  random.count = kCount;
  random.output = expected.data();
  ASSERT_EQ(tokendraw_fill_random(cpu_.get(), &random, nullptr), TOKENDRAW_OK);
  const DeviceBytes memory = allocate_on_device(kCount * sizeof(uint32_t));
  random.memory = TOKENDRAW_MEMORY_DEVICE;
  random.output = memory.get();
  for (const bool fails : {false, true}) {
    const Failing failing(fake::kRun, fails ? TOKENDRAW_ERROR_BACKEND_FAILED : TOKENDRAW_OK);
    const int64_t waits = cuda().calls[fake::kSynchronize];
    ASSERT_EQ(tokendraw_fill_random(sampler.get(), &random, nullptr), fails ? TOKENDRAW_OK_CPU_FALLBACK : TOKENDRAW_OK)
        << tokendraw_last_error_message();
    EXPECT_EQ(cuda().calls[fake::kSynchronize] > waits, fails);
    cuda().finish(nullptr);
    cuda().copy(found.data(), memory.get(), kCount * sizeof(uint32_t));
    EXPECT_EQ(found, expected);
    found.assign(kCount, 0);
  }
  const Failing failing(fake::kRun, TOKENDRAW_ERROR_BACKEND_FAILED);
  cuda().capturing = true;
  EXPECT_EQ(tokendraw_fill_random(sampler.get(), &random, nullptr), TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_TRUE(message_has("captured"));
  cuda().capturing = false;
}

}  // namespace
}  // namespace tokendraw::test
