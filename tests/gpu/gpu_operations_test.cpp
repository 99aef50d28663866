// SPDX-License-Identifier: Apache-2.0
// The building blocks' kernels on the emulator (or, run by hand, on a GPU): the bits of the CPU, for warps of 32 and 64
// lanes, by host memory and by device memory; and what happens where the platform fails.
#include <filter_case.h>
#include <gtest/gtest.h>
#include <prefix_sum_case.h>
#include <random_case.h>
#include <softmax_case.h>

#include <cstring>

#include "gpu/emulator.h"
#include "support/samplers.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

TokendrawSampler* cpu() { return sampler_for({}); }
TokendrawSampler* gpu(int32_t device) {
  return sampler_for({TOKENDRAW_ALGORITHM_AUTO, "", 1, TOKENDRAW_BACKEND_CUDA, device});
}

class GpuOperations : public testing::TestWithParam<int32_t> {
 protected:
  void SetUp() override {
    ASSERT_NE(gpu(GetParam()), nullptr);
    if (auto* set = EMULATOR(simt_set_seed)) set(77);
  }
  static TokendrawSampler* device() { return gpu(GetParam()); }
};

TEST_P(GpuOperations, Softmax) {
  const std::vector<int32_t> vocabs =
      kSanitized ? std::vector<int32_t>{3, 517} : std::vector<int32_t>{1, 2, 31, 517, 2048, 2100, 9001};
  for (const cases::SoftmaxCase& c : cases::softmax_cases(vocabs)) {
    cases::SoftmaxCall expected(c);
    cases::SoftmaxCall found(c);
    ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &expected.softmax), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_compute_softmax_host(device(), &found.softmax), TOKENDRAW_OK)
        << tokendraw_last_error_message() << (EMULATOR(simt_last_report) ? EMULATOR(simt_last_report)() : "");
    EXPECT_EQ(found.status, expected.status) << c.text();
    EXPECT_EQ(found.output, expected.output) << c.text();
    EXPECT_EQ(found.input == expected.input, true) << c.text();
  }
}

TEST_P(GpuOperations, PrefixSum) {
  const std::vector<int32_t> vocabs =
      kSanitized ? std::vector<int32_t>{3, 517} : std::vector<int32_t>{1, 2, 31, 2047, 2048, 2049, 5000};
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases(vocabs)) {
    cases::PrefixSumCall expected(c);
    cases::PrefixSumCall found(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(cpu(), &expected.sum), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(device(), &found.sum), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(found.status, expected.status) << c.text();
    EXPECT_TRUE(found.output == expected.output && found.input == expected.input) << c.text();
  }
}

TEST_P(GpuOperations, Random) {
  const std::vector<int64_t> counts =
      kSanitized ? std::vector<int64_t>{5, 600} : std::vector<int64_t>{1, 4, 255, 3001, 20000};
  for (const cases::RandomCase& c : cases::random_cases(counts)) {
    cases::RandomCall expected(c);
    cases::RandomCall found(c);
    ASSERT_EQ(tokendraw_fill_random_host(cpu(), &expected.random), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_fill_random_host(device(), &found.random), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_TRUE(found.output == expected.output) << c.text();
  }
}

TEST_P(GpuOperations, Filter) {
  int turn = GetParam();
  for (const cases::FilterCase& c : cases::filter_cases({2, 530})) {
    if (++turn % (kSanitized ? 16 : 2) != 0) continue;  // the devices take turns
    cases::FilterCall expected(c);
    cases::FilterCall found(c);
    ASSERT_EQ(tokendraw_apply_filter_host(cpu(), &expected.filter), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_apply_filter_host(device(), &found.filter), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_TRUE(found == expected) << c.text();
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GpuOperations, testing::Values(0, 1));

// A failure of the platform: the CPU answers, or the error is returned.
struct Fault {
  SimtCall call;
  SimtError code;
  const char* message;
};
constexpr Fault kFaults[] = {
    {SIMT_CALL_LAUNCH, SIMT_LAUNCH_FAILURE, "launching the kernels: launch failure"},
    {SIMT_CALL_ALLOCATE, SIMT_OUT_OF_MEMORY, "allocating device memory: out of memory"},
    {SIMT_CALL_COPY, SIMT_INVALID_VALUE, "copying: invalid value"},
    {SIMT_CALL_EXECUTE, SIMT_KERNEL_FAILURE, "a kernel failed"},
};

SamplerPointer make_gpu_sampler(bool cpu_stands_in) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.threads = 1;
  options.on_gpu_failure = cpu_stands_in ? TOKENDRAW_ON_GPU_FAILURE_USE_CPU : TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* made = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &made), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(made);
}

// A device without clusters: one block has a row in memory.
TEST(GpuOperationsOfOneBlock, AreThoseOfTheCpu) {
  ASSERT_NE(gpu(0), nullptr);  // loads the backend
  if (EMULATOR(simt_set_cluster_blocks) == nullptr) GTEST_SKIP() << "not on the emulator";
  EMULATOR(simt_set_cluster_blocks)(1);
  const SamplerPointer sampler = make_gpu_sampler(false);
  int turn = 0;
  for (const cases::FilterCase& c : cases::filter_cases({530, 2500})) {
    if (++turn % (kSanitized ? 40 : 6) != 0) continue;
    cases::FilterCall expected(c);
    cases::FilterCall found(c);
    ASSERT_EQ(tokendraw_apply_filter_host(cpu(), &expected.filter), TOKENDRAW_OK);
    EXPECT_EQ(tokendraw_apply_filter_host(sampler.get(), &found.filter), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    EXPECT_TRUE(found == expected) << c.text();
  }
  for (const cases::SoftmaxCase& c : cases::softmax_cases({517})) {
    cases::SoftmaxCall expected(c);
    cases::SoftmaxCall found(c);
    ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &expected.softmax), TOKENDRAW_OK);
    EXPECT_EQ(tokendraw_compute_softmax_host(sampler.get(), &found.softmax), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    EXPECT_TRUE(found.status == expected.status && found.output == expected.output) << c.text();
  }
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases({2500})) {
    cases::PrefixSumCall expected(c);
    cases::PrefixSumCall found(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(cpu(), &expected.sum), TOKENDRAW_OK);
    EXPECT_EQ(tokendraw_compute_prefix_sum_host(sampler.get(), &found.sum), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    EXPECT_TRUE(found.status == expected.status && found.output == expected.output) << c.text();
  }
  EMULATOR(simt_reset)();
}

class GpuOperationFailures : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(gpu(0), nullptr);  // loads the backend
    if (EMULATOR(simt_reset) == nullptr) GTEST_SKIP() << "not on the emulator";
  }
  void TearDown() override {
    if (EMULATOR(simt_reset) != nullptr) EMULATOR(simt_reset)();
  }
};

TEST_F(GpuOperationFailures, OfCallsWithHostMemory) {
  for (const bool in_place : {false, true}) {
    cases::SoftmaxCase c;
    c.in_place = in_place;
    cases::SoftmaxCall expected(c);
    ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &expected.softmax), TOKENDRAW_OK);
    for (const Fault& fault : kFaults) {
      for (const bool stands_in : {true, false}) {
        const SamplerPointer sampler = make_gpu_sampler(stands_in);
        cases::SoftmaxCall found(c);
        EMULATOR(simt_fail_next)(fault.call, 0, fault.code);
        const TokendrawStatus status = tokendraw_compute_softmax_host(sampler.get(), &found.softmax);
        EXPECT_NE(std::string(tokendraw_last_error_message()).find(fault.message), std::string::npos)
            << tokendraw_last_error_message();
        if (stands_in) {
          EXPECT_EQ(status, TOKENDRAW_OK_CPU_FALLBACK);
          EXPECT_EQ(found.output, expected.output);
          EXPECT_EQ(found.input, expected.input);
        } else {
          EXPECT_EQ(status,
                    fault.call == SIMT_CALL_ALLOCATE ? TOKENDRAW_ERROR_OUT_OF_MEMORY : TOKENDRAW_ERROR_BACKEND_FAILED);
        }
        EMULATOR(simt_reset)();
      }
    }
  }
}

// In place the CPU cannot begin anew once results were copied over the input.
TEST_F(GpuOperationFailures, OfTheCopyBackInPlace) {
  cases::SoftmaxCase c;
  c.in_place = true;
  cases::SoftmaxCall call(c);
  const SamplerPointer sampler = make_gpu_sampler(true);
  EMULATOR(simt_fail_next)(SIMT_CALL_COPY, 3, SIMT_INVALID_VALUE);  // input, temperatures, output, then the status
  EXPECT_EQ(tokendraw_compute_softmax_host(sampler.get(), &call.softmax), TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_NE(std::string(tokendraw_last_error_message()).find("overwritten in place"), std::string::npos)
      << tokendraw_last_error_message();
}

// Device memory: a copy of bytes that frees itself.
class OnDevice {
 public:
  explicit OnDevice(const std::vector<unsigned char>& bytes) : size_(bytes.size()) {
    EXPECT_EQ(EMULATOR(simt_allocate)(&memory_, size_), SIMT_SUCCESS);
    EXPECT_EQ(EMULATOR(simt_copy)(memory_, bytes.data(), size_, 0, nullptr), SIMT_SUCCESS);
  }
  ~OnDevice() { EMULATOR(simt_release)(memory_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  unsigned char* get() const { return static_cast<unsigned char*>(memory_); }
  std::vector<unsigned char> read() const {
    std::vector<unsigned char> bytes(size_);
    EXPECT_EQ(EMULATOR(simt_copy)(bytes.data(), memory_, size_, 1, nullptr), SIMT_SUCCESS);
    EXPECT_EQ(EMULATOR(simt_synchronize)(nullptr), SIMT_SUCCESS) << EMULATOR(simt_last_report)();
    return bytes;
  }

 private:
  void* memory_ = nullptr;
  size_t size_;
};

// Device memory to device memory on a stream, in one launch; a launch that fails is answered by the CPU, in place too.
TEST_F(GpuOperationFailures, OfCallsWithDeviceMemory) {
  for (const bool in_place : {false, true}) {
    for (const bool fails : {false, true}) {
      cases::SoftmaxCase c;
      c.gap = 3;
      c.in_place = in_place;
      cases::SoftmaxCall expected(c);
      expected.softmax.temperature_per_row = nullptr;
      ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &expected.softmax), TOKENDRAW_OK);
      cases::SoftmaxCall call(c);
      const SamplerPointer sampler = make_gpu_sampler(true);
      const OnDevice input(call.input);
      const OnDevice output(call.output);
      TokendrawSoftmax softmax = call.softmax;
      softmax.memory = TOKENDRAW_MEMORY_DEVICE;
      softmax.input = input.get();
      softmax.output = in_place ? input.get() : output.get();
      softmax.temperature_per_row = nullptr;
      softmax.row_status = nullptr;
      const uint64_t before = EMULATOR(simt_count_launches)();
      if (fails) EMULATOR(simt_fail_next)(SIMT_CALL_LAUNCH, 0, SIMT_LAUNCH_FAILURE);
      EXPECT_EQ(tokendraw_compute_softmax(sampler.get(), &softmax, nullptr),
                fails ? TOKENDRAW_OK_CPU_FALLBACK : TOKENDRAW_OK)
          << tokendraw_last_error_message();
      EXPECT_EQ(EMULATOR(simt_count_launches)() - before, fails ? 0u : 1u);
      EXPECT_EQ(output.read(), expected.output);
      EXPECT_EQ(input.read(), expected.input);
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
