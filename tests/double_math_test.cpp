// SPDX-License-Identifier: Apache-2.0
// What src/draw does in double: rounding to short formats once, and the logarithm of a mass.
#include "draw/double_math.h"

#include <gtest/gtest.h>
#include <stored_logit.h>

#include <cmath>
#include <limits>
#include <random>

#include "draw/narrow_float.h"

namespace tokendraw::test {
namespace {

struct Format {
  TokendrawDtype dtype;
  uint16_t (*round)(float);
  uint32_t infinity;
};
constexpr Format kFormats[] = {{TOKENDRAW_DTYPE_F16, draw::float_to_f16, 0x7c00},
                               {TOKENDRAW_DTYPE_BF16, draw::float_to_bf16, 0x7f80}};

uint32_t rounded(const Format& format, double x) { return format.round(draw::round_to_odd(x)); }

// Between each two neighbours: the middle goes to the even one, what is next to it, by less than a float shows, to its
// side; a value of the format stays as it is.
TEST(NarrowFloat, RoundsOnceBetweenAllNeighbours) {
  for (const Format& format : kFormats) {
    for (uint32_t bits = 0; bits + 1 < format.infinity; ++bits) {
      const auto low = static_cast<double>(cases::decode_logit(bits, format.dtype));
      const auto high = static_cast<double>(cases::decode_logit(bits + 1, format.dtype));
      ASSERT_EQ(rounded(format, low), bits);
      const double middle = (low + high) / 2;
      if (middle < 0x1p-126) continue;  // no normal float: only bf16 has values there
      const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
      ASSERT_EQ(rounded(format, middle), even) << bits;
      ASSERT_EQ(rounded(format, std::nextafter(middle, 0.0)), bits) << bits;
      ASSERT_EQ(rounded(format, std::nextafter(middle, 1e300)), bits + 1) << bits;
      ASSERT_EQ(rounded(format, -std::nextafter(middle, 1e300)), (bits + 1) | 0x8000u) << bits;
    }
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    EXPECT_EQ(rounded(format, kInfinity), format.infinity);
    EXPECT_EQ(rounded(format, -1e300), format.infinity | 0x8000u);
    EXPECT_EQ(rounded(format, -0.0), 0x8000u);
    EXPECT_GT(rounded(format, std::numeric_limits<double>::quiet_NaN()) & 0x7fffu, format.infinity);
  }
  EXPECT_EQ(rounded(kFormats[0], 65519.999), 0x7bffu);
  EXPECT_EQ(rounded(kFormats[0], 65520.0), 0x7c00u);
}

TEST(LogOfMass, AgainstTheLibrary) {
  EXPECT_EQ(draw::log_of_mass(uint64_t{1} << 42), 0.0);
  std::mt19937_64 engine(3);
  for (int i = 0; i < 200000; ++i) {
    const uint64_t mass = (engine() >> 1 >> engine() % 63) | 1u;
    const auto exact = static_cast<double>(std::log(static_cast<long double>(mass) / 0x1p42L));
    ASSERT_NEAR(draw::log_of_mass(mass), exact, 1e-14 + 3e-16 * std::abs(exact)) << mass;
  }
}

}  // namespace
}  // namespace tokendraw::test
