// SPDX-License-Identifier: Apache-2.0
// Case23 and other uses by several threads at once; made for ThreadSanitizer, and a check of the tokens without it.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

constexpr int kCallers = 4;

BatchSpec batch_for_thread(int thread, int32_t vocab = 2000, int rows = 6) {
  TestRandom random(23 + static_cast<uint64_t>(thread));
  BatchSpec spec;
  for (int r = 0; r < rows; ++r) {
    spec.logits.push_back(make_logits(cases::RowKind::kNormal1, vocab, TOKENDRAW_DTYPE_F32, random));
    spec.rows.push_back(make_row_parameters(vocab, random, false));
    if (r % 2 == 1) add_row_inputs(spec.rows.back(), vocab, {.mask = true, .history = true}, random);
  }
  return spec;
}

// Calls one sampler with a workspace of the caller's own and compares; GoogleTest's checks stay out of the threads.
bool sample_and_compare(TokendrawSampler* sampler, PackedBatch& packed, const std::vector<RowResult>& expected) {
  size_t bytes = 0;
  if (tokendraw_get_workspace_bytes(sampler, &packed.batch, &bytes) != TOKENDRAW_OK) return false;
  std::vector<unsigned char> workspace(bytes);
  packed.clear_outputs();
  if (tokendraw_sample(sampler, &packed.batch, workspace.data(), bytes, nullptr) != TOKENDRAW_OK) return false;
  return difference(expected, packed.results()).empty();
}

template <typename Body>
void in_threads(int count, const Body& body) {
  std::vector<std::thread> threads;
  for (int t = 0; t < count; ++t) threads.emplace_back([&body, t] { body(t); });
  for (std::thread& thread : threads) thread.join();
}

struct Expected {
  BatchSpec spec;
  std::vector<RowResult> results;
};

std::vector<Expected> expected_for_threads(TokendrawAlgorithm algorithm) {
  std::vector<Expected> all;
  for (int t = 0; t < kCallers; ++t) {
    const BatchSpec spec = batch_for_thread(t);
    all.push_back({spec, run({algorithm, "", 1}, spec)});
  }
  return all;
}

std::vector<TokendrawAlgorithm> algorithms() {
  return {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_REFERENCE, TOKENDRAW_ALGORITHM_REJECTION};
}

TEST(Case23_Threads, SamplersOfTheirOwn) {
  for (const auto algorithm : algorithms()) {
    const std::vector<Expected> expected = expected_for_threads(algorithm);
    std::atomic<int> wrong{0};
    in_threads(kCallers, [&](int t) {
      const SamplerPointer sampler = make_sampler({algorithm, "", t % 3 + 1});
      const Expected& mine = expected[static_cast<size_t>(t)];
      PackedBatch packed(mine.spec);
      for (int i = 0; i < 100; ++i) wrong += sample_and_compare(sampler.get(), packed, mine.results) ? 0 : 1;
    });
    EXPECT_EQ(wrong, 0) << tokendraw_algorithm_name(algorithm);
  }
}

TEST(Case23_Threads, OneSamplerWithWorkspacesOfTheirOwn) {
  for (const int32_t sampler_threads : {1, 3}) {
    for (const auto algorithm : algorithms()) {
      const std::vector<Expected> expected = expected_for_threads(algorithm);
      const SamplerPointer sampler = make_sampler({algorithm, "", sampler_threads});
      std::atomic<int> wrong{0};
      in_threads(kCallers, [&](int t) {
        const Expected& mine = expected[static_cast<size_t>(t)];
        PackedBatch packed(mine.spec);
        for (int i = 0; i < 100; ++i) wrong += sample_and_compare(sampler.get(), packed, mine.results) ? 0 : 1;
      });
      EXPECT_EQ(wrong, 0) << tokendraw_algorithm_name(algorithm) << ", " << sampler_threads;
    }
  }
}

// tokendraw_sample_host shares one workspace, which grows under some of the calls.
TEST(Case23_Threads, OneSamplerBySampleHost) {
  for (const int32_t sampler_threads : {1, 3}) {
    const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", sampler_threads});
    std::vector<Expected> expected;
    for (int t = 0; t < kCallers; ++t) {
      const BatchSpec spec = batch_for_thread(t, 100 << (2 * t));
      expected.push_back({spec, run({}, spec)});
    }
    std::atomic<int> wrong{0};
    in_threads(kCallers, [&](int t) {
      const Expected& mine = expected[static_cast<size_t>(t)];
      PackedBatch packed(mine.spec);
      for (int i = 0; i < 100; ++i) {
        packed.clear_outputs();
        const bool ok = tokendraw_sample_host(sampler.get(), &packed.batch) == TOKENDRAW_OK;
        wrong += ok && difference(mine.results, packed.results()).empty() ? 0 : 1;
      }
    });
    EXPECT_EQ(wrong, 0) << sampler_threads;
  }
}

// Both kinds of call, the description of the plan and the sampler's facts at the same time.
TEST(Threads, EveryFunctionOfOneSamplerAtOnce) {
  const Expected expected = {batch_for_thread(0), run({}, batch_for_thread(0))};
  const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", 2});
  std::atomic<int> wrong{0};
  in_threads(kCallers, [&](int t) {
    PackedBatch packed(expected.spec);
    for (int i = 0; i < 100; ++i) {
      if (t == 0) {
        wrong += sample_and_compare(sampler.get(), packed, expected.results) ? 0 : 1;
      } else if (t == 1) {
        packed.clear_outputs();
        wrong += tokendraw_sample_host(sampler.get(), &packed.batch) == TOKENDRAW_OK &&
                         difference(expected.results, packed.results()).empty()
                     ? 0
                     : 1;
      } else if (t == 2) {
        char text[512];
        wrong +=
            tokendraw_describe_plan(sampler.get(), &packed.batch, text, sizeof text, nullptr) == TOKENDRAW_OK ? 0 : 1;
      } else {
        TokendrawSamplerInfo info = {};
        info.struct_size = sizeof info;
        wrong += tokendraw_get_sampler_info(sampler.get(), &info) == TOKENDRAW_OK && info.threads == 2 ? 0 : 1;
        packed.batch.vocab = -1;
        wrong += tokendraw_sample_host(sampler.get(), &packed.batch) == TOKENDRAW_INVALID_VOCAB ? 0 : 1;
        wrong += std::string(tokendraw_last_error_message()).find("vocab") != std::string::npos ? 0 : 1;
      }
    }
  });
  EXPECT_EQ(wrong, 0);
}

// Many small calls, one after another: what a pool of threads that wakes and sleeps gets wrong.
TEST(Threads, ManySmallCallsBackToBack) {
  for (const int32_t threads : {2, 3, 8}) {
    const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", threads});
    for (const int rows : {1, 2, threads, 4 * threads + 1}) {
      const BatchSpec spec = batch_for_thread(rows, 20, rows);
      const std::vector<RowResult> expected = run({}, spec);
      PackedBatch packed(spec);
      size_t bytes = 0;
      ASSERT_EQ(tokendraw_get_workspace_bytes(sampler.get(), &packed.batch, &bytes), TOKENDRAW_OK);
      std::vector<unsigned char> workspace(bytes);
      for (int i = 0; i < 3000; ++i) {
        packed.clear_outputs();
        ASSERT_EQ(tokendraw_sample(sampler.get(), &packed.batch, workspace.data(), bytes, nullptr), TOKENDRAW_OK);
        if (i % 100 == 0) {
          ASSERT_EQ(difference(expected, packed.results()), "") << threads << " threads, call " << i;
        }
      }
      EXPECT_EQ(difference(expected, packed.results()), "");
    }
  }
}

TEST(Threads, SamplersComeAndGo) {
  const Expected expected = {batch_for_thread(1, 50, 5), run({}, batch_for_thread(1, 50, 5))};
  std::atomic<int> wrong{0};
  in_threads(kCallers, [&](int t) {
    PackedBatch packed(expected.spec);
    for (int i = 0; i < 100; ++i) {
      const SamplerPointer sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", (t + i) % 9 + 1});
      if (i % 3 == 0) continue;  // destroyed without a call
      for (int calls = 0; calls < i % 4; ++calls) {
        wrong += sample_and_compare(sampler.get(), packed, expected.results) ? 0 : 1;
      }
    }
  });
  EXPECT_EQ(wrong, 0);
}

// A sampler may be made in one thread, used in a second and destroyed in a third.
TEST(Threads, ASamplerMovesBetweenThreads) {
  const Expected expected = {batch_for_thread(2), run({}, batch_for_thread(2))};
  SamplerPointer sampler;
  std::thread([&] { sampler = make_sampler({TOKENDRAW_ALGORITHM_AUTO, "", 3}); }).join();
  bool right = false;
  std::thread([&] {
    PackedBatch packed(expected.spec);
    right = sample_and_compare(sampler.get(), packed, expected.results);
  }).join();
  EXPECT_TRUE(right);
  std::thread([&] { sampler.reset(); }).join();
}

}  // namespace
}  // namespace tokendraw::test
