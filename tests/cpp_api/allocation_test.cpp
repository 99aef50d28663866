// SPDX-License-Identifier: Apache-2.0
// What allocates and what does not, and what happens when there is no memory, with an operator new that counts and,
// when told so, fails.
#include <gtest/gtest.h>

#include <tokendraw/tokendraw.hpp>
#include <vector>

#include "counted_allocation.h"

namespace {

using tokendraw::Batch;
using tokendraw::Sampler;
using tokendraw::SamplingParams;

constexpr int32_t kVocab = 3000;
constexpr int kRows = 6;

struct Setting {
  std::vector<float> logits = std::vector<float>(static_cast<size_t>(kRows) * kVocab, 0.5f);
  std::vector<int32_t> history = {1, 2, 3};
  std::vector<uint32_t> mask = std::vector<uint32_t>((kVocab + 31) / 32, 0xaaaaaaaau);
  std::vector<SamplingParams> requests = std::vector<SamplingParams>(kRows);
  std::vector<int32_t> tokens = std::vector<int32_t>(kRows);
  std::vector<float> logprob = std::vector<float>(kRows);

  Setting() {
    requests[1] = {.top_k = 20, .top_p = 0.9f};
    requests[2] = {.repetition_penalty = 1.5f, .history_ids = history};
    requests[3].mask = mask;
  }
};

TEST(Allocation, IsNoneInTheLoopOfAnEngine) {
  for (const int32_t threads : {1, 2}) {
    Setting setting;
    Sampler sampler({.backend = tokendraw::Backend::kCpu, .threads = threads});
    tokendraw::RequestColumns columns;
    std::vector<std::byte> workspace;
    for (int step = 0; step < 4; ++step) {
      const int64_t before = allocation_count();
      columns.assign(setting.requests);
      Batch batch = columns.batch();
      batch.logits = setting.logits;
      batch.tokens = setting.tokens;
      batch.logprob = setting.logprob;
      const size_t bytes = sampler.workspace_bytes(batch);
      if (workspace.size() < bytes) workspace.resize(bytes);
      sampler.sample(batch, workspace);
      if (step == 0) {
        EXPECT_GT(allocation_count(), before) << "nothing is counted";
      } else {
        EXPECT_EQ(allocation_count(), before) << "step " << step << ", threads " << threads;
      }
      for (SamplingParams& request : setting.requests) ++request.offset;
    }
  }
}

TEST(Allocation, IsOnceForTheSamplersOwnWorkspace) {
  Setting setting;
  Sampler sampler({.backend = tokendraw::Backend::kCpu, .threads = 1});
  const Batch batch = {.logits = setting.logits, .top_p = 0.9f, .tokens = setting.tokens};
  sampler.sample(batch);
  const int64_t before = allocation_count();
  sampler.sample(batch);
  EXPECT_EQ(allocation_count(), before);
}

// Runs `call` with 0, 1, 2, ... allocations allowed until it succeeds, and returns how often it failed.
template <class Call>
int count_failures(Call&& call) {
  for (int allowed = 0; allowed < 10000; ++allowed) {
    allow_allocations(allowed);
    const TokendrawStatus status = call();
    allow_allocations(INT64_MAX);
    if (status == TOKENDRAW_OK) return allowed;
    EXPECT_EQ(status, TOKENDRAW_ERROR_OUT_OF_MEMORY) << allowed;
  }
  ADD_FAILURE() << "never enough";
  return -1;
}

TEST(Allocation, FailsAsAStatus) {
  const Setting setting;
  EXPECT_GT(count_failures([&] { return Sampler::try_create({.threads = 1}).status(); }), 0);
  Sampler sampler({.backend = tokendraw::Backend::kCpu, .threads = 1});
  EXPECT_GT(count_failures([&] { return sampler.try_sample(setting.logits, setting.requests).status(); }), 5);
  EXPECT_GT(count_failures([&] { return sampler.try_sample_rows(setting.logits, setting.requests).status(); }), 5);
  EXPECT_GT(count_failures([&] { return tokendraw::try_list_cpu_targets().status(); }), 0);
  EXPECT_GT(count_failures([&] { return tokendraw::try_list_backends().status(); }), 0);
  EXPECT_GT(count_failures([&] {
              tokendraw::RequestColumns columns;
              const auto assigned = columns.try_assign(setting.requests);
              EXPECT_EQ(columns.rows(), assigned ? setting.requests.size() : 0u);
              return assigned.status();
            }),
            5);
}

TEST(Allocation, FailsAsAnErrorThrown) {
  const Setting setting;
  Sampler sampler({.backend = tokendraw::Backend::kCpu, .threads = 1});
  allow_allocations(0);
  TokendrawStatus status = TOKENDRAW_OK;
  // EXPECT_THROW would allocate.
  try {
    sampler.sample(setting.logits, setting.requests);
  } catch (const tokendraw::Error& error) {
    status = error.status();
  }
  allow_allocations(INT64_MAX);
  EXPECT_EQ(status, TOKENDRAW_ERROR_OUT_OF_MEMORY);
}

}  // namespace
