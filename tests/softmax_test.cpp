// SPDX-License-Identifier: Apache-2.0
// Softmax and log-softmax against their definition in double, and what is promised beside: rows that sum to 1, bits
// that depend on nothing but the row, the contract's weights, rounding once.
#include <gtest/gtest.h>
#include <softmax_case.h>

#include <cmath>
#include <cstring>

#include "support/float_bits.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TokendrawSampler* cpu(int32_t threads = 1, const std::string& target = "") {
  return sampler_for({TOKENDRAW_ALGORITHM_AUTO, target, threads});
}

// The row's definition, in double. -inf where there is no probability.
std::vector<double> exact_logs(const cases::SoftmaxCall& call, int64_t row) {
  const auto vocab = static_cast<size_t>(call.softmax.vocab);
  std::vector<double> x(vocab);
  for (size_t id = 0; id < vocab; ++id) {
    const double value = static_cast<double>(call.logit(row, static_cast<int64_t>(id)));
    x[id] = std::isnan(value) ? -kInfinity : value;
  }
  const double max = *std::max_element(x.begin(), x.end());
  const double t = static_cast<double>(call.temperatures[static_cast<size_t>(row)]);
  std::vector<double> logs(vocab, -kInfinity);
  if (max == -kInfinity || !(t >= 0.0)) return logs;
  if (t == 0.0) {
    logs[static_cast<size_t>(std::max_element(x.begin(), x.end()) - x.begin())] = 0.0;
    return logs;
  }
  const auto scaled = [&](double value) {
    if (value == -kInfinity) return -kInfinity;
    return max == kInfinity ? (value == max ? 0.0 : -kInfinity) : (value - max) / t;
  };
  double sum = 0.0;
  for (const double value : x) sum += std::exp(scaled(value));
  for (size_t id = 0; id < vocab; ++id) logs[id] = scaled(x[id]) - std::log(sum);
  return logs;
}

constexpr uint32_t kStatuses[] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 8, 0, 4};

// What rounding to a dtype may add: half a unit in the last place.
double rounding(double value, TokendrawDtype dtype) {
  if (!std::isfinite(value)) return 0.0;
  const double relative = dtype == TOKENDRAW_DTYPE_F32 ? 0x1p-24 : dtype == TOKENDRAW_DTYPE_F16 ? 0x1p-11 : 0x1p-8;
  return std::abs(value) * relative * 1.001 + (dtype == TOKENDRAW_DTYPE_F16 ? 0x1p-25 : 0.0);
}

TEST(Softmax, AgainstDouble) {
  for (const cases::SoftmaxCase& c : cases::softmax_cases({1, 2, 255, 256, 257, 1000, 5001})) {
    if (c.in_place) continue;  // the input is gone; compared with these below
    cases::SoftmaxCall call(c);
    ASSERT_EQ(tokendraw_compute_softmax(cpu(), &call.softmax, nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
    for (int64_t row = 0; row < cases::kSoftmaxRows; ++row) {
      const uint32_t status = call.status[static_cast<size_t>(row)];
      if (row != 7 || c.vocab > 10) {
        EXPECT_EQ(status, kStatuses[row]) << c.text() << ", row " << row;
      }
      const std::vector<double> logs = exact_logs(call, row);
      double sum = 0.0;
      for (int32_t id = 0; id < c.vocab; ++id) {
        const auto found = static_cast<double>(call.result(row, id));
        sum += found;
        const double log = logs[static_cast<size_t>(id)];
        const double exact = c.log ? log : std::exp(log);
        if (std::isinf(exact) || (c.log && c.output_dtype == TOKENDRAW_DTYPE_F16 && exact < -65504.0)) {
          ASSERT_EQ(found, -kInfinity) << c.text() << ", row " << row << ", id " << id;
        } else {
          ASSERT_NEAR(found, exact, 1e-6 + rounding(exact, c.output_dtype))
              << c.text() << ", row " << row << ", id " << id;
        }
      }
      if (!c.log && c.output_dtype == TOKENDRAW_DTYPE_F32 && (status & ~1u) == 0) {
        EXPECT_NEAR(sum, 1.0, 1e-6) << c.text() << ", row " << row;
      }
    }
  }
}

// The largest vocabulary: flat, and with most of the mass in light tokens.
TEST(Softmax, OfTwoMillionTokens) {
  constexpr int32_t kVocab = 1 << 21;
  std::vector<float> x(kVocab), out(kVocab);
  for (const float spread : {0.0f, 1.0f, 3.0f}) {
    std::mt19937 engine(5);
    std::normal_distribution<float> normal(0.0f, 1.0f);
    for (float& value : x) value = spread * normal(engine);
    double sum = 0.0;
    const double max = static_cast<double>(*std::max_element(x.begin(), x.end()));
    for (const float value : x) sum += std::exp(static_cast<double>(value) - max);
    TokendrawSoftmax softmax;
    tokendraw_init_softmax(&softmax);
    softmax.input = x.data();
    softmax.output = out.data();
    softmax.rows = 1;
    softmax.vocab = kVocab;
    for (const int32_t log : {0, 1}) {
      softmax.log = log;
      ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &softmax), TOKENDRAW_OK);
      double total = 0.0;
      double worst = 0.0;
      for (int32_t id = 0; id < kVocab; ++id) {
        const auto i = static_cast<size_t>(id);
        const double exact = static_cast<double>(x[i]) - max - std::log(sum);
        worst = std::max(worst, std::abs(static_cast<double>(out[i]) - (log != 0 ? exact : std::exp(exact))) -
                                    rounding(log != 0 ? exact : 0.0, TOKENDRAW_DTYPE_F32));
        total += static_cast<double>(out[i]);
      }
      EXPECT_LT(worst, 1e-6) << "spread " << spread;
      if (log == 0) {
        EXPECT_NEAR(total, 1.0, 1e-6) << "spread " << spread;
      }
    }
  }
}

// The contract's weights by their known values, divided by their sum, and f16 and bf16 rounded from that once.
TEST(Softmax, IsWeightsDividedByTheirSum) {
  const std::vector<float> x = {0.0f, -0.25f, -0.5f, -1.0f, -10.3f, -17.77f, -42.0f, -42.4f};
  const uint64_t weights[] = {4398046511104, 3698301337600, 3109888196608, 2199023255552, 3488596736, 19676898, 1, 0};
  uint64_t sum = 0;
  for (const uint64_t weight : weights) sum += weight;
  for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    std::vector<float> out(x.size());
    TokendrawSoftmax softmax;
    tokendraw_init_softmax(&softmax);
    softmax.input = x.data();
    softmax.output = out.data();
    softmax.output_dtype = dtype;
    softmax.rows = 1;
    softmax.vocab = static_cast<int32_t>(x.size());
    softmax.temperature = 1.442695f;  // one unit of logit is a factor of 2
    ASSERT_EQ(tokendraw_compute_softmax(cpu(), &softmax, nullptr), TOKENDRAW_OK);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = static_cast<double>(weights[i]) * (1.0 / static_cast<double>(sum));
      const float found = cases::load_logit(out.data(), static_cast<int64_t>(i), dtype);
      if (dtype == TOKENDRAW_DTYPE_F32) {
        EXPECT_EQ(found, static_cast<float>(exact)) << i;
      }
      // No other value of the dtype is nearer.
      const uint32_t bits = cases::load_logit_bits(out.data(), static_cast<int64_t>(i), dtype);
      for (const int step : {-1, 1}) {
        if (bits == 0 && step < 0) continue;
        const auto neighbour = static_cast<double>(cases::decode_logit(bits + static_cast<uint32_t>(step), dtype));
        EXPECT_LE(std::abs(static_cast<double>(found) - exact), std::abs(neighbour - exact)) << i;
      }
    }
  }
}

// Nothing but the row counts: threads, SIMD target, place and whether it is in place.
TEST(Softmax, SameBitsEverywhere) {
  for (const cases::SoftmaxCase& c : cases::softmax_cases({3, 300, 4099})) {
    cases::SoftmaxCase apart = c;
    apart.in_place = false;
    cases::SoftmaxCall expected(apart);
    ASSERT_EQ(tokendraw_compute_softmax(cpu(), &expected.softmax, nullptr), TOKENDRAW_OK);
    std::vector<TokendrawSampler*> samplers = {cpu(4)};
    for (const std::string& target : cpu_targets()) samplers.push_back(cpu(1, target));
    for (TokendrawSampler* sampler : samplers) {
      cases::SoftmaxCall call(c);
      ASSERT_EQ(tokendraw_compute_softmax_host(sampler, &call.softmax), TOKENDRAW_OK);
      EXPECT_EQ(call.status, expected.status) << c.text();
      if (!c.in_place) {
        EXPECT_EQ(call.output, expected.output) << c.text();
        continue;
      }
      for (int64_t row = 0; row < cases::kSoftmaxRows; ++row) {
        const size_t bytes = static_cast<size_t>(c.vocab) * cases::dtype_bytes(c.dtype);
        const size_t begin = static_cast<size_t>(row * call.softmax.output_stride) * cases::dtype_bytes(c.dtype);
        EXPECT_EQ(std::memcmp(static_cast<const char*>(call.softmax.output) + begin,
                              static_cast<const char*>(expected.softmax.output) + begin, bytes),
                  0)
            << c.text() << ", row " << row;
      }
    }
  }
}

// What lies between rows is neither read (it is NaN) nor written.
TEST(Softmax, LeavesGapsAlone) {
  cases::SoftmaxCase c;
  c.vocab = 77;
  c.gap = 9;
  c.lead = 3;
  cases::SoftmaxCall call(c);
  ASSERT_EQ(tokendraw_compute_softmax(cpu(), &call.softmax, nullptr), TOKENDRAW_OK);
  const auto* out = reinterpret_cast<const uint32_t*>(call.output.data());
  for (int64_t i = 0; i < c.lead + cases::kSoftmaxRows * 86; ++i) {
    const int64_t place = (i - c.lead) % 86;
    if (i < c.lead || place >= 77) {
      EXPECT_EQ(out[i], 0x5a5a5a5au) << i;
    }
  }
}

}  // namespace
}  // namespace tokendraw::test
