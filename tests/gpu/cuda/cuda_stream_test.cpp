// SPDX-License-Identifier: Apache-2.0
// Case23: streams, samplers and threads at once, each call with a workspace of its own. And what a call must leave
// alone: device memory, the current device, the caller's struct.
#include <cstring>
#include <memory>
#include <thread>

#include "cuda_fixture.h"
#include "support/case_rows.h"
#include "support/random_rows.h"

namespace tokendraw::test {
namespace {

using CudaStreams = CudaTest;

BatchSpec make_batch(uint64_t number, size_t rows, int32_t vocab) {
  TestRandom random(2300 + number);
  BatchSpec spec;
  for (size_t r = 0; r < rows; ++r) {
    spec.logits.push_back(make_logits(cases::RowKind::kNormal5, vocab, TOKENDRAW_DTYPE_F32, random));
    spec.rows.push_back(filtered(1.0f, r % 2 == 0 ? 50 : 0, r % 3 == 0 ? 1.0f : 0.9f));
    spec.rows.back().seed = random.bits();
    add_row_inputs(spec.rows.back(), vocab, {.sparse_bias = number % 2 == 1, .history = number % 3 == 1}, random);
  }
  return spec;
}

// A batch, its arrays on host and device, and its answer by the CPU.
struct Work {
  Work(TokendrawSampler* sampler, const BatchSpec& spec)
      : packed(spec), on_device(sampler, packed.batch), expected(run(measure(), spec)) {}

  PackedBatch packed;
  CudaBatch on_device;
  std::vector<RowResult> expected;
};

TokendrawStatus enqueue(TokendrawSampler* sampler, const CudaBatch& on_device, cudaStream_t stream) {
  return tokendraw_sample(sampler, &on_device.batch, on_device.workspace, on_device.workspace_bytes, stream);
}

std::string wrong(Work& work, cudaStream_t stream) {
  work.packed.clear_outputs();
  work.on_device.download(stream);
  return difference(work.expected, work.packed.results());
}

// Four streams, two samplers, 12 calls on each stream before anything waits.
TEST_F(CudaStreams, ManyAtOnce) {
  const std::array<SamplerPointer, 2> samplers = {make_sampler(on_cuda(TOKENDRAW_ALGORITHM_CANDIDATES)),
                                                  make_sampler(on_cuda(TOKENDRAW_ALGORITHM_REFINE))};
  const std::array<Stream, 4> streams;
  std::vector<std::unique_ptr<Work>> works;
  constexpr std::array<size_t, 6> kRows = {1, 40, 3, 150, 8, 300};
  constexpr std::array<int32_t, 6> kVocabs = {128256, 5000, 50257, 1000, 32001, 257};
  for (size_t i = 0; i < 48; ++i) {
    TokendrawSampler* sampler = samplers[i % 2].get();
    works.push_back(std::make_unique<Work>(sampler, make_batch(i % 6, kRows[i % 6], kVocabs[i % 6])));
    works.back()->on_device.upload(streams[0].get());
  }
  for (size_t i = 0; i < works.size(); ++i) {
    EXPECT_EQ(enqueue(samplers[i % 2].get(), works[i]->on_device, streams[i % 4].get()), TOKENDRAW_OK);
  }
  for (size_t i = 0; i < works.size(); ++i) EXPECT_EQ(wrong(*works[i], streams[i % 4].get()), "") << i;
}

TEST_F(CudaStreams, ThreadsWithOneSampler) {
  for (const auto algorithm : kGpuAlgorithms) {
    const SamplerPointer sampler = make_sampler(on_cuda(algorithm));
    std::vector<std::unique_ptr<Work>> works;
    for (uint64_t t = 0; t < 6; ++t) {
      works.push_back(
          std::make_unique<Work>(sampler.get(), make_batch(t, t % 2 == 0 ? 2 : 140, t % 3 == 0 ? 40000 : 900)));
    }
    std::vector<std::string> found(works.size());
    std::vector<std::thread> threads;
    for (size_t t = 0; t < works.size(); ++t) {
      threads.emplace_back([&, t] {
        const Stream stream;
        works[t]->on_device.upload(stream.get());
        for (int i = 0; i < 50 && found[t].empty(); ++i) {
          if (enqueue(sampler.get(), works[t]->on_device, stream.get()) != TOKENDRAW_OK) {
            found[t] = tokendraw_last_error_message();
          } else if (i % 10 == 9) {
            found[t] = wrong(*works[t], stream.get());
          }
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::string& text : found) EXPECT_EQ(text, "");
  }
}

TEST_F(CudaStreams, TheDefaultStreams) {
  TokendrawSampler* sampler = sampler_for(on_cuda());
  Work work(sampler, make_batch(1, 9, 20000));
  for (cudaStream_t stream : {static_cast<cudaStream_t>(nullptr), cudaStreamLegacy, cudaStreamPerThread}) {
    work.on_device.upload(stream);
    EXPECT_EQ(enqueue(sampler, work.on_device, stream), TOKENDRAW_OK) << tokendraw_last_error_message();
    EXPECT_EQ(wrong(work, stream), "");
  }
}

// The call has read the struct when it returns; the workspace is used by a call after the other on one stream.
TEST_F(CudaStreams, StructMayChangeAfterTheCallAndWorkspaceBeSharedInTurn) {
  TokendrawSampler* sampler = sampler_for(on_cuda());
  const Stream stream;
  Work first(sampler, make_batch(1, 5, 50000));
  Work second(sampler, make_batch(3, 170, 3000));
  first.on_device.upload(stream.get());
  second.on_device.upload(stream.get());
  const size_t bytes = std::max(first.on_device.workspace_bytes, second.on_device.workspace_bytes);
  const DeviceBlock workspace(bytes);
  for (int i = 0; i < 10; ++i) {
    for (Work* work : {&first, &second}) {
      TokendrawBatch batch = work->on_device.batch;
      EXPECT_EQ(tokendraw_sample(sampler, &batch, workspace.data(), bytes, stream.get()), TOKENDRAW_OK);
      std::memset(&batch, 0xee, sizeof batch);
    }
  }
  EXPECT_EQ(wrong(first, stream.get()), "");
  EXPECT_EQ(wrong(second, stream.get()), "");
}

// The same sampler, thousands of calls of several plans: not one byte of device memory more. Other programs may take
// some meanwhile, but not each time.
TEST_F(CudaStreams, DeviceMemoryStaysTheSame) {
  TokendrawSampler* sampler = sampler_for(on_cuda());
  const Stream stream;
  std::vector<std::unique_ptr<Work>> works;
  for (uint64_t i = 0; i < 3; ++i)
    works.push_back(std::make_unique<Work>(sampler, make_batch(i, i == 2 ? 200 : 4, 30000)));
  for (const std::unique_ptr<Work>& work : works) work->on_device.upload(stream.get());
  const auto call = [&](int times) {
    for (int i = 0; i < times; ++i) {
      for (const std::unique_ptr<Work>& work : works) {
        if (enqueue(sampler, work->on_device, stream.get()) != TOKENDRAW_OK) return false;
      }
    }
    stream.synchronize();
    return true;
  };
  ASSERT_TRUE(call(10)) << tokendraw_last_error_message();
  size_t before = 0;
  size_t after = 1;
  size_t total = 0;
  for (int attempt = 0; attempt < 5 && before != after; ++attempt) {
    succeeded(cudaMemGetInfo(&before, &total));
    ASSERT_TRUE(call(1000)) << tokendraw_last_error_message();
    succeeded(cudaMemGetInfo(&after, &total));
  }
  EXPECT_EQ(before, after);
  for (const std::unique_ptr<Work>& work : works) EXPECT_EQ(wrong(*work, stream.get()), "");
}

// A sampler of every device, whatever device the caller has made current, and that one stays current. With one device
// this still sees a call that leaves another one behind.
TEST_F(CudaStreams, TheCurrentDeviceStays) {
  int devices = 0;
  succeeded(cudaGetDeviceCount(&devices));
  const BatchSpec spec = make_batch(2, 3, 5000);
  const std::vector<RowResult> expected = run(measure(), spec);
  for (int current = 0; current < devices; ++current) {
    for (int device = 0; device < devices; ++device) {
      succeeded(cudaSetDevice(current));
      Variant variant = on_cuda();
      variant.device = device;
      const SamplerPointer sampler = make_sampler(variant);
      PackedBatch packed(spec);
      ASSERT_EQ(tokendraw_sample_host(sampler.get(), &packed.batch), TOKENDRAW_OK) << tokendraw_last_error_message();
      EXPECT_EQ(difference(expected, packed.results()), "");
      int now = -1;
      succeeded(cudaGetDevice(&now));
      EXPECT_EQ(now, current);
    }
  }
  succeeded(cudaSetDevice(0));
}

// A stream of another device refuses the kernels: the CPU answers and says why, and the next call is the GPU's again.
TEST_F(CudaStreams, StreamOfAnotherDeviceIsAnsweredByTheCpu) {
  int devices = 0;
  succeeded(cudaGetDeviceCount(&devices));
  if (devices < 2) GTEST_SKIP() << "there is one device";
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  TokendrawSampler* created = nullptr;
  ASSERT_EQ(tokendraw_create_sampler(&options, &created), TOKENDRAW_OK) << tokendraw_last_error_message();
  const SamplerPointer sampler(created);
  Work work(sampler.get(), make_batch(1, 20, 5000));
  const Stream right;
  work.on_device.upload(right.get());
  succeeded(cudaSetDevice(1));
  {
    const Stream other;
    succeeded(cudaSetDevice(0));
    EXPECT_EQ(enqueue(sampler.get(), work.on_device, other.get()), TOKENDRAW_OK_CPU_FALLBACK);
    EXPECT_NE(std::strstr(tokendraw_last_error_message(), "the cpu answered"), nullptr)
        << tokendraw_last_error_message();
    EXPECT_EQ(wrong(work, right.get()), "");
  }
  EXPECT_EQ(enqueue(sampler.get(), work.on_device, right.get()), TOKENDRAW_OK) << tokendraw_last_error_message();
  EXPECT_EQ(wrong(work, right.get()), "");
}

}  // namespace
}  // namespace tokendraw::test
