// SPDX-License-Identifier: Apache-2.0
// Random numbers: known words of cuRAND's generators, elements made of them, and the sampler's own numbers.
#include <gtest/gtest.h>
#include <random_case.h>

#include <cmath>
#include <cstring>

#include "support/samplers.h"

namespace tokendraw::test {
namespace {

TokendrawSampler* cpu(int32_t threads = 1) { return sampler_for({TOKENDRAW_ALGORITHM_AUTO, "", threads}); }

std::vector<uint32_t> words_of(TokendrawGenerator generator, uint64_t seed, uint64_t subsequence, uint64_t offset,
                               int64_t count) {
  std::vector<uint32_t> words(static_cast<size_t>(count));
  TokendrawRandom random;
  tokendraw_init_random(&random);
  random.generator = generator;
  random.rows = 1;
  random.count = count;
  random.seed = seed;
  if (generator == TOKENDRAW_GENERATOR_PHILOX) random.subsequence = static_cast<int64_t>(subsequence);
  random.offset = offset;
  random.output = words.data();
  EXPECT_EQ(tokendraw_fill_random(cpu(), &random, nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
  return words;
}

// What curand() of CUDA 13.0's curand_kernel.h returns after curand_init, compiled for the host.
struct KnownPhilox {
  uint64_t seed, subsequence, offset;
  std::vector<uint32_t> words;
};
const KnownPhilox kPhilox[] = {
    {0x0u, 0x0u, 0x0u, {0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u, 0xf8e4cca4u, 0x5cb200dbu}},
    {0x0u, 0x0u, 0xfffffffffffffffeu, {0xd66e6d52u, 0x31eb18f7u, 0xd0a3f906u, 0x3d9f282eu, 0xdb8a7e4fu, 0x29454a28u}},
    {0x0u, 0x7u, 0xfffffffffffffffeu, {0x726efc1cu, 0x7b7bf46au, 0xa13d9ec4u, 0x2f1d0b85u, 0x61cfd05au, 0x4f4369f8u}},
    {0x0u,
     0x100000002u,
     0xfffffffffffffffeu,
     {0x915c4855u, 0x4a1061f7u, 0xb42ce414u, 0x509ea64du, 0x1e4e390du, 0x9ceacba7u}},
    {0x1u, 0x0u, 0x3u, {0xb615aa27u, 0xac08141bu, 0xdfc5ccbeu, 0x79c07a47u, 0xa7f66093u, 0x3f55b3f0u}},
    {0x1u, 0x0u, 0xfffffffffffffffeu, {0xdde09b6eu, 0x09449a36u, 0x008a455du, 0x77bb98f1u, 0x6fc1d98bu, 0x9aaaee9du}},
    {0x1u, 0x7u, 0xfffffffffffffffeu, {0x2d37be47u, 0x3efba789u, 0xce3151ebu, 0x28734dd3u, 0xef9a3f90u, 0xca804011u}},
    {0x1u, 0x100000002u, 0x0u, {0x6f33d4f5u, 0x87448526u, 0x1438a43eu, 0xb7970986u, 0xe2fc8385u, 0xdcef9e27u}},
    {0x1u,
     0x100000002u,
     0xfffffffffffffffeu,
     {0x0f8047aau, 0xf463c87cu, 0x5717121du, 0x58ffa9d0u, 0x96aec354u, 0x62aa8d02u}},
    {0x2au, 0x0u, 0xfffffffffffffffeu, {0x566c699fu, 0xaa18bda3u, 0x4030725fu, 0x37acff1cu, 0x2b02a55bu, 0xfc483df9u}},
    {0x2au, 0x7u, 0xfffffffffffffffeu, {0x7863ccfbu, 0x4d89acb5u, 0xd01d77f2u, 0x09a6538bu, 0x373cb02au, 0x6e206a33u}},
    {0x2au, 0x100000002u, 0x3u, {0x105f2a89u, 0x812b92bau, 0xa2216017u, 0x9667d4edu, 0xce5c3dc9u, 0xae33aa13u}},
    {0x2au,
     0x100000002u,
     0xfffffffffffffffeu,
     {0x2e3e9d15u, 0x694ab330u, 0xd7e97f7au, 0x0824cc9fu, 0xe7d37d2eu, 0x3277ded9u}},
    {0x123456789abcdefu,
     0x0u,
     0xfffffffffffffffeu,
     {0xd39830cbu, 0xef9ceea3u, 0x0e573213u, 0x6df118c1u, 0x0e428f4du, 0x5636001cu}},
    {0x123456789abcdefu, 0x7u, 0x0u, {0x34b23a77u, 0x8ec43d26u, 0xfdbf9305u, 0xa6c02cf2u, 0xf9a36445u, 0x1ee17293u}},
    {0x123456789abcdefu,
     0x7u,
     0xfffffffffffffffeu,
     {0x7253a4adu, 0xa78f3ebdu, 0x52b488feu, 0xe14ea7d5u, 0x10159321u, 0xe86780e1u}},
    {0x123456789abcdefu,
     0x100000002u,
     0xfffffffffffffffeu,
     {0xffb81048u, 0x6a9c4ec0u, 0x51f34171u, 0x03936203u, 0x97d083a1u, 0xefb2d1c3u}},
};
struct KnownXorwow {
  uint64_t seed, offset;
  std::vector<uint32_t> words;
};
const KnownXorwow kXorwow[] = {
    {0x0u, 0u, {0xbd7f03b6u, 0x703e556du, 0x845af0c5u, 0x283067fdu}},
    {0x0u, 5u, {0x7666f33fu, 0x3a46d453u, 0x5450d66du, 0x24e176c5u}},
    {0x0u, 1000u, {0x2d0bfc1au, 0xf5d23785u, 0xf170cdeeu, 0xcd1a5d5fu}},
    {0x0u, 1000003u, {0x7c5e94acu, 0x9a29fcadu, 0x1a5283a7u, 0xdb139260u}},
    {0x1u, 0u, {0xacbf08dcu, 0xb9784ebfu, 0x81e9e679u, 0x16a03643u}},
    {0x1u, 5u, {0x1f4c1cc8u, 0x30058f25u, 0xd89f52aau, 0x601778bbu}},
    {0x1u, 1000u, {0x19349004u, 0xfd7bd633u, 0xb5b5cf12u, 0x3440a1e3u}},
    {0x1u, 1000003u, {0xd75225c5u, 0xf813987cu, 0xec9de226u, 0x18670aeeu}},
    {0x2au, 0u, {0x11ece47fu, 0x8cdacf50u, 0x2faeaeb6u, 0x8a2920e0u}},
    {0x2au, 5u, {0xd7e062ffu, 0xb4ad5c88u, 0xe7d88bf9u, 0xc76a661eu}},
    {0x2au, 1000u, {0xe40ac16fu, 0xd23f47d5u, 0xec7cbe6cu, 0x92162846u}},
    {0x2au, 1000003u, {0x3904c080u, 0x2dd9eeecu, 0x2cf6286eu, 0x947a07b6u}},
    {0x123456789abcdefu, 0u, {0x1a444210u, 0x3fcca938u, 0xac7c5504u, 0xea64f653u}},
    {0x123456789abcdefu, 5u, {0xab8a78b0u, 0x939ddae0u, 0x52b89aa9u, 0x1cc34a72u}},
    {0x123456789abcdefu, 1000u, {0x6822198du, 0xb11a54e7u, 0x624ea08au, 0x4a40e474u}},
    {0x123456789abcdefu, 1000003u, {0x99159f24u, 0x9dcb7b4du, 0x0a05d822u, 0xf628906cu}},
};

TEST(Random, KnownWordsOfPhilox) {
  for (const KnownPhilox& known : kPhilox) {
    EXPECT_EQ(words_of(TOKENDRAW_GENERATOR_PHILOX, known.seed, known.subsequence, known.offset, 6), known.words)
        << known.seed << " " << known.subsequence << " " << known.offset;
  }
}

TEST(Random, KnownWordsOfXorwow) {
  for (const KnownXorwow& known : kXorwow) {
    EXPECT_EQ(words_of(TOKENDRAW_GENERATOR_XORWOW, known.seed, 0, known.offset, 4), known.words)
        << known.seed << " " << known.offset;
  }
}

// Words do not depend on where a call begins, far ahead too: after 2^k + a words come those that 2^k words and then a
// more lead to.
TEST(Random, BeginsAnywhere) {
  for (const auto generator : {TOKENDRAW_GENERATOR_PHILOX, TOKENDRAW_GENERATOR_XORWOW}) {
    for (int k = 0; k < 64; ++k) {
      const uint64_t offset = uint64_t{1} << k;
      const std::vector<uint32_t> all = words_of(generator, 9, 0, offset - 1, 40);
      for (const int64_t later : {1, 2, 7, 33}) {
        const std::vector<uint32_t> rest =
            words_of(generator, 9, 0, offset - 1 + static_cast<uint64_t>(later), 40 - later);
        EXPECT_TRUE(std::equal(rest.begin(), rest.end(), all.begin() + later)) << k << " " << later;
      }
    }
  }
}

TEST(Random, ElementsAreMadeOfWords) {
  for (const cases::RandomCase& c : cases::random_cases({1, 2, 63, 1000})) {
    cases::RandomCall call(c);
    ASSERT_EQ(tokendraw_fill_random_host(cpu(), &call.random), TOKENDRAW_OK) << tokendraw_last_error_message();
    for (int64_t row = 0; row < cases::kRandomRows; ++row) {
      const auto r = static_cast<size_t>(row);
      const uint64_t subsequence = c.per_row ? call.subsequences[r] : static_cast<uint64_t>(row);
      const std::vector<uint32_t> words = words_of(c.generator, c.per_row ? call.seeds[r] : 42, subsequence,
                                                   c.per_row ? call.offsets[r] : 5, 2 * c.count);
      for (int64_t i = 0; i < c.count; ++i) {
        const int64_t place = row * call.random.output_stride + i;
        const uint32_t word = words[static_cast<size_t>(i)];
        float value = 0;
        uint32_t bits = 0;
        if (c.kind != TOKENDRAW_RANDOM_U64) {
          std::memcpy(&bits, static_cast<uint32_t*>(call.random.output) + place, sizeof bits);
          std::memcpy(&value, &bits, sizeof value);
        }
        if (c.kind == TOKENDRAW_RANDOM_U32) {
          ASSERT_EQ(bits, word) << c.text();
        } else if (c.kind == TOKENDRAW_RANDOM_F32) {
          ASSERT_EQ(static_cast<double>(value), std::floor(word / 256.0) * 0x1p-24) << c.text();
        } else if (c.kind == TOKENDRAW_RANDOM_F32_POSITIVE) {
          ASSERT_EQ(value, static_cast<float>(word) * 0x1p-32f + 0x1p-33f) << c.text();
        } else {
          const auto low = words[static_cast<size_t>(2 * i)];
          const auto high = words[static_cast<size_t>(2 * i + 1)];
          ASSERT_EQ(static_cast<uint64_t*>(call.random.output)[place], uint64_t{high} << 32 | low) << c.text();
        }
      }
    }
    // What lies between rows is not written.
    const size_t bytes = c.kind == TOKENDRAW_RANDOM_U64 ? 8 : 4;
    const auto* end = static_cast<const unsigned char*>(call.random.output) + static_cast<size_t>(c.count) * bytes;
    for (size_t i = 0; i < static_cast<size_t>(c.gap) * bytes; ++i) ASSERT_EQ(end[i], 0x5a) << c.text();
  }
}

TEST(Random, FloatsStayInTheirInterval) {
  float extreme[2] = {};
  TokendrawRandom random;
  tokendraw_init_random(&random);
  std::vector<float> values(1 << 20);
  random.rows = 1;
  random.count = 1 << 20;
  random.output = values.data();
  for (const auto kind : {TOKENDRAW_RANDOM_F32, TOKENDRAW_RANDOM_F32_POSITIVE}) {
    random.kind = kind;
    ASSERT_EQ(tokendraw_fill_random_host(cpu(), &random), TOKENDRAW_OK);
    extreme[0] = *std::min_element(values.begin(), values.end());
    extreme[1] = *std::max_element(values.begin(), values.end());
    double sum = 0;
    for (const float value : values) sum += static_cast<double>(value);
    EXPECT_NEAR(sum / (1 << 20), 0.5, 0.002);  // seven standard deviations
    if (kind == TOKENDRAW_RANDOM_F32) {
      EXPECT_TRUE(extreme[0] >= 0.0f && extreme[1] < 1.0f);
    } else {
      EXPECT_TRUE(extreme[0] > 0.0f && extreme[1] <= 1.0f);
    }
  }
}

// The numbers that the sampler draws with, handed in, give its tokens.
TEST(Random, AreTheSamplersOwn) {
  constexpr int32_t kVocab = 1000;
  std::vector<float> logits(4 * kVocab);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 7919 % 1013) / 100.0f;
  std::vector<int32_t> expected(4), found(4);
  std::vector<uint64_t> numbers(4);
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = logits.data();
  batch.rows = 4;
  batch.vocab = kVocab;
  batch.seed = 77;
  batch.offset = 12;
  batch.tokens = expected.data();
  ASSERT_EQ(tokendraw_sample_host(cpu(), &batch), TOKENDRAW_OK);
  TokendrawRandom random;
  tokendraw_init_random(&random);
  random.kind = TOKENDRAW_RANDOM_U64;
  random.rows = 4;
  random.count = 1;
  random.seed = 77;
  random.offset = 4 * 12;
  random.output = numbers.data();
  ASSERT_EQ(tokendraw_fill_random_host(cpu(), &random), TOKENDRAW_OK);
  batch.random_u64 = numbers.data();
  batch.tokens = found.data();
  ASSERT_EQ(tokendraw_sample_host(cpu(), &batch), TOKENDRAW_OK);
  EXPECT_EQ(found, expected);
}

}  // namespace
}  // namespace tokendraw::test
