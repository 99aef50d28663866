// SPDX-License-Identifier: Apache-2.0
// Calls of a GPU sampler: from device to device, from host to host, and whatever can fail on the way.
#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <string>
#include <thread>
#include <vector>

#include "fake_backend/device_batch.h"

namespace tokendraw::test {
namespace {

constexpr auto kUseCpu = TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
constexpr auto kReturnError = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;

// One that has masks, sparse biases, a history, and parameters of every row.
cases::Case rich_case() {
  return cases::parse_case_id("257/bf16/normal1/edges/everything/strided/seeds/after-top-k").value();
}

// tokendraw_sample with a workspace of exactly its size. Where `finish`, the stream's work is done on return.
TokendrawStatus sample_on_device(TokendrawSampler* sampler, const TokendrawBatch& batch, void* stream = nullptr,
                                 bool finish = true) {
  size_t bytes = 0;
  EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &batch, &bytes), TOKENDRAW_OK) << tokendraw_last_error_message();
  const DeviceBytes workspace = allocate_on_device(bytes);
  const TokendrawStatus status = tokendraw_sample(sampler, &batch, workspace.get(), bytes, stream);
  if (finish) cuda().finish(stream);
  return status;
}

// No memory, stream or device is left, and nothing was done that a device would not survive.
class GpuCalls : public testing::Test {
 protected:
  void TearDown() override {
    EXPECT_EQ(cuda().misuses, 0);
    EXPECT_EQ(cuda().live_allocations, 0);
    EXPECT_EQ(cuda().live_streams, 0);
    EXPECT_EQ(cuda().open_devices, 0);
  }
};

TEST_F(GpuCalls, FromDeviceToDevice) {
  const SamplerPointer sampler = make_sampler(cuda_options(kReturnError));
  for (const cases::Case& c : some_cases()) {
    const cases::CaseBatch batch(c);
    DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
    const int64_t waits = cuda().calls[fake::kSynchronize];
    ASSERT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(cuda().calls[fake::kSynchronize], waits) << "tokendraw_sample waited";
    EXPECT_TRUE(same_output(device.output(), cpu_output(batch))) << cases::case_id(c);
  }
}

TEST_F(GpuCalls, FromHostToHost) {
  const SamplerPointer sampler = make_sampler(cuda_options(kReturnError));
  for (const cases::Case& c : some_cases()) {
    const cases::CaseBatch batch(c);
    cases::CaseOutput output;
    const TokendrawBatch raw = batch.batch(output);
    ASSERT_EQ(tokendraw_sample_host(sampler.get(), &raw), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_TRUE(same_output(output, cpu_output(batch))) << cases::case_id(c);
  }
}

TEST_F(GpuCalls, FromDeviceLogitsToHost) {
  const SamplerPointer sampler = make_sampler(cuda_options(kReturnError));
  for (const cases::Case& c : some_cases()) {
    const cases::CaseBatch batch(c);
    DeviceBatch device(batch, DeviceBatch::Arrays::kLogits);
    ASSERT_EQ(tokendraw_sample_host(sampler.get(), &device.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_TRUE(same_output(device.output(), cpu_output(batch))) << cases::case_id(c);
  }
}

TEST_F(GpuCalls, TheCpuAnswersForALaunchThatFails) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  for (const cases::Case& c : some_cases()) {
    const cases::CaseBatch batch(c);
    const cases::CaseOutput expected = cpu_output(batch);
    for (const auto arrays : {DeviceBatch::Arrays::kAll, DeviceBatch::Arrays::kLogits}) {
      const bool all = arrays == DeviceBatch::Arrays::kAll;
      DeviceBatch device(batch, arrays);
      const Failing failing(fake::kRun, TOKENDRAW_ERROR_BACKEND_FAILED);
      // Finished on return, without anyone waiting for the stream.
      const TokendrawStatus status = all ? sample_on_device(sampler.get(), device.batch, nullptr, false)
                                         : tokendraw_sample_host(sampler.get(), &device.batch);
      ASSERT_EQ(status, TOKENDRAW_OK_CPU_FALLBACK) << tokendraw_last_error_message();
      EXPECT_STREQ(tokendraw_last_error_message(), "cuda: the launch failed; the cpu answered");
      EXPECT_TRUE(same_output(device.output(), expected)) << cases::case_id(c);
    }
    cases::CaseOutput output;
    const TokendrawBatch raw = batch.batch(output);
    const Failing failing(fake::kRun, TOKENDRAW_ERROR_BACKEND_FAILED);
    ASSERT_EQ(tokendraw_sample_host(sampler.get(), &raw), TOKENDRAW_OK_CPU_FALLBACK);
    EXPECT_TRUE(same_output(output, expected)) << cases::case_id(c);
  }
}

TEST_F(GpuCalls, AnErrorIsReturnedWhereTheCpuMayNotAnswer) {
  const SamplerPointer sampler = make_sampler(cuda_options(kReturnError));
  const cases::CaseBatch batch(rich_case());
  for (const auto status :
       {TOKENDRAW_ERROR_BACKEND_FAILED, TOKENDRAW_ERROR_OUT_OF_MEMORY, TOKENDRAW_ERROR_UNSUPPORTED}) {
    const Failing failing(fake::kRun, status);
    DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
    EXPECT_EQ(sample_on_device(sampler.get(), device.batch), status);
    EXPECT_STREQ(tokendraw_last_error_message(), "cuda: the launch failed");
    cases::CaseOutput output;
    const TokendrawBatch raw = batch.batch(output);
    EXPECT_EQ(tokendraw_sample_host(sampler.get(), &raw), status);
    EXPECT_STREQ(tokendraw_last_error_message(), "cuda: the launch failed");
  }
}

// Each step of tokendraw_sample_host, failing at its first call or at a later one.
TEST_F(GpuCalls, HostCallsSurviveEveryFault) {
  const cases::CaseBatch batch(rich_case());
  const cases::CaseOutput expected = cpu_output(batch);
  const std::pair<fake::Function, const char*> steps[] = {{fake::kAllocate, "allocating failed"},
                                                          {fake::kCopyToDevice, "copying to the device failed"},
                                                          {fake::kRun, "the launch failed"},
                                                          {fake::kCopyToHost, "copying to the host failed"},
                                                          {fake::kSynchronize, "waiting failed"}};
  for (const auto& [function, what] : steps) {
    for (const int32_t works_first : {0, 1, 3}) {
      for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
        const SamplerPointer sampler = make_sampler(cuda_options(on_gpu_failure));
        cases::CaseOutput output;
        const TokendrawBatch raw = batch.batch(output);
        TokendrawStatus status;
        {
          const Failing failing(function, TOKENDRAW_ERROR_OUT_OF_MEMORY, works_first);
          status = tokendraw_sample_host(sampler.get(), &raw);
        }
        const bool faulted = status != TOKENDRAW_OK;
        if (works_first == 0) {
          EXPECT_TRUE(faulted) << what;
        }
        if (faulted && on_gpu_failure == kReturnError) {
          EXPECT_EQ(status, TOKENDRAW_ERROR_OUT_OF_MEMORY);
          EXPECT_EQ(tokendraw_last_error_message(), std::string("cuda: ") + what);
        } else if (faulted) {
          EXPECT_EQ(status, TOKENDRAW_OK_CPU_FALLBACK);
          EXPECT_EQ(tokendraw_last_error_message(), std::string("cuda: ") + what + "; the cpu answered");
        }
        if (!faulted || on_gpu_failure == kUseCpu) {
          EXPECT_TRUE(same_output(output, expected)) << what;
        }
        // The next call tries the device again, and finds everything in order.
        const TokendrawBatch again = batch.batch(output);
        EXPECT_EQ(tokendraw_sample_host(sampler.get(), &again), TOKENDRAW_OK) << tokendraw_last_error_message();
        EXPECT_TRUE(same_output(output, expected)) << what;
      }
    }
  }
}

TEST_F(GpuCalls, BothReasonsAreGivenWhereTheCpuCannotAnswerEither) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const cases::CaseBatch batch(rich_case());
  const std::pair<fake::Function, const char*> steps[] = {{fake::kIsCapturing, "asking for capture failed"},
                                                          {fake::kCopyToHost, "copying to the host failed"},
                                                          {fake::kCopyToDevice, "copying to the device failed"},
                                                          {fake::kSynchronize, "waiting failed"}};
  for (const auto& [function, what] : steps) {
    for (const int32_t works_first : {0, 1}) {
      if (works_first == 1 && function == fake::kIsCapturing) continue;  // it is asked once
      DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
      {
        const Failing launch(fake::kRun, TOKENDRAW_ERROR_UNSUPPORTED);
        const Failing failing(function, TOKENDRAW_ERROR_BACKEND_FAILED, works_first);
        EXPECT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_ERROR_BACKEND_FAILED);
        EXPECT_EQ(tokendraw_last_error_message(),
                  std::string("cuda: the launch failed; the cpu could not answer: ") + what);
      }
      EXPECT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_OK);
      EXPECT_TRUE(same_output(device.output(), cpu_output(batch)));
    }
  }
}

TEST_F(GpuCalls, ALostDeviceLosesOnlyWhatLaysOnIt) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const SamplerPointer strict = make_sampler(cuda_options(kReturnError));
  const cases::CaseBatch batch(rich_case());
  DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
  DeviceBatch device_logits(batch, DeviceBatch::Arrays::kLogits);
  cuda().device_lost = true;
  EXPECT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_STREQ(tokendraw_last_error_message(),
               "cuda: the device is lost; the cpu could not answer: the device is lost");
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &device_logits.batch), TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_EQ(sample_on_device(strict.get(), device.batch), TOKENDRAW_ERROR_BACKEND_FAILED);
  cases::CaseOutput output;
  const TokendrawBatch raw = batch.batch(output);
  EXPECT_EQ(tokendraw_sample_host(strict.get(), &raw), TOKENDRAW_ERROR_BACKEND_FAILED);
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &raw), TOKENDRAW_OK_CPU_FALLBACK);
  EXPECT_STREQ(tokendraw_last_error_message(), "cuda: the device is lost; the cpu answered");
  EXPECT_TRUE(same_output(output, cpu_output(batch)));
  cuda().device_lost = false;
}

TEST_F(GpuCalls, WhileAStreamIsCapturedTheErrorIsReturned) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const cases::CaseBatch batch(rich_case());
  DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
  cuda().capturing = true;
  EXPECT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_OK);  // capturing itself is fine
  {
    const Failing failing(fake::kRun, TOKENDRAW_ERROR_UNSUPPORTED);
    EXPECT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_ERROR_UNSUPPORTED);
  }
  EXPECT_STREQ(tokendraw_last_error_message(),
               "cuda: the launch failed; the cpu cannot answer while the stream is captured");
  cuda().capturing = false;
}

TEST_F(GpuCalls, MemoryOfTheWrongKindIsRefused) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const cases::CaseBatch batch(rich_case());
  DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
  TokendrawBatch raw = device.batch;
  const DeviceBytes workspace = allocate_on_device(1 << 20);
  const int64_t runs = cuda().calls[fake::kRun];
  const auto sample = [&] { return tokendraw_sample(sampler.get(), &raw, workspace.get(), 1 << 20, nullptr); };
  raw.logits_memory = TOKENDRAW_MEMORY_HOST;
  EXPECT_EQ(sample(), TOKENDRAW_INVALID_LOGITS_MEMORY);
  EXPECT_TRUE(message_has("logits_memory is host"));
  raw = device.batch;
  raw.params_memory = TOKENDRAW_MEMORY_HOST;
  EXPECT_EQ(sample(), TOKENDRAW_INVALID_PARAMS_MEMORY);
  EXPECT_TRUE(message_has("params_memory is host"));
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &device.batch), TOKENDRAW_INVALID_PARAMS_MEMORY);
  EXPECT_TRUE(message_has("params_memory is device"));
  EXPECT_EQ(tokendraw_sample_host(sampler_for({}), &device.batch), TOKENDRAW_INVALID_LOGITS_MEMORY);
  EXPECT_TRUE(message_has("the cpu serves this sampler"));
  EXPECT_EQ(cuda().calls[fake::kRun], runs);
}

TEST_F(GpuCalls, WorkspacesAreChecked) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const cases::CaseBatch batch(rich_case());
  DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
  size_t bytes = 0;
  ASSERT_EQ(tokendraw_get_workspace_bytes(sampler.get(), &device.batch, &bytes), TOKENDRAW_OK);
  ASSERT_GT(bytes, 0u);  // lists take some
  const DeviceBytes workspace = allocate_on_device(bytes);
  const int64_t runs = cuda().calls[fake::kRun];
  EXPECT_EQ(tokendraw_sample(sampler.get(), &device.batch, nullptr, bytes, nullptr), TOKENDRAW_INVALID_WORKSPACE);
  EXPECT_EQ(tokendraw_sample(sampler.get(), &device.batch, workspace.get(), bytes - 1, nullptr),
            TOKENDRAW_INVALID_WORKSPACE_BYTES);
  EXPECT_TRUE(message_has("this batch needs " + std::to_string(bytes)));
  TokendrawBatch none = device.batch;
  none.rows = 0;
  EXPECT_EQ(tokendraw_sample(sampler.get(), &none, nullptr, 0, nullptr), TOKENDRAW_OK);
  EXPECT_EQ(cuda().calls[fake::kRun], runs);
}

TEST_F(GpuCalls, OnlyCreationAndLargerHostBatchesAllocate) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const cases::CaseBatch small(cases::parse_case_id("32/f32/normal1/scalar/plain/packed/seed/after-top-k").value());
  const cases::CaseBatch large(rich_case());
  DeviceBatch device(large, DeviceBatch::Arrays::kAll);
  const int64_t before = cuda().calls[fake::kAllocate];
  EXPECT_EQ(sample_on_device(sampler.get(), device.batch), TOKENDRAW_OK);
  EXPECT_EQ(cuda().calls[fake::kAllocate], before);  // the tests' own memory is not counted there
  cases::CaseOutput output;
  const TokendrawBatch raw = large.batch(output);
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &raw), TOKENDRAW_OK);
  const int64_t grown = cuda().calls[fake::kAllocate];
  EXPECT_GT(grown, before);
  for (int i = 0; i < 3; ++i) {
    for (const cases::CaseBatch* batch : {&small, &large}) {
      const TokendrawBatch again = batch->batch(output);
      EXPECT_EQ(tokendraw_sample_host(sampler.get(), &again), TOKENDRAW_OK);
    }
  }
  EXPECT_EQ(cuda().calls[fake::kAllocate], grown);
}

// Rows far apart: what lies between them is neither read nor moved.
TEST_F(GpuCalls, RowsFarApartAreBroughtTogether) {
  const SamplerPointer sampler = make_sampler(cuda_options(kReturnError));
  constexpr int32_t kVocab = 5;
  float rows[2][kVocab] = {{0, 9, 0, 0, 0}, {0, 0, 0, 9, 0}};
  std::vector<float> logits(1000, 50.0f);
  std::vector<uint32_t> masks(300, 0);
  std::vector<float> biases(700, 1e30f);
  for (size_t r = 0; r < 2; ++r) {
    std::copy(rows[r], rows[r] + kVocab, logits.begin() + static_cast<std::ptrdiff_t>(r * 995));
    masks[r * 299] = 0x1f;
    std::fill_n(biases.begin() + static_cast<std::ptrdiff_t>(r * 600), kVocab, 0.0f);
  }
  biases[600 + 2] = 20.0f;
  int32_t tokens[2] = {-5, -5};
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = logits.data();
  batch.vocab = kVocab;
  batch.rows = 2;
  batch.row_stride = 995;
  batch.temperature = 0.0f;
  batch.mask = masks.data();
  batch.mask_row_stride = 299;
  batch.bias = biases.data();
  batch.bias_row_stride = 600;
  batch.tokens = tokens;
  const int64_t copies = cuda().calls[fake::kCopyToDevice];
  ASSERT_EQ(tokendraw_sample_host(sampler.get(), &batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  EXPECT_EQ(tokens[0], 1);
  EXPECT_EQ(tokens[1], 2);
  EXPECT_EQ(cuda().calls[fake::kCopyToDevice] - copies, 6);  // two rows of logits, of masks, of biases
}

TEST_F(GpuCalls, ThreadsAndStreamsShareASampler) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const std::vector<cases::Case> all = some_cases();
  const auto work = [&](size_t first) {
    void* stream = cuda().create_stream();
    for (size_t i = first; i < all.size(); i += 4) {
      const cases::CaseBatch batch(all[i]);
      cases::CaseOutput output;
      const TokendrawBatch raw = batch.batch(output);
      EXPECT_EQ(tokendraw_sample_host(sampler.get(), &raw), TOKENDRAW_OK);
      DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
      EXPECT_EQ(sample_on_device(sampler.get(), device.batch, stream), TOKENDRAW_OK);
      EXPECT_TRUE(same_output(device.output(), output)) << cases::case_id(all[i]);
    }
  };
  std::thread other(work, 0);
  work(1);
  other.join();
}

// The two threads' fallbacks wait for one another: each has the sampler's host memory for itself.
TEST_F(GpuCalls, ThreadsShareTheCpuBehindASampler) {
  const SamplerPointer sampler = make_sampler(cuda_options(kUseCpu));
  const std::vector<cases::Case> all = some_cases();
  const Failing failing(fake::kRun, TOKENDRAW_ERROR_BACKEND_FAILED);
  std::vector<cases::CaseOutput> expected;
  for (const cases::Case& c : all) expected.push_back(cpu_output(cases::CaseBatch(c)));
  const auto work = [&](size_t first) {
    void* stream = cuda().create_stream();
    for (size_t i = first; i < all.size(); i += 4) {
      const cases::CaseBatch batch(all[i]);
      DeviceBatch device(batch, DeviceBatch::Arrays::kAll);
      EXPECT_EQ(sample_on_device(sampler.get(), device.batch, stream, false), TOKENDRAW_OK_CPU_FALLBACK);
      EXPECT_TRUE(same_output(device.output(), expected[i])) << cases::case_id(all[i]);
    }
  };
  std::thread other(work, 0);
  work(1);
  other.join();
}

}  // namespace
}  // namespace tokendraw::test
