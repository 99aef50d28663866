// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>
#include <string>
#include <tokendraw/tokendraw.hpp>
#include <type_traits>
#include <vector>

namespace {

using tokendraw::Algorithm;
using tokendraw::Batch;
using tokendraw::Sampler;
using tokendraw::SamplingParams;

constexpr int32_t kVocab = 500;
constexpr int kRows = 12;

// Multiples of 1/8 between -8 and 8, which every dtype holds exactly.
std::vector<float> make_logits(int rows = kRows) {
  std::vector<float> logits(static_cast<size_t>(rows) * kVocab);
  uint32_t state = 12345;
  for (float& logit : logits) {
    state = state * 1664525u + 1013904223u;
    logit = static_cast<float>(static_cast<int32_t>(state >> 25) - 64) / 8.0f;
  }
  return logits;
}

std::vector<SamplingParams> make_requests() {
  std::vector<SamplingParams> requests(kRows);
  for (int i = 0; i < kRows; ++i) {
    requests[i].temperature = 0.5f * static_cast<float>(i % 4);
    requests[i].top_k = i % 3 == 0 ? 0 : 5 * i;
    requests[i].top_p = i % 2 == 0 ? 0.9f : 1.0f;
    requests[i].min_p = i % 5 == 0 ? 0.01f : 0.0f;
    requests[i].seed = 100 + static_cast<uint64_t>(i);
    requests[i].offset = 7 * static_cast<uint64_t>(i);
    requests[i].stream = static_cast<uint32_t>(i % 2);
  }
  return requests;
}

// The same by the C API, without any of this header.
std::vector<int32_t> sample_by_c(const Sampler& sampler, const std::vector<float>& logits,
                                 const std::vector<SamplingParams>& requests) {
  std::vector<float> temperature, top_p, min_p;
  std::vector<int32_t> top_k, tokens(requests.size(), -99);
  std::vector<uint64_t> seed, offset;
  std::vector<uint32_t> stream;
  for (const SamplingParams& request : requests) {
    temperature.push_back(request.temperature);
    top_k.push_back(request.top_k);
    top_p.push_back(request.top_p);
    min_p.push_back(request.min_p);
    seed.push_back(request.seed);
    stream.push_back(request.stream);
    offset.push_back(request.offset);
  }
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = logits.data();
  batch.vocab = kVocab;
  batch.rows = static_cast<int64_t>(requests.size());
  batch.temperature_per_row = temperature.data();
  batch.top_k_per_row = top_k.data();
  batch.top_p_per_row = top_p.data();
  batch.min_p_per_row = min_p.data();
  batch.seed_per_row = seed.data();
  batch.stream_per_row = stream.data();
  batch.offset_per_row = offset.data();
  batch.tokens = tokens.data();
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), &batch), TOKENDRAW_OK) << tokendraw_last_error_message();
  return tokens;
}

TEST(Sampler, IsMovedNotCopied) {
  static_assert(!std::is_copy_constructible_v<Sampler>);
  static_assert(!std::is_copy_assignable_v<Sampler>);
  static_assert(std::is_nothrow_move_constructible_v<Sampler>);
  static_assert(std::is_nothrow_move_assignable_v<Sampler>);

  Sampler first({.threads = 1});
  TokendrawSampler* const raw = first.get();
  ASSERT_NE(raw, nullptr);
  Sampler second(std::move(first));
  EXPECT_EQ(second.get(), raw);
  EXPECT_EQ(first.get(), nullptr);  // NOLINT(bugprone-use-after-move): what is left is documented
  EXPECT_EQ(first.try_info().status(), TOKENDRAW_INVALID_SAMPLER);
  first = Sampler({.threads = 2});
  EXPECT_EQ(first.info().threads, 2);
  first = std::move(second);
  EXPECT_EQ(first.get(), raw);
  EXPECT_EQ(first.info().threads, 1);
  EXPECT_EQ(second.get(), nullptr);  // NOLINT(bugprone-use-after-move)
  Sampler& same = first;
  first = std::move(same);
  EXPECT_EQ(first.get(), raw);
}

TEST(Sampler, AdoptsASamplerOfTheCApi) {
  TokendrawSampler* raw = nullptr;
  ASSERT_EQ(tokendraw_create_sampler(nullptr, &raw), TOKENDRAW_OK);
  const Sampler sampler = Sampler::adopt(raw);
  EXPECT_EQ(sampler.get(), raw);
  EXPECT_NE(sampler.info().backend, tokendraw::Backend::kAuto);
  EXPECT_EQ(Sampler::adopt(nullptr).try_info().status(), TOKENDRAW_INVALID_SAMPLER);
}

TEST(Sampler, PassesItsOptionsOn) {
  const auto status = [](const tokendraw::SamplerOptions& options) { return Sampler::try_create(options).status(); };
  EXPECT_EQ(status({}), TOKENDRAW_OK);
  EXPECT_EQ(status({.backend = tokendraw::Backend(9)}), TOKENDRAW_INVALID_BACKEND);
  EXPECT_EQ(status({.device = 5}), TOKENDRAW_INVALID_DEVICE);
  EXPECT_EQ(status({.algorithm = Algorithm(99)}), TOKENDRAW_INVALID_ALGORITHM);
  EXPECT_EQ(status({.threads = 257}), TOKENDRAW_INVALID_THREADS);
  EXPECT_EQ(status({.on_gpu_failure = tokendraw::OnGpuFailure(3)}), TOKENDRAW_INVALID_ON_GPU_FAILURE);
  EXPECT_EQ(status({.cpu_target = "Z80"}), TOKENDRAW_INVALID_CPU_TARGET);
  EXPECT_EQ(status({.gpu_way = tokendraw::GpuWay(7)}), TOKENDRAW_INVALID_GPU_WAY);
  EXPECT_THROW(Sampler({.threads = -1}), tokendraw::Error);

  const Sampler sampler(
      {.backend = tokendraw::Backend::kCpu, .device = 0, .algorithm = Algorithm::kReference, .threads = 3});
  const tokendraw::SamplerInfo info = sampler.info();
  EXPECT_EQ(info.backend, tokendraw::Backend::kCpu);
  EXPECT_EQ(info.device, 0);
  EXPECT_EQ(info.algorithm, Algorithm::kReference);
  EXPECT_EQ(info.threads, 3);
  EXPECT_STRNE(info.target, "");
}

TEST(Sampler, SaysWhenTheCpuStandsIn) {
  const std::vector<tokendraw::BackendInfo> backends = tokendraw::list_backends();
  int missing = 0;
  for (const tokendraw::BackendInfo& backend : backends) {
    if (backend.available) continue;
    ++missing;
    const auto stand_in = Sampler::try_create({.backend = backend.backend});
    ASSERT_TRUE(stand_in);
    EXPECT_EQ(stand_in.status(), TOKENDRAW_OK_CPU_FALLBACK);
    EXPECT_STRNE(stand_in.error().what(), "");
    EXPECT_EQ(stand_in->try_info()->backend, tokendraw::Backend::kCpu);
    const auto none =
        Sampler::try_create({.backend = backend.backend, .on_gpu_failure = tokendraw::OnGpuFailure::kReturnError});
    EXPECT_EQ(none.status(), TOKENDRAW_ERROR_BACKEND_UNAVAILABLE);
  }
  if (missing == 0) GTEST_SKIP() << "every backend is available here";
}

TEST(Sampler, GivesTheTokensOfTheCApi) {
  const std::vector<float> logits = make_logits();
  const std::vector<SamplingParams> requests = make_requests();
  Sampler sampler;
  const std::vector<int32_t> tokens = sampler.sample(logits, requests);
  EXPECT_EQ(tokens, sample_by_c(sampler, logits, requests));
  for (const int32_t token : tokens) EXPECT_TRUE(token >= 0 && token < kVocab) << token;
}

TEST(Sampler, GivesTheSameTokensFromEveryDtype) {
  const std::vector<float> logits = make_logits();
  const std::vector<SamplingParams> requests = make_requests();
  std::vector<tokendraw::Bf16> bf16;
  std::vector<tokendraw::F16> f16;
  for (const float logit : logits) {
    const auto bits = std::bit_cast<uint32_t>(logit);
    bf16.push_back({static_cast<uint16_t>(bits >> 16)});
    // Multiples of 1/8 below 16 are normal and exact in fp16.
    const uint32_t half =
        logit == 0 ? 0 : (bits >> 31 << 15) | (((bits >> 23 & 0xff) - 112) << 10) | (bits >> 13 & 0x3ff);
    f16.push_back({static_cast<uint16_t>(half)});
  }
  Sampler sampler;
  const std::vector<int32_t> tokens = sampler.sample(logits, requests);
  EXPECT_EQ(sampler.sample(bf16, requests), tokens);
  EXPECT_EQ(sampler.sample(f16, requests), tokens);
}

TEST(Sampler, TellsAllOfEveryRow) {
  std::vector<float> logits = make_logits();
  std::vector<SamplingParams> requests = make_requests();
  requests[2].temperature = -1.0f;
  requests[3].temperature = 0.0f;
  for (int32_t id = 0; id < kVocab; ++id) logits[4 * kVocab + id] = std::numeric_limits<float>::quiet_NaN();
  Sampler sampler;
  const std::vector<tokendraw::SampledRow> rows = sampler.sample_rows(logits, requests);
  const std::vector<int32_t> tokens = sampler.sample(logits, requests);
  ASSERT_EQ(rows.size(), requests.size());
  for (int i = 0; i < kRows; ++i) {
    EXPECT_EQ(rows[i].token, tokens[i]);
    if (i == 2 || i == 4) continue;
    EXPECT_EQ(rows[i].status, 0u);
    EXPECT_GE(rows[i].kept, 1);
    EXPECT_GE(rows[i].kept_mass, uint64_t{1} << 42);
    EXPECT_LE(rows[i].logprob, 0.0f);
  }
  EXPECT_EQ(rows[2].token, -1);
  EXPECT_EQ(rows[2].status, TOKENDRAW_ROW_BAD_PARAMETER);
  EXPECT_EQ(rows[2].kept, 0);
  EXPECT_TRUE(std::isnan(rows[2].logprob));
  EXPECT_EQ(rows[3].kept, 1);
  EXPECT_EQ(rows[4].token, -1);
  EXPECT_EQ(tokendraw::row_status_names(rows[4].status), "NAN_LOGIT|NO_CANDIDATE");
}

TEST(Sampler, TakesMaskBiasAndHistoryOfARequest) {
  const std::vector<float> logits(4 * 40);  // all equal: greedy gives id 0
  std::vector<uint32_t> mask = {~1u, ~0u};
  const std::vector<int32_t> five = {5}, first = {0};
  const std::vector<float> more = {1.0f};
  const std::vector<SamplingParams> requests = {
      {.temperature = 0},
      {.temperature = 0, .mask = mask},
      {.temperature = 0, .bias_ids = five, .bias_values = more},
      {.temperature = 0, .presence_penalty = 1.0f, .history_ids = first},
  };
  EXPECT_EQ(Sampler().sample(logits, requests), (std::vector<int32_t>{0, 1, 5, 1}));
}

TEST(Sampler, GivesARowTheSameTokenWhateverItsNeighboursHave) {
  const std::vector<float> logits = make_logits(2);
  const std::vector<float> first(logits.begin(), logits.begin() + kVocab);
  const std::vector<uint32_t> mask((kVocab + 31) / 32, 0x55555555u);
  const std::vector<int32_t> ids = {1, 2};
  const std::vector<float> bias = {1.0f, -1.0f};
  const SamplingParams request = {.top_p = 0.9f, .seed = 5, .repetition_penalty = -3.0f};
  Sampler sampler;
  const int32_t token = sampler.sample(first, std::vector{request})[0];
  EXPECT_GE(token, 0);
  const std::vector<SamplingParams> neighbours = {{.mask = mask},
                                                  {.bias_ids = ids, .bias_values = bias},
                                                  {.repetition_penalty = 2.0f, .history_ids = ids},
                                                  {.temperature = NAN}};
  for (const SamplingParams& neighbour : neighbours) {
    EXPECT_EQ(sampler.sample(logits, std::vector{request, neighbour})[0], token);
  }
}

TEST(Sampler, PassesTheBaseOfTopPOn) {
  // Shares of 1/2, 1/4, 1/8, 1/8 at T = 1/ln 2, where c = 1.
  const std::vector<float> logits = {3, 2, 1, 1};
  const std::vector<SamplingParams> requests = {
      {.temperature = 1.44269502162933349609375f, .top_k = 2, .top_p = 0.625f}};
  Sampler sampler;
  EXPECT_EQ(sampler.sample_rows(logits, requests)[0].kept, 1);  // 1/2 of 3/4 is 2/3
  EXPECT_EQ(sampler.sample_rows(logits, requests, tokendraw::TopPBase::kAll)[0].kept, 2);
  std::vector<int32_t> different;
  for (uint64_t offset = 0; offset < 20; ++offset) {
    std::vector<SamplingParams> at = requests;
    at[0].offset = offset;
    EXPECT_EQ(sampler.sample(logits, at)[0], 0);
    different.push_back(sampler.sample(logits, at, tokendraw::TopPBase::kAll)[0]);
  }
  EXPECT_NE(different, std::vector<int32_t>(20, 0));
}

TEST(Sampler, DrawsSeveralTokensFromOneRow) {
  const std::vector<float> logits = make_logits(2);
  std::vector<int32_t> row_index(32), tokens(32), alone(1);
  for (int i = 0; i < 32; ++i) row_index[i] = i % 2;
  Sampler sampler;
  sampler.sample({.logits = {logits, kVocab}, .row_index = row_index, .seed = 9, .tokens = tokens});
  for (int i = 0; i < 32; ++i) {
    const std::span<const float> row = std::span(logits).subspan(static_cast<size_t>(i % 2) * kVocab, kVocab);
    sampler.sample({.logits = row, .seed = 9, .stream = static_cast<uint32_t>(i), .tokens = alone});
    EXPECT_EQ(tokens[i], alone[0]) << i;
  }
}

TEST(Sampler, SamplesWithTheCallersWorkspace) {
  const std::vector<float> logits = make_logits();
  std::vector<int32_t> tokens(kRows), expected(kRows);
  const Batch batch = {.logits = logits, .top_k = 40, .top_p = 0.9f, .seed = 3, .tokens = tokens};
  Sampler sampler({.backend = tokendraw::Backend::kCpu});
  Batch reference = batch;
  reference.tokens = expected;
  sampler.sample(reference);
  std::vector<std::byte> workspace(sampler.workspace_bytes(batch));
  sampler.sample(batch, workspace);
  EXPECT_EQ(tokens, expected);
  if (workspace.empty()) return;
  const auto status = sampler.try_sample(batch, std::span(workspace).first(workspace.size() - 1)).status();
  EXPECT_EQ(status, TOKENDRAW_INVALID_WORKSPACE_BYTES);
  EXPECT_THROW(sampler.sample(batch, {}), tokendraw::Error);
}

TEST(Sampler, DescribesItsPlan) {
  const std::vector<float> logits = make_logits();
  std::vector<int32_t> tokens(kRows);
  const Batch batch = {.logits = logits, .tokens = tokens};
  const Sampler sampler({.algorithm = Algorithm::kReference});
  const std::string text = sampler.describe_plan(batch);
  EXPECT_NE(text.find("reference"), std::string::npos) << text;
  EXPECT_EQ(text.find('\0'), std::string::npos);
}

TEST(Sampler, AgreesUnderEveryAlgorithm) {
  const std::vector<float> logits = make_logits();
  const std::vector<SamplingParams> requests = make_requests();
  Sampler reference({.algorithm = Algorithm::kReference});
  const std::vector<int32_t> tokens = reference.sample(logits, requests);
  for (const Algorithm algorithm : {Algorithm::kAuto, Algorithm::kCandidates, Algorithm::kRefine}) {
    Sampler sampler({.algorithm = algorithm});
    EXPECT_EQ(sampler.sample(logits, requests), tokens) << tokendraw::name(algorithm);
  }
  Sampler rejection({.algorithm = Algorithm::kRejection});
  EXPECT_NE(rejection.sample(logits, requests), tokens);
}

TEST(Sampler, DoesNothingForNoRows) {
  Sampler sampler;
  EXPECT_TRUE(sampler.sample(std::vector<float>(), std::vector<SamplingParams>()).empty());
  EXPECT_TRUE(sampler.sample_rows(std::vector<float>(), std::vector<SamplingParams>()).empty());
}

TEST(Sampler, RefusesWhatDoesNotFit) {
  Sampler sampler;
  std::vector<float> logits = make_logits();
  std::vector<SamplingParams> requests = make_requests();
  logits.pop_back();
  EXPECT_EQ(sampler.try_sample(logits, requests).status(), TOKENDRAW_INVALID_LOGITS);
  EXPECT_EQ(sampler.try_sample_rows(logits, requests).status(), TOKENDRAW_INVALID_LOGITS);
  EXPECT_THROW(sampler.sample(logits, requests), tokendraw::Error);
  EXPECT_THROW(sampler.sample_rows(logits, requests), tokendraw::Error);
  std::vector<int32_t> tokens(1);
  const Batch batch = {.logits = std::span(logits).first(0), .tokens = tokens};
  EXPECT_EQ(sampler.try_sample(batch).status(), TOKENDRAW_INVALID_VOCAB);
  EXPECT_EQ(sampler.try_sample(Batch{.logits = {logits, 10}, .temperature = NAN, .tokens = tokens}).status(),
            TOKENDRAW_INVALID_TEMPERATURE);
}

TEST(Sampler, PassesFailuresOn) {
  Sampler sampler;
  const std::vector<float> logits(8);
  std::vector<int32_t> tokens(2);
  const Batch batch = {.logits = logits, .top_p = NAN, .tokens = tokens};
  EXPECT_EQ(sampler.try_sample(batch).status(), TOKENDRAW_INVALID_TOP_P);
  EXPECT_EQ(sampler.try_sample(batch, {}).status(), TOKENDRAW_INVALID_TOP_P);
  EXPECT_EQ(sampler.try_workspace_bytes(batch).status(), TOKENDRAW_INVALID_TOP_P);
  EXPECT_EQ(sampler.try_describe_plan(batch).status(), TOKENDRAW_INVALID_TOP_P);
  try {
    sampler.sample(batch);
    FAIL() << "nothing was thrown";
  } catch (const tokendraw::Error& error) {
    EXPECT_EQ(error.status(), TOKENDRAW_INVALID_TOP_P);
    EXPECT_NE(std::string(error.what()).find("top_p"), std::string::npos);
  }
  Sampler empty = Sampler::adopt(nullptr);
  Batch good = batch;
  good.top_p = 1.0f;
  EXPECT_EQ(empty.try_sample(good).status(), TOKENDRAW_INVALID_SAMPLER);
}

TEST(Sampler, PlansForADeviceThatNeedNotBeThere) {
  const std::vector<float> logits = make_logits();
  std::vector<int32_t> tokens(kRows);
  const Batch batch = {.logits = logits, .top_k = 40, .tokens = tokens};
  tokendraw::DeviceInfo device;
  device.backend = tokendraw::Backend::kCuda;
  device.target = "sm_90";
  device.compute_units = 132;
  EXPECT_EQ(tokendraw::try_describe_device_plan(device, Algorithm::kAuto, batch).status(), TOKENDRAW_INVALID_DEVICE);
  device.simd_width_f32 = 32;
  const std::string text = tokendraw::describe_device_plan(device, Algorithm::kRefine, batch);
  EXPECT_EQ(text.rfind("backend: cuda\ntarget: sm_90\nalgorithm: refine\n", 0), 0u) << text;
  EXPECT_EQ(text.find('\0'), std::string::npos);
  EXPECT_THROW(tokendraw::describe_device_plan(device, Algorithm::kReference, batch), tokendraw::Error);
  const Batch wrong = {.logits = logits, .row_index = std::span(tokens).first(1), .tokens = tokens};
  EXPECT_EQ(tokendraw::try_describe_device_plan(device, Algorithm::kAuto, wrong).status(), TOKENDRAW_INVALID_ROW_INDEX);
}

}  // namespace
