// SPDX-License-Identifier: Apache-2.0
// Prefix sums against exact ones, beside summing in float plainly and by Kahan's method.
#include <gtest/gtest.h>
#include <prefix_sum_case.h>

#include <algorithm>
#include <cmath>

#include "support/samplers.h"

namespace tokendraw::test {
namespace {

TokendrawSampler* cpu(int32_t threads = 1) { return sampler_for({TOKENDRAW_ALGORITHM_AUTO, "", threads}); }

long double counted(float p) { return p > 0.0f && std::isfinite(p) ? static_cast<long double>(p) : 0.0L; }

TEST(PrefixSum, OfProbabilities) {
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases({1, 2, 5, 333, 4096, 20001})) {
    if (c.number != TOKENDRAW_NUMBER_F32 || c.in_place) continue;
    cases::PrefixSumCall call(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum(cpu(), &call.sum, nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
    for (int64_t row = 0; row < cases::kPrefixSumRows; ++row) {
      const auto* in = call.row<float>(call.sum.input, row);
      const auto* out = call.row<float>(call.sum.output, row);
      long double largest = 0.0L;
      bool bad = false;
      for (int32_t id = 0; id < c.vocab; ++id) {
        largest = std::max(largest, counted(in[id]));
        bad |= !(in[id] >= 0.0f && std::isfinite(in[id]));
      }
      EXPECT_EQ(call.status[static_cast<size_t>(row)], bad ? 16u : 0u) << c.text() << ", row " << row;
      long double exact = 0.0L;
      for (int32_t id = 0; id < c.vocab; ++id) {
        if (!c.exclusive) exact += counted(in[id]);
        const long double allowed = exact * 0x1.001p-24L + largest * 0x1p-42L * static_cast<long double>(c.vocab) +
                                    static_cast<long double>(std::numeric_limits<float>::denorm_min());
        ASSERT_NEAR(static_cast<double>(out[id]), static_cast<double>(exact), static_cast<double>(allowed))
            << c.text() << ", row " << row << ", id " << id;
        ASSERT_TRUE(id == 0 || out[id] >= out[id - 1]) << c.text() << ", row " << row << ", id " << id;
        if (c.exclusive) exact += counted(in[id]);
      }
    }
  }
}

TEST(PrefixSum, OfIntegers) {
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases({1, 3, 1025, 9000})) {
    if (c.number != TOKENDRAW_NUMBER_U64) continue;
    cases::PrefixSumCase apart = c;
    apart.in_place = false;
    const cases::PrefixSumCall given(apart);
    cases::PrefixSumCall call(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(cpu(), &call.sum), TOKENDRAW_OK);
    for (int64_t row = 0; row < cases::kPrefixSumRows; ++row) {
      const auto* in = given.row<uint64_t>(given.sum.input, row);
      const auto* out = call.row<uint64_t>(call.sum.output, row);
      uint64_t running = 0;
      for (int32_t id = 0; id < c.vocab; ++id) {
        const uint64_t before = running;
        running += in[id];
        ASSERT_EQ(out[id], c.exclusive ? before : running) << c.text() << ", row " << row << ", id " << id;
      }
      EXPECT_EQ(call.status[static_cast<size_t>(row)], 0u);
    }
  }
}

struct Errors {
  double plain = 0;
  double kahan = 0;
  double ours = 0;
  bool kahan_falls = false;
};

// The largest errors over a row of 2^21 probabilities that sum to 1.
Errors errors_of(std::vector<float> p) {
  double total = 0.0;
  for (const float x : p) total += static_cast<double>(x);
  for (float& x : p) x = static_cast<float>(static_cast<double>(x) / total);
  std::vector<float> out(p.size());
  TokendrawPrefixSum sum;
  tokendraw_init_prefix_sum(&sum);
  sum.input = p.data();
  sum.output = out.data();
  sum.rows = 1;
  sum.vocab = static_cast<int32_t>(p.size());
  EXPECT_EQ(tokendraw_compute_prefix_sum(cpu(), &sum, nullptr), TOKENDRAW_OK);
  Errors errors;
  long double exact = 0.0L;
  float plain = 0.0f;
  float kahan = 0.0f;
  float lost = 0.0f;
  for (size_t i = 0; i < p.size(); ++i) {
    exact += static_cast<long double>(p[i]);
    plain += p[i];
    const float corrected = p[i] - lost;
    const float next = kahan + corrected;
    lost = (next - kahan) - corrected;
    errors.kahan_falls |= next < kahan;
    kahan = next;
    const auto error = [&](float x) { return std::abs(static_cast<double>(static_cast<long double>(x) - exact)); };
    errors.plain = std::max(errors.plain, error(plain));
    errors.kahan = std::max(errors.kahan, error(kahan));
    errors.ours = std::max(errors.ours, error(out[i]));
  }
  return errors;
}

// docs/blocks.md has these figures.
TEST(PrefixSum, BesidePlainAndKahanSums) {
  constexpr int32_t kVocab = 1 << 21;
  std::mt19937 engine(11);
  for (const int64_t kind : {0, 1, 2, 3, 4}) {
    std::vector<float> p(kVocab);
    for (int32_t id = 0; id < kVocab; ++id)
      p[static_cast<size_t>(id)] = cases::probability_of_kind(kind, id, kVocab, engine);
    const Errors errors = errors_of(p);
    const std::string name = "kind" + std::to_string(kind);
    RecordProperty(name + "_plain", std::to_string(errors.plain * 1e9));
    RecordProperty(name + "_kahan", std::to_string(errors.kahan * 1e9));
    RecordProperty(name + "_ours", std::to_string(errors.ours * 1e9));
    EXPECT_LE(errors.ours, 1.1 * 0x1p-25) << kind << ": half the last place of a float below 1, and hardly more";
    EXPECT_LE(errors.ours, errors.kahan * 1.001) << kind;
    EXPECT_LE(errors.ours, errors.plain) << kind;
  }
}

TEST(PrefixSum, SameBitsEverywhere) {
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases({7, 2049})) {
    cases::PrefixSumCall expected(c);
    cases::PrefixSumCall found(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum(cpu(), &expected.sum, nullptr), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(cpu(4), &found.sum), TOKENDRAW_OK);
    EXPECT_TRUE(found.output == expected.output && found.input == expected.input) << c.text();
    if (!c.in_place) continue;
    cases::PrefixSumCase apart = c;
    apart.in_place = false;
    cases::PrefixSumCall other(apart);
    ASSERT_EQ(tokendraw_compute_prefix_sum(cpu(), &other.sum, nullptr), TOKENDRAW_OK);
    const size_t bytes = c.number == TOKENDRAW_NUMBER_F32 ? 4 : 8;
    for (int64_t row = 0; row < cases::kPrefixSumRows; ++row) {
      const auto begin = static_cast<size_t>(row * (c.vocab + c.gap)) * bytes;
      EXPECT_EQ(std::memcmp(static_cast<const char*>(found.sum.output) + begin,
                            static_cast<const char*>(other.sum.output) + begin, static_cast<size_t>(c.vocab) * bytes),
                0)
          << c.text();
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
