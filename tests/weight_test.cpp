// SPDX-License-Identifier: Apache-2.0
// Known answers and exhaustive checks of the weights in src/draw.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <thread>

#include "draw/exp2_fixed.h"
#include "support/float_bits.h"
#include "support/oracle.h"
#include "support/random_rows.h"
#include "support/sanitizers.h"

namespace tokendraw::test {
namespace {

TEST(Exp2Fixed, KnownWeights) {
  EXPECT_EQ(draw::kWeightOne, 4398046511104u);
  EXPECT_EQ(draw::exp2_fixed(0.0f), 4398046511104u);
  EXPECT_EQ(draw::exp2_fixed(-0.0f), 4398046511104u);
  EXPECT_EQ(draw::exp2_fixed(-0.25f), 3698301337600u);
  EXPECT_EQ(draw::exp2_fixed(-0.3333333f), 3490731261952u);
  EXPECT_EQ(draw::exp2_fixed(-0.5f), 3109888196608u);
  EXPECT_EQ(draw::exp2_fixed(-1.0f), 2199023255552u);
  EXPECT_EQ(draw::exp2_fixed(-10.3f), 3488596736u);
  EXPECT_EQ(draw::exp2_fixed(-17.77f), 19676898u);
  EXPECT_EQ(draw::exp2_fixed(-42.0f), 1u);
  EXPECT_EQ(draw::exp2_fixed(-42.4f), 0u);
  for (const float y : {-43.0f, -63.9f, -64.0f, -64.1f, -1e30f, -kInfinity, kNan}) {
    EXPECT_EQ(draw::exp2_fixed(y), 0u) << y;
  }
  for (int power = 0; power <= 42; ++power) {
    EXPECT_EQ(draw::exp2_fixed(static_cast<float>(-power)), draw::kWeightOne >> power);
  }
}

// The loops below run over a billion floats: with FMA instructions seconds, through the library call minutes.
#if defined(__x86_64__) && defined(__GNUC__)
#define TOKENDRAW_TEST_FMA __attribute__((target("avx2,fma")))
bool processor_has_fma() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#else
#define TOKENDRAW_TEST_FMA
bool processor_has_fma() { return true; }
#endif

// The bits of the first y in [first, last), downwards from 0, that weighs more than the one before it; `last` if none.
// The weight of a float `back` floats before the first counts as its predecessor's.
template <typename Weight>
inline uint32_t first_rise(uint32_t first, uint32_t last, Weight weight) {
  constexpr uint32_t kBlock = 1u << 12;
  uint64_t block_weights[kBlock];
  uint64_t previous = weight(float_of(first));
  for (uint32_t begin = first; begin < last; begin += kBlock) {
    const uint32_t count = std::min(kBlock, last - begin);
    for (uint32_t i = 0; i < count; ++i) block_weights[i] = weight(float_of(begin + i));
    uint32_t rises = block_weights[0] > previous ? 1 : 0;
    for (uint32_t i = 1; i < count; ++i) rises |= block_weights[i] > block_weights[i - 1] ? 1 : 0;
    previous = block_weights[count - 1];
    if (rises != 0) return begin;
  }
  return last;
}

TOKENDRAW_TEST_FMA uint32_t first_rise_fma(uint32_t first, uint32_t last) {
  return first_rise(first, last, [](float y) TOKENDRAW_TEST_FMA { return draw::exp2_fixed(y); });
}
uint32_t first_rise_portable(uint32_t first, uint32_t last) {
  return first_rise(first, last, [](float y) { return draw::exp2_fixed(y); });
}

// Every float of [-44, -0]. Two threads, half of the floats each.
TEST(Exp2Fixed, NeverRisesAsYFalls) {
  constexpr uint32_t kFirst = 0x80000000u;
  const uint32_t end = bits_of(-44.0f) + 1;
  const auto scan = processor_has_fma() ? first_rise_fma : first_rise_portable;
  // Under a sanitizer only the floats from -2^-3 on, a twentieth of them.
  const uint32_t begin = kSanitized ? bits_of(-0.125f) : kFirst;
  const uint32_t middle = begin + (end - begin) / 2;
  uint32_t rise_in_second_half = 0;
  std::thread second([&] { rise_in_second_half = scan(middle - 1, end); });
  const uint32_t rise_in_first_half = scan(begin, middle);
  second.join();
  EXPECT_EQ(rise_in_first_half, middle) << "near y = " << float_of(rise_in_first_half);
  EXPECT_EQ(rise_in_second_half, end) << "near y = " << float_of(rise_in_second_half);
}

TOKENDRAW_TEST_FMA inline bool quick_forms_agree(float y) {
  const uint64_t weight = draw::exp2_fixed(y);
  return draw::exp2_fixed_quick(y) == weight && static_cast<uint64_t>(draw::exp2_unrounded(y)) == weight;
}

// How many of the floats [first, last) have another weight by the quick forms.
template <typename IsSame>
inline uint64_t count_differences(uint32_t first, uint32_t last, IsSame is_same) {
  uint64_t differences = 0;
  for (uint32_t bits = first; bits < last; ++bits) differences += is_same(float_of(bits)) ? 0 : 1;
  return differences;
}

TOKENDRAW_TEST_FMA uint64_t count_differences_fma(uint32_t first, uint32_t last) {
  return count_differences(first, last, [](float y) TOKENDRAW_TEST_FMA { return quick_forms_agree(y); });
}
uint64_t count_differences_portable(uint32_t first, uint32_t last) {
  return count_differences(first, last, [](float y) { return quick_forms_agree(y); });
}

// Every float of [-100, -0], two threads; and what is below.
TEST(Exp2Fixed, QuickFormsAreTheSame) {
  const auto count = processor_has_fma() ? count_differences_fma : count_differences_portable;
  const uint32_t begin = kSanitized ? bits_of(-0.125f) : 0x80000000u;
  const uint32_t end = bits_of(-100.0f) + 1;
  const uint32_t middle = begin + (end - begin) / 2;
  uint64_t in_second_half = 0;
  std::thread second([&] { in_second_half = count(middle, end); });
  EXPECT_EQ(count(begin, middle), 0u);
  second.join();
  EXPECT_EQ(in_second_half, 0u);
  for (const float y : {0.0f, -101.5f, -1e30f, -0x1.fffffep127f, -kInfinity, kNan, -kNan}) {
    EXPECT_EQ(draw::exp2_fixed_quick(y), draw::exp2_fixed(y)) << y;
    EXPECT_EQ(static_cast<uint64_t>(draw::exp2_unrounded(y)), draw::exp2_fixed(y)) << y;
  }
}

TEST(Exp2Fixed, RelativeErrorBelowTheStatedBound) {
  double worst = 0.0;
  float worst_at = 0.0f;
  for (uint32_t bits = 0x80000000u; bits < bits_of(-15.0f); bits += 97) {
    const float y = float_of(bits);
    const double exact = std::exp2(static_cast<double>(y)) * 0x1p42;
    const double error = std::fabs(static_cast<double>(draw::exp2_fixed(y)) - exact) / exact;
    if (error > worst) {
      worst = error;
      worst_at = y;
    }
  }
  EXPECT_LT(worst, 3.2e-7) << "at y = " << worst_at;
  EXPECT_GT(worst, 2.5e-7) << "the statement of the bound could be sharper";
}

TEST(Exp2Fixed, AgreesWithTheOracle) {
  TestRandom random(3);
  for (int i = 0; i < 1000000; ++i) {
    const float y = -static_cast<float>(random.unit()) * 66.0f;
    ASSERT_EQ(draw::exp2_fixed(y), oracle_weight(y)) << y;
  }
}

TEST(Weight, OfInfinitiesAndEqualLogits) {
  EXPECT_EQ(draw::weight(kInfinity, kInfinity, 1.4427f), draw::kWeightOne);
  EXPECT_EQ(draw::weight(3e38f, kInfinity, 1.4427f), 0u);
  EXPECT_EQ(draw::weight(3e38f, kInfinity, 0.0f), 0u);
  EXPECT_EQ(draw::weight(-kInfinity, 0.0f, 1.4427f), 0u);
  EXPECT_EQ(draw::weight(-kInfinity, 0.0f, 0.0f), 0u);
  EXPECT_EQ(draw::weight(-5.0f, 7.0f, 0.0f), draw::kWeightOne);  // T = inf
  EXPECT_EQ(draw::weight(7.0f, 7.0f, 3e38f), draw::kWeightOne);
  EXPECT_EQ(draw::weight(6.0f, 7.0f, 3e38f), 0u);
  EXPECT_EQ(draw::weight(6.0f, 7.0f, 1.0f), draw::kWeightOne / 2);
}

}  // namespace
}  // namespace tokendraw::test
