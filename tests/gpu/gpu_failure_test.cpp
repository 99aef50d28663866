// SPDX-License-Identifier: Apache-2.0
// What the GPU backend does when its platform fails, and its work captured in a graph: on the emulator, which fails on
// demand (simt/control.h). tests/fake_backend has what the library makes of every failure of a backend; this is the
// backend's own part.
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "gpu/emulator.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

constexpr auto kUseCpu = TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
constexpr auto kReturnError = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;

SamplerPointer make_gpu_sampler(int32_t device, TokendrawOnGpuFailure on_gpu_failure) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.device = device;
  options.threads = 1;
  options.on_gpu_failure = on_gpu_failure;
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

// Rows of logits with an offset each.
struct Rows {
  int64_t rows;
  int32_t vocab;
  std::vector<float> logits;
  std::vector<uint64_t> offsets;
  std::vector<int32_t> tokens;

  Rows(int64_t row_count, int32_t row_vocab) : rows(row_count), vocab(row_vocab) {
    for (int64_t i = 0; i < rows * vocab; ++i) logits.push_back(static_cast<float>(i * 7919 % 1013) / 100.0f);
    for (int64_t r = 0; r < rows; ++r) offsets.push_back(static_cast<uint64_t>(r) * 10);
    tokens.assign(static_cast<size_t>(rows), -5);
  }
  TokendrawBatch batch() {
    TokendrawBatch batch;
    tokendraw_init_batch(&batch);
    batch.logits = logits.data();
    batch.rows = rows;
    batch.vocab = vocab;
    batch.top_k = 40;
    batch.top_p = 0.9f;
    batch.seed = 3;
    batch.offset_per_row = offsets.data();
    batch.tokens = tokens.data();
    return batch;
  }
  std::vector<int32_t> expected() {
    const SamplerPointer cpu = make_sampler({TOKENDRAW_ALGORITHM_REFERENCE, "", 1});
    std::vector<int32_t> answer(tokens.size());
    TokendrawBatch asked = batch();
    asked.tokens = answer.data();
    EXPECT_EQ(tokendraw_sample_host(cpu.get(), &asked), TOKENDRAW_OK);
    return answer;
  }
};

// One block a row, and rows split over blocks.
std::vector<Rows> shapes() { return {Rows(5, 700), Rows(2, 9000)}; }

template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values) : size_(values.size()) {
    EXPECT_EQ(EMULATOR(simt_allocate)(&memory_, size_ * sizeof(T)), SIMT_SUCCESS);
    write(values);
  }
  ~OnDevice() { EMULATOR(simt_release)(memory_); }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;

  T* get() const { return static_cast<T*>(memory_); }
  void write(const std::vector<T>& values) const {
    EXPECT_EQ(EMULATOR(simt_copy)(memory_, values.data(), size_ * sizeof(T), 0, nullptr), SIMT_SUCCESS);
  }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    EXPECT_EQ(EMULATOR(simt_copy)(values.data(), memory_, size_ * sizeof(T), 1, nullptr), SIMT_SUCCESS);
    return values;
  }

 private:
  void* memory_ = nullptr;
  size_t size_;
};

// The rows in device memory, with a workspace.
struct RowsOnDevice {
  OnDevice<float> logits;
  OnDevice<uint64_t> offsets;
  OnDevice<int32_t> tokens;
  std::unique_ptr<OnDevice<unsigned char>> workspace;
  size_t workspace_bytes = 0;
  TokendrawBatch batch;

  RowsOnDevice(Rows& rows, const TokendrawSampler* sampler)
      : logits(rows.logits), offsets(rows.offsets), tokens(rows.tokens), batch(rows.batch()) {
    batch.logits = logits.get();
    batch.offset_per_row = offsets.get();
    batch.tokens = tokens.get();
    batch.logits_memory = batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
    EXPECT_EQ(tokendraw_get_workspace_bytes(sampler, &batch, &workspace_bytes), TOKENDRAW_OK);
    workspace = std::make_unique<OnDevice<unsigned char>>(std::vector<unsigned char>(workspace_bytes, 0xe5));
  }
  TokendrawStatus sample(TokendrawSampler* sampler, void* stream) const {
    return tokendraw_sample(sampler, &batch, workspace->get(), workspace_bytes, stream);
  }
};

class GpuFailure : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_NE(make_gpu_sampler(0, kReturnError), nullptr);  // loads the backend
    ASSERT_NE(EMULATOR(simt_reset), nullptr) << "LD_LIBRARY_PATH must name the folder of the emulated backend";
  }
  void TearDown() override {
    if (EMULATOR(simt_reset) == nullptr) return;
    EMULATOR(simt_reset)();
    EMULATOR(simt_use_device)(0);
  }
};

using GpuGraph = GpuFailure;

struct Fault {
  SimtCall call;
  SimtError code;
  uint32_t after;
  TokendrawStatus status;
  const char* message;
  bool stays;
};

constexpr Fault kFaults[] = {
    {SIMT_CALL_LAUNCH, SIMT_LAUNCH_FAILURE, 0, TOKENDRAW_ERROR_BACKEND_FAILED,
     "cuda: launching the kernels: launch failure (error 7)", false},
    {SIMT_CALL_ALLOCATE, SIMT_OUT_OF_MEMORY, 0, TOKENDRAW_ERROR_OUT_OF_MEMORY,
     "cuda: allocating device memory: out of memory (error 2)", false},
    {SIMT_CALL_COPY, SIMT_INVALID_VALUE, 1, TOKENDRAW_ERROR_BACKEND_FAILED, "cuda: copying: invalid value (error 1)",
     false},
    {SIMT_CALL_EXECUTE, SIMT_KERNEL_FAILURE, 0, TOKENDRAW_ERROR_BACKEND_FAILED, "a kernel failed (error 8)", true},
    {SIMT_CALL_SYNCHRONIZE, SIMT_DEVICE_LOST, 0, TOKENDRAW_ERROR_BACKEND_FAILED,
     "cuda: waiting for the device: device lost (error 9)", true},
};

TEST_F(GpuFailure, OfCallsWithHostMemory) {
  for (Rows& rows : shapes()) {
    const std::vector<int32_t> expected = rows.expected();
    for (const Fault& fault : kFaults) {
      for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
        const int32_t device = rows.rows % 2 == 0 ? 0 : 1;
        const SamplerPointer sampler = make_gpu_sampler(device, on_gpu_failure);
        const TokendrawBatch batch = rows.batch();
        const bool answered = on_gpu_failure == kUseCpu;
        const TokendrawStatus failed = answered ? TOKENDRAW_OK_CPU_FALLBACK : fault.status;
        EMULATOR(simt_fail_next)(fault.call, fault.after, fault.code);
        ASSERT_EQ(tokendraw_sample_host(sampler.get(), &batch), failed) << tokendraw_last_error_message();
        EXPECT_NE(std::string(tokendraw_last_error_message()).find(fault.message), std::string::npos)
            << tokendraw_last_error_message();
        if (answered) {
          EXPECT_EQ(rows.tokens, expected) << fault.message;
        }
        // The next call tries the GPU again.
        rows.tokens.assign(rows.tokens.size(), -5);
        const uint64_t before = EMULATOR(simt_count_launches)();
        ASSERT_EQ(tokendraw_sample_host(sampler.get(), &batch), fault.stays ? failed : TOKENDRAW_OK)
            << tokendraw_last_error_message();
        EXPECT_EQ(EMULATOR(simt_count_launches)() > before, !fault.stays);
        if (answered || !fault.stays) {
          EXPECT_EQ(rows.tokens, expected) << fault.message;
        }
        rows.tokens.assign(rows.tokens.size(), -5);
        EMULATOR(simt_reset)();
      }
    }
  }
}

// A device that cannot place a plan's clusters serves the rows by a block each, which is no failure.
TEST_F(GpuFailure, OfClustersThatFindNoPlace) {
  for (Rows& rows : shapes()) {
    const std::vector<int32_t> expected = rows.expected();
    const SamplerPointer sampler = make_gpu_sampler(0, kReturnError);
    const RowsOnDevice on_device(rows, sampler.get());
    const uint64_t before = EMULATOR(simt_count_launches)();
    EMULATOR(simt_fail_next)(SIMT_CALL_LAUNCH, 0, SIMT_SHAPE_REFUSED);
    EXPECT_EQ(on_device.sample(sampler.get(), nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(EMULATOR(simt_synchronize)(nullptr), SIMT_SUCCESS) << EMULATOR(simt_last_report)();
    EXPECT_EQ(EMULATOR(simt_count_launches)(), before + 1);
    EXPECT_EQ(on_device.tokens.read(), expected);
  }
}

// Every launch of the call in turn, the first ones being done already.
TEST_F(GpuFailure, OfLaunchesWithDeviceMemory) {
  for (const int32_t cluster_blocks : {1, 8}) {
    for (Rows& rows : shapes()) {
      const std::vector<int32_t> expected = rows.expected();
      for (const auto on_gpu_failure : {kUseCpu, kReturnError}) {
        EMULATOR(simt_set_cluster_blocks)(cluster_blocks);
        const SamplerPointer sampler = make_gpu_sampler(0, on_gpu_failure);
        TokendrawStatus status = TOKENDRAW_OK;
        uint32_t after = 0;
        for (; after < 10; ++after) {
          const RowsOnDevice on_device(rows, sampler.get());
          EMULATOR(simt_fail_next)(SIMT_CALL_LAUNCH, after, SIMT_LAUNCH_FAILURE);
          status = on_device.sample(sampler.get(), nullptr);
          EMULATOR(simt_reset)();
          EXPECT_EQ(EMULATOR(simt_synchronize)(nullptr), SIMT_SUCCESS);
          const std::vector<int32_t> tokens = on_device.tokens.read();
          if (status != TOKENDRAW_ERROR_BACKEND_FAILED) {
            EXPECT_EQ(tokens, expected) << "after " << after << " launches";
          }
          if (status == TOKENDRAW_OK) break;
          ASSERT_EQ(status, on_gpu_failure == kUseCpu ? TOKENDRAW_OK_CPU_FALLBACK : TOKENDRAW_ERROR_BACKEND_FAILED);
        }
        EXPECT_EQ(status, TOKENDRAW_OK);
        EXPECT_EQ(after > 1, rows.rows == 2 && cluster_blocks == 1)
            << "a split row takes several launches, another one";
      }
    }
  }
}

TEST_F(GpuGraph, ThatFailsToBeCaptured) {
  void* stream = nullptr;
  ASSERT_EQ(EMULATOR(simt_create_stream)(&stream), SIMT_SUCCESS);
  Rows rows(5, 700);
  const SamplerPointer sampler = make_gpu_sampler(0, kUseCpu);
  const RowsOnDevice on_device(rows, sampler.get());
  ASSERT_EQ(EMULATOR(simt_begin_capture)(stream), SIMT_SUCCESS);
  EMULATOR(simt_fail_next)(SIMT_CALL_LAUNCH, 0, SIMT_LAUNCH_FAILURE);
  EXPECT_EQ(on_device.sample(sampler.get(), stream), TOKENDRAW_ERROR_BACKEND_FAILED) << "a graph cannot hold the cpu";
  void* graph = EMULATOR(simt_end_capture)(stream);
  EXPECT_NE(graph, nullptr) << EMULATOR(simt_last_report)();
  EMULATOR(simt_destroy_graph)(graph);
  EXPECT_EQ(on_device.tokens.read(), rows.tokens);
  EXPECT_EQ(EMULATOR(simt_destroy_stream)(stream), SIMT_SUCCESS);
}

// A graph reads the arrays anew whenever it is launched.
TEST_F(GpuGraph, ReadsTheArraysAnew) {
  for (const int32_t device : {0, 1}) {
    for (Rows& rows : shapes()) {
      const SamplerPointer sampler = make_gpu_sampler(device, kReturnError);
      ASSERT_EQ(EMULATOR(simt_use_device)(device), SIMT_SUCCESS);
      void* stream = nullptr;
      ASSERT_EQ(EMULATOR(simt_create_stream)(&stream), SIMT_SUCCESS);
      const RowsOnDevice on_device(rows, sampler.get());
      ASSERT_EQ(EMULATOR(simt_begin_capture)(stream), SIMT_SUCCESS);
      EXPECT_EQ(on_device.sample(sampler.get(), stream), TOKENDRAW_OK) << tokendraw_last_error_message();
      void* graph = EMULATOR(simt_end_capture)(stream);
      ASSERT_NE(graph, nullptr) << EMULATOR(simt_last_report)();
      EXPECT_EQ(on_device.tokens.read(), rows.tokens) << "done before it was launched";
      for (int step = 0; step < 3; ++step) {
        on_device.offsets.write(rows.offsets);
        ASSERT_EQ(EMULATOR(simt_replay)(graph, stream), SIMT_SUCCESS);
        ASSERT_EQ(EMULATOR(simt_synchronize)(stream), SIMT_SUCCESS) << EMULATOR(simt_last_report)();
        EXPECT_EQ(on_device.tokens.read(), rows.expected()) << "step " << step;
        for (uint64_t& offset : rows.offsets) ++offset;
      }
      EMULATOR(simt_destroy_graph)(graph);
      EXPECT_EQ(EMULATOR(simt_destroy_stream)(stream), SIMT_SUCCESS);
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
