// SPDX-License-Identifier: Apache-2.0
// The building blocks of tokendraw.hpp: fields arrive, lengths are checked, results are those of the C functions.
#include <gtest/gtest.h>

#include <cmath>
#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

using tokendraw::Sampler;
using tokendraw::Softmax;

Sampler cpu() { return Sampler({.backend = tokendraw::Backend::kCpu, .threads = 1}); }

TEST(Blocks, SoftmaxComputes) {
  Sampler sampler = cpu();
  const std::vector<float> logits = {0.0f, std::log(3.0f), -INFINITY, std::log(4.0f)};
  std::vector<float> out(4);
  std::vector<uint32_t> status(2, 77);
  tokendraw::compute(sampler, Softmax{.logits = {logits, 2}, .output = out, .row_status = status});
  EXPECT_NEAR(out[0], 0.25f, 1e-6f);
  EXPECT_NEAR(out[1], 0.75f, 1e-6f);
  EXPECT_EQ(out[2], 0.0f);
  EXPECT_EQ(out[3], 1.0f);
  EXPECT_EQ(status, std::vector<uint32_t>(2, 0));
  const std::vector<float> temperatures = {1.0f, 0.0f};
  tokendraw::compute_on(sampler,
                        Softmax{.logits = {logits, 2}, .temperature = temperatures, .log = true, .output = out});
  EXPECT_NEAR(out[1], std::log(0.75f), 1e-6f);
  EXPECT_EQ(out[3], 0.0f);
}

TEST(Blocks, SoftmaxInPlaceAndOfOneRow) {
  Sampler sampler = cpu();
  std::vector<float> values = {1.0f, 1.0f, 1.0f, 1.0f};
  tokendraw::compute(sampler, Softmax{.logits = values, .output = values});
  EXPECT_EQ(values, std::vector<float>(4, 0.25f));
  std::vector<tokendraw::Bf16> narrow(4);
  tokendraw::compute(sampler, Softmax{.logits = values, .output = narrow});
  EXPECT_EQ(narrow[3].bits, 0x3e80);
}

TEST(Blocks, SoftmaxRefusesLengths) {
  Sampler sampler = cpu();
  std::vector<float> logits(10), out(10), two(2), three(3);
  std::vector<uint32_t> status(3);
  const auto refused = [&](const Softmax& block, tokendraw::Status status_of) {
    EXPECT_EQ(tokendraw::try_compute(sampler, block).status(), status_of);
    EXPECT_EQ(tokendraw::try_compute_on(sampler, block).status(), status_of);
    EXPECT_THROW(tokendraw::compute(sampler, block), tokendraw::Error);
    EXPECT_THROW(tokendraw::compute_on(sampler, block), tokendraw::Error);
  };
  tokendraw::Logits rows(logits, 5);
  refused({.logits = rows, .output = three}, TOKENDRAW_INVALID_OUTPUT);
  refused({.logits = rows, .temperature = three, .output = out}, TOKENDRAW_INVALID_TEMPERATURE);
  refused({.logits = rows, .output = out, .row_status = status}, TOKENDRAW_INVALID_OUTPUTS);
  refused({.logits = rows, .output = {out, 6}}, TOKENDRAW_INVALID_OUTPUT);
  refused({.logits = rows, .temperature = -1.0f, .output = out}, TOKENDRAW_INVALID_TEMPERATURE);
  rows.rows = 3;
  refused({.logits = rows, .output = out}, TOKENDRAW_INVALID_INPUT);
  rows.vocab = 0;
  refused({.logits = rows, .output = out}, TOKENDRAW_INVALID_INPUT);
  EXPECT_TRUE(tokendraw::try_compute(sampler, Softmax{.logits = {logits, 5}, .temperature = two, .output = out}).ok());
}

TEST(Blocks, Filters) {
  Sampler sampler = cpu();
  const std::vector<float> logits = {1.0f, 3.0f, 2.0f, 3.0f, 0.0f, 0.0f, 0.0f, 9.0f};
  std::vector<float> out(8);
  std::vector<int32_t> tokens(2);
  std::vector<int64_t> kept(2);
  std::vector<int32_t> top_k = {2, 1};
  tokendraw::compute(
      sampler, tokendraw::Filter{
                   .input = {logits, 4}, .top_k = top_k, .output = out, .tokens = tokens, .seed = 5, .kept = kept});
  EXPECT_EQ(out, (std::vector<float>{0.0f, 0.5f, 0.0f, 0.5f, 0.0f, 0.0f, 0.0f, 1.0f}));
  EXPECT_EQ(kept, (std::vector<int64_t>{2, 1}));
  EXPECT_EQ(tokens[1], 3);
  std::vector<float> p = {0.25f, 0.5f, 0.25f};
  tokendraw::compute_on(
      sampler, tokendraw::Filter{
                   .input = p, .form = tokendraw::Form::kProbabilities, .min_p = 1.0f, .masking = true, .output = p});
  EXPECT_EQ(p, (std::vector<float>{0.0f, 0.5f, 0.0f}));
  std::vector<tokendraw::F16> half(8);
  std::vector<int32_t> three(3);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::Filter{.input = {logits, 4}, .output = half}).status(),
            TOKENDRAW_INVALID_OUTPUT_DTYPE);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::Filter{.input = {logits, 4}, .output = p}).status(),
            TOKENDRAW_INVALID_OUTPUT);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::Filter{.input = {logits, 4}, .tokens = three}).status(),
            TOKENDRAW_INVALID_TOKENS);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::Filter{.input = {logits, 4}, .top_k = three}).status(),
            TOKENDRAW_INVALID_TOP_K);
}

TEST(Blocks, RandomNumbers) {
  Sampler sampler = cpu();
  std::vector<uint32_t> words(4);
  tokendraw::compute(sampler, tokendraw::Random<uint32_t>{.output = words});
  EXPECT_EQ(words, (std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  std::vector<uint64_t> wide(1);
  tokendraw::compute_on(sampler, tokendraw::Random<uint64_t>{.output = wide, .offset = 2});
  EXPECT_EQ(wide[0], 0x9b00dbd8bc57ac4cu);
  std::vector<float> floats(3);
  tokendraw::compute(sampler, tokendraw::Random<float>{.output = floats});
  EXPECT_EQ(floats[0], static_cast<float>(0x6627e8) / 0x1p24f);
  tokendraw::compute(sampler,
                     tokendraw::Random<float>{
                         .output = floats, .generator = tokendraw::Generator::kXorwow, .seed = 42, .positive = true});
  EXPECT_EQ(floats[0], static_cast<float>(0x11ece47fu) / 0x1p32f + 0x1p-33f);
  EXPECT_TRUE(tokendraw::try_compute(sampler, tokendraw::Random<float>{}).ok());
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::Random<float>{.output = floats, .subsequence = -3}).status(),
            TOKENDRAW_INVALID_SUBSEQUENCE);
}

TEST(Blocks, PrefixSums) {
  Sampler sampler = cpu();
  const std::vector<float> p = {0.5f, 0.25f, 0.25f, 1.0f};
  std::vector<float> out(4);
  tokendraw::compute(sampler, tokendraw::PrefixSum{.input = {p, 2}, .output = out});
  EXPECT_EQ(out, (std::vector<float>{0.5f, 0.75f, 0.25f, 1.25f}));
  tokendraw::compute_on(sampler, tokendraw::PrefixSum{.input = p, .exclusive = true, .output = out});
  EXPECT_EQ(out, (std::vector<float>{0.0f, 0.5f, 0.75f, 1.0f}));
  std::vector<uint64_t> integers = {1, 2, ~uint64_t{0}, 5};
  tokendraw::compute(sampler, tokendraw::PrefixSumU64{.input = integers, .output = integers});
  EXPECT_EQ(integers, (std::vector<uint64_t>{1, 3, 2, 7}));

  std::vector<tokendraw::F16> half(4);
  std::vector<uint64_t> three(3);
  std::vector<uint32_t> status(3);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::PrefixSum{.input = p, .output = half}).status(),
            TOKENDRAW_INVALID_NUMBER);
  EXPECT_EQ(
      tokendraw::try_compute(sampler, tokendraw::PrefixSum{.input = p, .output = out, .row_status = status}).status(),
      TOKENDRAW_INVALID_OUTPUTS);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::PrefixSumU64{.input = integers, .output = three}).status(),
            TOKENDRAW_INVALID_OUTPUT);
  EXPECT_EQ(tokendraw::try_compute(sampler, tokendraw::PrefixSumU64{.input = integers, .vocab = 3, .output = integers})
                .status(),
            TOKENDRAW_INVALID_INPUT);
}

}  // namespace
