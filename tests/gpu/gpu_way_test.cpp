// SPDX-License-Identifier: Apache-2.0
// Which way a GPU's plan takes: by the batch's shape, or as the sampler's options say.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "gpu/emulator.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

constexpr int32_t kVocab = 128256;

SamplerPointer make_gpu_sampler(TokendrawGpuWay way) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.gpu_way = way;
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR;
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

// The plan's way for rows of a vocabulary; no logits are looked at.
std::string way_of(const TokendrawSampler* sampler, int64_t rows, int32_t vocab,
                   TokendrawDtype dtype = TOKENDRAW_DTYPE_F32) {
  alignas(16) static const float logits[4] = {};
  std::vector<int32_t> tokens(static_cast<size_t>(rows));
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = logits;
  batch.dtype = dtype;
  batch.logits_memory = TOKENDRAW_MEMORY_HOST;
  batch.vocab = vocab;
  batch.rows = rows;
  batch.tokens = tokens.data();
  return plan_value(sampler, batch, "way");
}

bool begins(const std::string& text, const char* with) { return text.rfind(std::string(with) + " (", 0) == 0; }

class GpuWay : public testing::Test {
 protected:
  // As an H200: 132 multiprocessors, clusters of up to 16 blocks.
  void SetUp() override {
    ASSERT_NE(make_gpu_sampler(TOKENDRAW_GPU_WAY_AUTO), nullptr);  // loads the backend
    if (EMULATOR(simt_set_multiprocessors) == nullptr) GTEST_SKIP() << "the device's facts cannot be set";
    EMULATOR(simt_set_multiprocessors)(132);
    EMULATOR(simt_set_cluster_blocks)(16);
  }
};

TEST_F(GpuWay, FollowsFromTheShape) {
  const SamplerPointer sampler = make_gpu_sampler(TOKENDRAW_GPU_WAY_AUTO);
  struct Expected {
    int64_t rows;
    TokendrawDtype dtype;
    const char* way;
  };
  constexpr Expected kExpected[] = {
      {1, TOKENDRAW_DTYPE_F32, "cluster"},       {64, TOKENDRAW_DTYPE_F32, "cluster"},
      {65, TOKENDRAW_DTYPE_F32, "block"},        {64, TOKENDRAW_DTYPE_BF16, "cluster"},
      {65, TOKENDRAW_DTYPE_BF16, "block"},       {264, TOKENDRAW_DTYPE_F32, "block"},
      {265, TOKENDRAW_DTYPE_F32, "small-block"}, {2048, TOKENDRAW_DTYPE_F16, "small-block"},
  };
  for (const Expected& e : kExpected) {
    const std::string way = way_of(sampler.get(), e.rows, kVocab, e.dtype);
    EXPECT_TRUE(begins(way, e.way)) << e.rows << " rows: " << way;
    EXPECT_EQ(way.find("options"), std::string::npos) << way;
  }
  EXPECT_TRUE(begins(way_of(sampler.get(), 1, 1 << 21), "split"));  // finds no room on the chip
}

TEST_F(GpuWay, IsTheOneAskedFor) {
  for (const TokendrawGpuWay way :
       {TOKENDRAW_GPU_WAY_BLOCK, TOKENDRAW_GPU_WAY_SMALL_BLOCK, TOKENDRAW_GPU_WAY_SPLIT, TOKENDRAW_GPU_WAY_CLUSTER}) {
    const SamplerPointer sampler = make_gpu_sampler(way);
    for (const int64_t rows : {1, 40, 64}) {
      const std::string text = way_of(sampler.get(), rows, kVocab);
      EXPECT_TRUE(begins(text, tokendraw_gpu_way_name(way))) << rows << " rows: " << text;
      EXPECT_NE(text.find("the sampler's options name it"), std::string::npos) << text;
    }
  }
}

TEST_F(GpuWay, ThatCannotServeTheBatchIsSaidToBeLeftOut) {
  const SamplerPointer split = make_gpu_sampler(TOKENDRAW_GPU_WAY_SPLIT);
  const SamplerPointer cluster = make_gpu_sampler(TOKENDRAW_GPU_WAY_CLUSTER);
  for (const std::string& text : {way_of(split.get(), 65, kVocab), way_of(split.get(), 65, 100)}) {
    EXPECT_TRUE(begins(text, "block") || begins(text, "cluster")) << text;
    EXPECT_NE(text.find("cannot serve this batch"), std::string::npos) << text;
  }
  const std::string text = way_of(cluster.get(), 1, 1 << 21);
  EXPECT_TRUE(begins(text, "split")) << text;
  EXPECT_NE(text.find("cannot serve this batch"), std::string::npos) << text;
}

}  // namespace
}  // namespace tokendraw::test
