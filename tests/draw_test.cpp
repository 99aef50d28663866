// SPDX-License-Identifier: Apache-2.0
// Known answers and exhaustive checks of src/draw, the one definition of what a token is. Its weights: weight_test.cpp.
#include <gtest/gtest.h>
#include <stored_logit.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "draw/effective_logit.h"
#include "draw/philox.h"
#include "draw/rank_key.h"
#include "draw/rejection.h"
#include "draw/row_params.h"
#include "draw/wide_math.h"
#include "support/float_bits.h"
#include "support/oracle.h"
#include "support/random_rows.h"

namespace tokendraw::test {
namespace {

__extension__ typedef unsigned __int128 Wide;

// ---- Philox -------------------------------------------------------------------------------------------------------

// From the file kat_vectors of Random123.
TEST(Philox, KnownAnswersOfRandom123) {
  struct Vector {
    uint32_t counter[4], key[2], out[4];
  };
  static constexpr Vector kVectors[] = {
      {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
      {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
       {0xffffffff, 0xffffffff},
       {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
      {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
       {0xa4093822, 0x299f31d0},
       {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
  };
  for (const Vector& v : kVectors) {
    const draw::PhiloxBlock out =
        draw::philox4x32_10({{v.counter[0], v.counter[1], v.counter[2], v.counter[3]}}, v.key[0], v.key[1]);
    for (int i = 0; i < 4; ++i) EXPECT_EQ(out.word[i], v.out[i]);
  }
}

TEST(Philox, RandomBitsPlaceSeedStreamOffsetAndPurpose) {
  // The third vector again: offset = words 0 and 1 of the counter, stream word 2, purpose word 3; R = out[1]:out[0].
  EXPECT_EQ(draw::random_bits(0x299f31d0a4093822u, 0x13198a2e, 0x85a308d3243f6a88u, 0x03707344), 0x94fdccebd16cfe09u);
  EXPECT_EQ(draw::random_bits(0, 0, 0, draw::kPurposeDraw), 0xe169c58d6627e8d5u);
  EXPECT_EQ(draw::random_bits(42, 0, 0, draw::kPurposeDraw), 0x77f5493b9ceaf053u);  // those of docs/semantics.md
  EXPECT_EQ(draw::random_bits(42, 0, 1, draw::kPurposeDraw), 0x53ba6cfdfcdb2127u);
  EXPECT_EQ(draw::kPurposeDraw, 0u);
  EXPECT_EQ(draw::kPurposeRejection, 0x100u);
  TestRandom random(1);
  for (int i = 0; i < 1000; ++i) {
    const uint64_t seed = random.bits(), offset = random.bits();
    const auto stream = static_cast<uint32_t>(random.bits()), purpose = static_cast<uint32_t>(random.bits());
    ASSERT_EQ(draw::random_bits(seed, stream, offset, purpose), oracle_random(seed, stream, offset, purpose));
  }
}

TEST(Philox, FloatStandsForItsValueTimesTwoToThe64) {
  EXPECT_EQ(draw::random_from_unit_float(0.0f), 0u);
  EXPECT_EQ(draw::random_from_unit_float(-0.0f), 0u);
  EXPECT_EQ(draw::random_from_unit_float(0.5f), uint64_t{1} << 63);
  EXPECT_EQ(draw::random_from_unit_float(0.99999994f), 0xffffff0000000000u);
  EXPECT_EQ(draw::random_from_unit_float(0x1p-64f), 1u);
  EXPECT_EQ(draw::random_from_unit_float(0x1.fffffep-64f), 1u);
  EXPECT_EQ(draw::random_from_unit_float(0x1.8p-63f), 3u);
  EXPECT_EQ(draw::random_from_unit_float(0x1p-65f), 0u);
  EXPECT_EQ(draw::random_from_unit_float(0x1p-149f), 0u);
  TestRandom random(2);
  for (int i = 0; i < 100000; ++i) {
    const float u = float_of(static_cast<uint32_t>(random.below(0x3f800000)));
    ASSERT_EQ(draw::random_from_unit_float(u), static_cast<uint64_t>(std::ldexp(static_cast<long double>(u), 64))) << u;
  }
  for (const float u : {0.0f, -0.0f, 0x1p-149f, 0.5f, 0.99999994f}) EXPECT_TRUE(draw::is_unit_float(u)) << u;
  for (const float u : {1.0f, 1.5f, -0x1p-149f, -1.0f, kNan, kInfinity, -kInfinity}) {
    EXPECT_FALSE(draw::is_unit_float(u)) << u;
  }
}

// ---- 128-bit integers ---------------------------------------------------------------------------------------------

TEST(WideMath, ProductsAndShiftsAgainstNativeIntegers) {
  TestRandom random(4);
  const uint64_t edges[] = {0, 1, 2, 0xffffffffu, 0x100000000u, ~uint64_t{0}, uint64_t{1} << 63, draw::kWeightOne};
  for (int i = 0; i < 200000; ++i) {
    const uint64_t a = random.chance(0.2) ? edges[random.below(8)] : random.bits() >> random.below(64);
    const uint64_t b = random.chance(0.2) ? edges[random.below(8)] : random.bits() >> random.below(64);
    const Wide product = static_cast<Wide>(a) * b;
    const draw::Uint128 wide = draw::mul_wide(a, b);
    ASSERT_EQ(wide.low, static_cast<uint64_t>(product));
    ASSERT_EQ(wide.high, static_cast<uint64_t>(product >> 64));
    ASSERT_EQ(draw::mul_high(a, b), wide.high);
    const auto shift = static_cast<int32_t>(random.below(175));
    Wide expected = 0;
    if (shift >= 128) {
      expected = product != 0 ? 1 : 0;
    } else {
      const Wide lost = product - ((product >> shift) << shift);
      expected = (product >> shift) + (lost != 0 ? 1 : 0);
    }
    if (expected >> 64 != 0) continue;  // outside the function's promise
    ASSERT_EQ(draw::mul_shift_ceil(a, b, shift), static_cast<uint64_t>(expected)) << a << " * " << b << " >> " << shift;
  }
}

TEST(WideMath, FractionIsExact) {
  TestRandom random(5);
  for (int i = 0; i < 200000; ++i) {
    const float x = float_of(static_cast<uint32_t>(random.below(0x3f800001)));  // [0, 1], subnormals too
    const draw::Fraction f = draw::to_fraction(x);
    ASSERT_LT(f.mantissa, 1u << 24);
    ASSERT_EQ(std::ldexp(static_cast<double>(f.mantissa), -f.shift), static_cast<double>(x));
  }
  for (const float x : {0.0f, 0x1p-149f, 0x1p-126f, 0.5f, 0.99999994f, 1.0f}) {
    const draw::Fraction f = draw::to_fraction(x);
    EXPECT_EQ(std::ldexp(static_cast<double>(f.mantissa), -f.shift), static_cast<double>(x));
  }
}

// ---- Filters ------------------------------------------------------------------------------------------------------

TEST(TopPNeed, RoundsUpAndIsAtLeastOne) {
  const auto need = [](uint64_t mass, float p) { return draw::top_p_need(mass, draw::to_fraction(p)); };
  EXPECT_EQ(need(8, 0.5f), 4u);
  EXPECT_EQ(need(9, 0.5f), 5u);  // 4.5
  EXPECT_EQ(need(8, 0.50000006f), 5u);
  EXPECT_EQ(need(8, 0.49999997f), 4u);
  EXPECT_EQ(need(4, 0.25f), 1u);
  EXPECT_EQ(need(100, 0x1p-149f), 1u);
  EXPECT_EQ(need(~uint64_t{0} >> 1, 0x1p-149f), 1u);
  EXPECT_EQ(need(100, 0.0f), 1u);
  EXPECT_EQ(draw::top_p_need(100, draw::Fraction{0, 0}), 1u);
  EXPECT_EQ(need(1, 0.99999994f), 1u);
  EXPECT_EQ(need(uint64_t{1} << 24, 0.99999994f), (uint64_t{1} << 24) - 1);
  EXPECT_EQ(need(uint64_t{1} << 63, 0.99999994f), 0x7fffff8000000000u);
  EXPECT_EQ(need((uint64_t{1} << 63) + 1, 0.99999994f), 0x7fffff8000000001u);
}

TEST(MinP, ThresholdIsRoundedUp) {
  EXPECT_EQ(draw::min_weight_of(1.0f), draw::kWeightOne);
  EXPECT_EQ(draw::min_weight_of(0.5f), draw::kWeightOne / 2);
  EXPECT_EQ(draw::min_weight_of(0x1p-42f), 1u);
  EXPECT_EQ(draw::min_weight_of(0x1.8p-42f), 2u);
  EXPECT_EQ(draw::min_weight_of(0x1p-43f), 1u);
  EXPECT_EQ(draw::min_weight_of(0x1p-149f), 1u);
  EXPECT_EQ(draw::min_weight_of(0.0f), 0u);
  EXPECT_EQ(draw::min_weight_of(-1.0f), 0u);
  EXPECT_EQ(draw::min_weight_of(-kInfinity), 0u);
}

TEST(RowParams, ValidityAndSwitches) {
  const auto valid = [](float temperature, float top_p, float min_p) {
    return draw::row_params_valid({temperature, 0, top_p, min_p});
  };
  EXPECT_TRUE(valid(0.0f, 0.5f, 0.5f));
  EXPECT_TRUE(valid(-0.0f, 0.5f, 0.5f));
  EXPECT_TRUE(valid(kInfinity, kInfinity, 1.0f));
  EXPECT_TRUE(valid(1.0f, -kInfinity, -kInfinity));
  EXPECT_FALSE(valid(kNan, 0.5f, 0.5f));
  EXPECT_FALSE(valid(-0x1p-149f, 0.5f, 0.5f));
  EXPECT_FALSE(valid(1.0f, kNan, 0.5f));
  EXPECT_FALSE(valid(1.0f, 0.5f, kNan));
  EXPECT_FALSE(valid(1.0f, 0.5f, 1.0000001f));

  const auto make = [](float temperature, int32_t top_k, float top_p, float min_p) {
    return draw::make_row_params({temperature, top_k, top_p, min_p}, draw::TopPBase::kAll, 100);
  };
  EXPECT_EQ(make(1.0f, 0, 1.0f, 0.0f).scale, 0x1.715476p+0f);
  EXPECT_EQ(make(2.0f, 0, 1.0f, 0.0f).scale, 0x1.715476p-1f);
  EXPECT_EQ(make(kInfinity, 0, 1.0f, 0.0f).scale, 0.0f);
  EXPECT_FALSE(make(kInfinity, 0, 1.0f, 0.0f).greedy);
  EXPECT_TRUE(make(0.0f, 0, 1.0f, 0.0f).greedy);
  EXPECT_TRUE(make(-0.0f, 0, 1.0f, 0.0f).greedy);
  EXPECT_TRUE(make(1e-40f, 0, 1.0f, 0.0f).greedy);   // c overflows
  EXPECT_FALSE(make(1e-38f, 0, 1.0f, 0.0f).greedy);  // c = 1.44e38
  const int32_t top_k_cases[][2] = {{0, 100},   {-1, 100},  {1, 1},           {99, 99},
                                    {100, 100}, {101, 100}, {INT32_MAX, 100}, {INT32_MIN, 100}};
  for (const auto& [given, expected] : top_k_cases) EXPECT_EQ(make(1.0f, given, 1.0f, 0.0f).top_k, expected) << given;
  EXPECT_FALSE(make(1.0f, 0, 1.0f, 0.0f).top_p_on);
  EXPECT_FALSE(make(1.0f, 0, kInfinity, 0.0f).top_p_on);
  EXPECT_TRUE(make(1.0f, 0, 0.99999994f, 0.0f).top_p_on);
  EXPECT_TRUE(make(1.0f, 0, -1.0f, 0.0f).top_p_on);
  EXPECT_EQ(draw::top_p_need(1000, make(1.0f, 0, -1.0f, 0.0f).top_p), 1u);
  EXPECT_EQ(make(1.0f, 0, 1.0f, 0.25f).min_weight, draw::kWeightOne / 4);
}

TEST(DrawTarget, IsTheHighHalf) {
  EXPECT_EQ(draw::draw_target(0, 12345), 0u);
  EXPECT_EQ(draw::draw_target(~uint64_t{0}, 12345), 12344u);  // always below the mass
  EXPECT_EQ(draw::draw_target(uint64_t{1} << 63, 12345), 6172u);
  EXPECT_EQ(draw::draw_target(~uint64_t{0}, 1), 0u);
}

// ---- Order --------------------------------------------------------------------------------------------------------

TEST(RankKey, OrdersByLogitThenById) {
  std::vector<float> values = {-kInfinity, -3.4e38f,  -1.0f, -0x1p-126f, -0x1p-149f, 0.0f,
                               0x1p-149f,  0x1p-126f, 1.0f,  3.4e38f,    kInfinity};
  const uint32_t ids[] = {0, 1, 2, 0x7fffffff, 0x1fffff};
  for (size_t i = 0; i < values.size(); ++i) {
    for (size_t j = 0; j < values.size(); ++j) {
      for (const uint32_t a : ids) {
        for (const uint32_t b : ids) {
          const bool earlier = values[i] > values[j] || (values[i] == values[j] && a < b);
          ASSERT_EQ(draw::rank_key(values[i], a) > draw::rank_key(values[j], b), earlier);
        }
      }
    }
  }
  TestRandom random(6);
  for (int i = 0; i < 200000; ++i) {
    const float x = random.normal(), y = random.chance(0.1) ? x : random.normal();
    const auto a = static_cast<uint32_t>(random.below(1 << 21)), b = static_cast<uint32_t>(random.below(1 << 21));
    ASSERT_EQ(draw::rank_key(x, a) > draw::rank_key(y, b), x > y || (x == y && a < b));
    ASSERT_EQ(draw::rank_key_logit(draw::rank_key(x, a)), x);
    ASSERT_EQ(draw::rank_key_id(draw::rank_key(x, a)), a);
  }
}

TEST(RankKey, OrderedBitsRoundTripAndAscend) {
  for (uint32_t bits = 1; bits < 0x7f800000u; bits += 12345) {
    for (const uint32_t sign : {0u, 0x80000000u}) {
      const float x = float_of(bits | sign);
      ASSERT_EQ(bits_of(draw::from_ordered_bits(draw::ordered_bits(x))), bits | sign);
      ASSERT_GT(draw::ordered_bits(std::nextafter(x, kInfinity)) | 1u, draw::ordered_bits(x) & ~1u);
      ASSERT_GT(draw::ordered_bits(std::nextafter(x, kInfinity)), draw::ordered_bits(x));
    }
  }
  EXPECT_EQ(draw::rank_key(kInfinity, 0), 0xff800000ffffffffu);
  EXPECT_EQ(draw::rank_key(0.0f, 5), 0x80000000fffffffau);
  EXPECT_EQ(draw::rank_key(-kInfinity, 0), 0x007fffffffffffffu);
}

TEST(RejectionInterval, SecondPivotAndNarrowing) {
  const draw::RejectionInterval whole;
  EXPECT_EQ(whole.low, 0u);
  EXPECT_EQ(whole.high, ~uint64_t{0});
  EXPECT_EQ(draw::second_pivot(whole, 1), uint64_t{1} << 63);
  EXPECT_EQ(draw::second_pivot({10, 20}, 13), 16u);
  const draw::RejectionInterval lower = draw::narrow_interval({10, 20}, 13, 16, true);
  EXPECT_EQ(lower.low, 13u);
  EXPECT_EQ(lower.high, 16u);
  const draw::RejectionInterval upper = draw::narrow_interval({10, 20}, 13, 16, false);
  EXPECT_EQ(upper.low, 16u);
  EXPECT_EQ(upper.high, 20u);
  EXPECT_EQ(draw::kMaxRejectionRounds, 65);
}

// The draws that help least: always the key just above `low`, and one kept key anywhere.
TEST(RejectionInterval, EndsWithinTheBoundWhateverIsDrawn) {
  int most = 0;
  uint64_t kept = 1;
  for (int i = 0; i < 100000; ++i) {
    if (i < 64) kept = uint64_t{1} << i;
    if (i >= 64 && i < 128) kept = ~uint64_t{0} - (uint64_t{1} << (i - 64)) + 1;
    if (i >= 128) kept = kept * 0x5851F42D4C957F2Du + 0x14057B7EF767814Fu;
    if (kept == 0) continue;
    draw::RejectionInterval interval;
    int rounds = 1;
    for (; interval.low + 1 < kept && rounds <= 100; ++rounds) {
      const uint64_t pivot1 = interval.low + 1;
      const uint64_t pivot2 = draw::second_pivot(interval, pivot1);
      interval = draw::narrow_interval(interval, pivot1, pivot2, pivot2 >= kept);
      ASSERT_LT(interval.low, kept);
      ASSERT_GE(interval.high, kept);
    }
    most = std::max(most, rounds);
  }
  EXPECT_LE(most, draw::kMaxRejectionRounds);
  EXPECT_GE(most, 60) << "these keys are meant to need nearly all of them";
}

// ---- Effective logits ---------------------------------------------------------------------------------------------

TEST(StoredLogit, EveryBf16AndF16Pattern) {
  for (uint32_t bits = 0; bits <= 0xffff; ++bits) {
    const auto pattern = static_cast<uint16_t>(bits);
    for (const auto dtype : {TOKENDRAW_DTYPE_BF16, TOKENDRAW_DTYPE_F16}) {
      const bool bf16 = dtype == TOKENDRAW_DTYPE_BF16;
      const float value = bf16 ? draw::bf16_to_float(pattern) : draw::f16_to_float(pattern);
      const float expected = cases::decode_logit(bits, dtype);
      if (std::isnan(expected)) {
        ASSERT_TRUE(std::isnan(value)) << bits;
      } else {
        ASSERT_EQ(bits_of(value), bits_of(expected)) << bits;
        ASSERT_EQ(cases::encode_logit(value, dtype), bits);  // what the other tests encode with
      }
    }
  }
  // So that the decoder above is not taken on trust.
  EXPECT_EQ(draw::f16_to_float(0x3c00), 1.0f);
  EXPECT_EQ(draw::f16_to_float(0xfbff), -65504.0f);
  EXPECT_EQ(draw::f16_to_float(0x0001), 0x1p-24f);
  EXPECT_EQ(draw::f16_to_float(0x03ff), 0x1.ff8p-15f);
  EXPECT_EQ(draw::f16_to_float(0x7c00), kInfinity);
  EXPECT_EQ(draw::bf16_to_float(0xc049), -3.140625f);
  EXPECT_EQ(draw::bf16_to_float(0x0001), 0x1p-133f);
}

TEST(EffectiveLogit, NanBecomesMinusInfinityAndZeroIsPositive) {
  bool nan = false;
  EXPECT_EQ(draw::nan_to_minus_infinity(1.5f, nan), 1.5f);
  EXPECT_EQ(draw::nan_to_minus_infinity(kInfinity, nan), kInfinity);
  EXPECT_FALSE(nan);
  EXPECT_EQ(draw::nan_to_minus_infinity(kNan, nan), -kInfinity);
  EXPECT_TRUE(nan);
  nan = false;
  EXPECT_EQ(bits_of(draw::finish_effective(-0.0f, nan)), 0u);
  EXPECT_EQ(draw::finish_effective(-0x1p-149f, nan), -0x1p-149f);
  EXPECT_FALSE(nan);
  EXPECT_EQ(draw::finish_effective(kInfinity - kInfinity, nan), -kInfinity);
  EXPECT_TRUE(nan);
}

TEST(EffectiveLogit, Bias) {
  EXPECT_EQ(draw::apply_bias(1.0f, 0.5f), 1.5f);
  EXPECT_EQ(draw::apply_bias(-kInfinity, kInfinity), -kInfinity);
  EXPECT_EQ(draw::apply_bias(-kInfinity, kNan), -kInfinity);
  EXPECT_EQ(draw::apply_bias(1.0f, -kInfinity), -kInfinity);
  EXPECT_TRUE(std::isnan(draw::apply_bias(kInfinity, -kInfinity)));
}

TEST(EffectiveLogit, Penalties) {
  const draw::Penalties repetition = {2.0f, 0.0f, 0.0f};
  EXPECT_EQ(draw::apply_penalties(3.0f, repetition, 7), 1.5f);  // once, whatever the count
  EXPECT_EQ(draw::apply_penalties(3.0f, repetition, 0), 1.5f);
  EXPECT_EQ(draw::apply_penalties(-3.0f, repetition, 1), -6.0f);
  EXPECT_EQ(draw::apply_penalties(0.0f, repetition, 1), 0.0f);
  const draw::Penalties all = {2.0f, 0.25f, 0.5f};
  EXPECT_EQ(draw::apply_penalties(3.0f, all, 3), 3.0f / 2.0f - 0.25f * 3 - 0.5f);
  EXPECT_EQ(draw::apply_penalties(3.0f, all, 0), 1.5f);
  EXPECT_EQ(draw::apply_penalties(3.0f, all, -1), 1.5f);
  EXPECT_EQ(draw::apply_penalties(-kInfinity, {2.0f, -1e30f, -1e30f}, 3), -kInfinity);
  // One rounding for frequency: fma(-f, count, x) differs from x - f * count.
  const float f = 0x1.000002p-1f, x = 0x1p-30f;
  EXPECT_EQ(draw::apply_penalties(x, {1.0f, f, 0.0f}, 3), std::fma(-f, 3.0f, x));
}

TEST(EffectiveLogit, PenaltyValidity) {
  EXPECT_TRUE(draw::penalties_valid({1.0f, 0.0f, 0.0f}));
  EXPECT_TRUE(draw::penalties_valid({0x1p-149f, -2.0f, -2.0f}));
  EXPECT_FALSE(draw::penalties_valid({0.0f, 0.0f, 0.0f}));
  EXPECT_FALSE(draw::penalties_valid({-1.0f, 0.0f, 0.0f}));
  for (const float bad : {kNan, kInfinity, -kInfinity}) {
    EXPECT_FALSE(draw::penalties_valid({bad, 0.0f, 0.0f}));
    EXPECT_FALSE(draw::penalties_valid({1.0f, bad, 0.0f}));
    EXPECT_FALSE(draw::penalties_valid({1.0f, 0.0f, bad}));
  }
}

}  // namespace
}  // namespace tokendraw::test
