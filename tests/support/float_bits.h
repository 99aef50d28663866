// SPDX-License-Identifier: Apache-2.0
// Floats by their bits, and the constants that tests need.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace tokendraw::test {

inline constexpr float kInfinity = std::numeric_limits<float>::infinity();
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

inline uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }
inline float float_of(uint32_t bits) { return std::bit_cast<float>(bits); }

}  // namespace tokendraw::test
