// SPDX-License-Identifier: Apache-2.0
// Where numbers lie in device memory does not matter, nor what the workspace holds; what is refused, and what happens
// where the device has no memory left. That inputs and guards stay as they were is looked at in every run on device
// memory (support/cuda_batch.h).
#include <cstring>

#include "cuda_fixture.h"
#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/requests.h"

namespace tokendraw::test {
namespace {

using CudaMemory = CudaTest;

// Both plans, with lists and without.
std::vector<BatchSpec> some_batches() {
  TestRandom random(2500);
  std::vector<BatchSpec> specs;
  for (const size_t rows : {2, 140}) {
    for (const bool lists : {false, true}) {
      BatchSpec spec;
      for (size_t r = 0; r < rows; ++r) {
        const Request one = request(r, 6007);
        spec.logits.push_back(one.logits);
        spec.rows.push_back(one.row);
        add_row_inputs(spec.rows.back(), 6007, {.mask = lists, .sparse_bias = lists, .history = lists}, random);
      }
      specs.push_back(spec);
    }
  }
  return specs;
}

TEST_F(CudaMemory, WorkspaceAtAnyAddressWithAnyContent) {
  const Stream stream;
  for (const BatchSpec& spec : some_batches()) {
    const std::vector<RowResult> expected = run(measure(), spec);
    for (const auto algorithm : kGpuAlgorithms) {
      TokendrawSampler* sampler = sampler_for(on_cuda(algorithm));
      PackedBatch packed(spec);
      CudaBatch on_device(sampler, packed.batch);
      const DeviceBlock memory(on_device.workspace_bytes + 64);
      on_device.upload(stream.get());
      for (size_t lead = 0; lead < 33; ++lead) {
        constexpr std::array<int, 4> kFill = {0x00, 0xff, 0x7f, -1};  // -1: what the last call left, a byte further
        const int fill = kFill[lead % 4];
        if (fill >= 0) succeeded(cudaMemsetAsync(memory.data(), fill, on_device.workspace_bytes + 64, stream.get()));
        ASSERT_EQ(
            tokendraw_sample(sampler, &on_device.batch, memory.data() + lead, on_device.workspace_bytes, stream.get()),
            TOKENDRAW_OK)
            << tokendraw_last_error_message();
        packed.clear_outputs();
        on_device.download(stream.get());
        EXPECT_EQ(difference(expected, packed.results()), "") << "lead " << lead << ", fill " << fill;
      }
    }
  }
}

TEST_F(CudaMemory, MisalignedRowsStridesAndPadding) {
  std::vector<Request> requests;
  for (uint64_t i = 0; i < 6; ++i) requests.push_back(request(i, 4099));
  BatchSpec spec = batch_of(requests);
  TestRandom random(25);
  for (const bool edited : {false, true}) {
    if (edited) {
      for (RowSpec& row : spec.rows) add_row_inputs(row, 4099, {.mask = true, .dense_bias = true}, random);
    }
    for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
      spec.dtype = dtype;
      for (std::vector<float>& logits : spec.logits) round_to_dtype(logits, dtype);
      const std::vector<RowResult> expected = run(measure(), spec);
      for (const auto algorithm : kGpuAlgorithms) {
        for (int64_t lead = 0; lead < 33; ++lead) {
          Layout layout;
          layout.lead_elements = lead;
          layout.padding_columns = lead * 7 % 40;
          layout.padding_words = lead % 4;
          EXPECT_EQ(difference(expected, run_on_device(on_cuda(algorithm), spec, layout)), "")
              << tokendraw_dtype_name(dtype) << ", lead " << lead;
        }
      }
    }
  }
}

TEST_F(CudaMemory, OutputsThatAreNotWanted) {
  for (const BatchSpec& spec : some_batches()) {
    const std::vector<RowResult> exact = run(measure(), spec);
    const std::vector<RowResult> by_rejection = run(measure_of_rejection(), spec);
    for (unsigned wanted = 0; wanted < 64; ++wanted) {
      const bool rejection = (wanted & 32) != 0;
      const std::vector<RowResult>& expected = rejection ? by_rejection : exact;
      PackedBatch packed(spec);
      packed.clear_outputs();
      if ((wanted & 1) == 0) packed.batch.row_status = nullptr;
      if ((wanted & 2) == 0) packed.batch.kept = nullptr;
      if ((wanted & 4) == 0) packed.batch.kept_mass = nullptr;
      if ((wanted & 8) == 0) packed.batch.logprob = nullptr;
      if ((wanted & 16) == 0) packed.batch.rounds = nullptr;
      sample_on_device(sampler_for(on_cuda(rejection ? TOKENDRAW_ALGORITHM_REJECTION : TOKENDRAW_ALGORITHM_AUTO)),
                       packed.batch);
      std::vector<RowResult> results = packed.results();
      for (size_t r = 0; r < results.size(); ++r) {  // what is not wanted counts as right
        if ((wanted & 1) == 0) results[r].status = expected[r].status;
        if ((wanted & 2) == 0) results[r].kept = expected[r].kept;
        if ((wanted & 4) == 0) results[r].kept_mass = expected[r].kept_mass;
        if ((wanted & 8) == 0) results[r].logprob = expected[r].logprob;
        if ((wanted & 16) == 0) results[r].rounds = expected[r].rounds;
      }
      EXPECT_EQ(difference(expected, results), "") << "wanted " << wanted;
    }
  }
}

// Of as many rows as are split elsewhere, and of more.
TEST_F(CudaMemory, RejectionNeedsNoWorkspace) {
  for (const BatchSpec& spec : some_batches()) {
    if (!spec.rows[0].history.empty()) continue;  // lists need one
    TokendrawSampler* sampler = sampler_for(on_cuda(TOKENDRAW_ALGORITHM_REJECTION));
    PackedBatch packed(spec);
    packed.clear_outputs();
    CudaBatch on_device(sampler, packed.batch);
    EXPECT_EQ(on_device.workspace_bytes, 0u);
    on_device.upload(nullptr);
    ASSERT_EQ(tokendraw_sample(sampler, &on_device.batch, nullptr, 0, nullptr), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    on_device.download(nullptr);
    EXPECT_EQ(difference(run(measure_of_rejection(), spec), packed.results()), "");
  }
}

// Many draws from one row, and random numbers handed in for them.
TEST_F(CudaMemory, ManyDrawsFromOneRow) {
  TestRandom random(26);
  const std::vector<float> logits = make_logits(cases::RowKind::kNormal1, 128256, TOKENDRAW_DTYPE_F32, random);
  for (const RowSpec& row : {filtered(1.0f, 0), filtered(1.0f, 50, 0.9f), filtered(1.0f, 0, 0.9f)}) {
    BatchSpec spec = repeated_draws(logits, row, 2000);
    EXPECT_EQ(difference(run(measure(), spec), run_on_device(on_cuda(), spec)), "");
    const BatchSpec fewer = repeated_draws(logits, row, 100);
    EXPECT_EQ(
        difference(run(measure_of_rejection(), fewer), run_on_device(on_cuda(TOKENDRAW_ALGORITHM_REJECTION), fewer)),
        "");
    for (size_t r = 0; r < spec.rows.size(); ++r) {
      spec.random_u64.push_back(r == 0 ? 0 : r == 1 ? ~uint64_t{0} : random.bits());
    }
    EXPECT_EQ(difference(run(measure(), spec), run_on_device(on_cuda(), spec)), "");
  }
}

TEST_F(CudaMemory, LogitsOnTheDeviceTheRestOnTheHost) {
  for (const BatchSpec& spec : some_batches()) {
    TokendrawSampler* sampler = sampler_for(on_cuda());
    PackedBatch packed(spec);
    CudaBatch on_device(sampler, packed.batch);
    on_device.upload(nullptr);
    packed.batch.logits = on_device.batch.logits;
    packed.batch.logits_memory = TOKENDRAW_MEMORY_DEVICE;
    ASSERT_EQ(tokendraw_sample_host(sampler, &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(difference(run(measure(), spec), packed.results()), "");
  }
}

TEST_F(CudaMemory, RefusalsAndNoRows) {
  TokendrawSampler* sampler = sampler_for(on_cuda());
  PackedBatch packed(some_batches()[0]);
  CudaBatch on_device(sampler, packed.batch);
  on_device.upload(nullptr);
  const TokendrawBatch good = on_device.batch;
  const auto status_of = [&](const TokendrawBatch& batch, void* workspace, size_t bytes) {
    return tokendraw_sample(sampler, &batch, workspace, bytes, nullptr);
  };
  TokendrawBatch batch = good;
  batch.logits_memory = TOKENDRAW_MEMORY_HOST;
  EXPECT_EQ(status_of(batch, on_device.workspace, on_device.workspace_bytes), TOKENDRAW_INVALID_LOGITS_MEMORY);
  batch = good;
  batch.params_memory = TOKENDRAW_MEMORY_HOST;
  EXPECT_EQ(status_of(batch, on_device.workspace, on_device.workspace_bytes), TOKENDRAW_INVALID_PARAMS_MEMORY);
  EXPECT_EQ(status_of(good, nullptr, on_device.workspace_bytes), TOKENDRAW_INVALID_WORKSPACE);
  EXPECT_EQ(status_of(good, on_device.workspace, on_device.workspace_bytes - 1), TOKENDRAW_INVALID_WORKSPACE_BYTES);
  batch = good;
  batch.rows = 0;
  EXPECT_EQ(status_of(batch, nullptr, 0), TOKENDRAW_OK) << tokendraw_last_error_message();
  packed.clear_outputs();
  on_device.download(nullptr);
  for (const RowResult& result : packed.results()) EXPECT_EQ(result.token, PackedBatch::guard_token());
}

// All of the device's memory, taken in pieces that get smaller.
class AllMemory {
 public:
  AllMemory() {
    for (size_t bytes = size_t{64} << 30; bytes >= size_t{1} << 20;) {
      void* piece = nullptr;
      if (cudaMalloc(&piece, bytes) == cudaSuccess) {
        pieces_.push_back(piece);
      } else {
        (void)cudaGetLastError();
        bytes /= 2;
      }
    }
  }
  ~AllMemory() {
    for (void* piece : pieces_) succeeded(cudaFree(piece));
  }
  AllMemory(const AllMemory&) = delete;
  AllMemory& operator=(const AllMemory&) = delete;

 private:
  std::vector<void*> pieces_;
};

// Case37, as far as it can be had with a sound device: no memory for what sample_host keeps there.
TEST_F(CudaMemory, DeviceWithoutMemoryIsAnsweredByTheCpu) {
  const BatchSpec small = batch_of({request(1, 100)});
  BatchSpec large = batch_of({request(2, 1 << 20), request(3, 1 << 20)});
  for (int i = 0; i < 6; ++i) large.logits.push_back(large.logits[0]), large.rows.push_back(large.rows[0]);
  for (const auto choice : {TOKENDRAW_ON_GPU_FAILURE_USE_CPU, TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR}) {
    TokendrawSamplerOptions options;
    tokendraw_init_sampler_options(&options);
    options.backend = TOKENDRAW_BACKEND_CUDA;
    options.on_gpu_failure = choice;
    TokendrawSampler* created = nullptr;
    ASSERT_EQ(tokendraw_create_sampler(&options, &created), TOKENDRAW_OK) << tokendraw_last_error_message();
    const SamplerPointer sampler(created);
    PackedBatch packed_small(small);
    ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed_small.batch), TOKENDRAW_OK);  // loads the kernels
    PackedBatch packed(large);
    const bool cpu = choice == TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
    {
      const AllMemory taken;
      EXPECT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch),
                cpu ? TOKENDRAW_OK_CPU_FALLBACK : TOKENDRAW_ERROR_OUT_OF_MEMORY);
      EXPECT_NE(std::strstr(tokendraw_last_error_message(), "cuda: "), nullptr) << tokendraw_last_error_message();
      if (cpu) {
        EXPECT_EQ(difference(run(measure(), large), packed.results()), "");
      }
    }
    packed.clear_outputs();
    EXPECT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(difference(run(measure(), large), packed.results()), "");
  }
}

}  // namespace
}  // namespace tokendraw::test
