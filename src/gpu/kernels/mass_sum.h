// SPDX-License-Identifier: Apache-2.0
// Sums of weights, of one thread.
#pragma once

#include "draw/double_math.h"
#include "draw/exp2_fixed.h"
#include "gpu/primitives/warp.h"

namespace tokendraw::gpu {

// A sum of weights 2^y, in the units of the contract, each rounded down; less than 2^52 in all.
template <bool kDoubles>
class MassSum {
 public:
  using Weight = uint64_t;

  TOKENDRAW_DEVICE void add(float y) { add_unrounded(unrounded(y)); }
  TOKENDRAW_DEVICE uint64_t value() const { return sum_; }
  // A weight that is added to one sum or another, 0 to those to which it does not belong.
  TOKENDRAW_DEVICE static Weight unrounded(float y) { return weight_of(y); }
  TOKENDRAW_DEVICE void add_unrounded(Weight weight) { sum_ += weight; }
  TOKENDRAW_DEVICE static uint64_t weight_of(float y) { return draw::exp2_fixed_quick(y); }
  TOKENDRAW_DEVICE static double weight_as_double(float y) { return static_cast<double>(weight_of(y)); }

 private:
  uint64_t sum_ = 0;
};

// By doubles of [2^52, 2^53), where doubles are the integers: what is added to one of them and rounded toward zero is
// rounded down to an integer. One addition does for the shift that rounds a weight and for the sum of 64 bits.
template <>
class MassSum<true> {
 public:
  using Weight = double;

  TOKENDRAW_DEVICE void add(float y) { add_unrounded(unrounded(y)); }
  TOKENDRAW_DEVICE uint64_t value() const { return integer_of(sum_); }
  TOKENDRAW_DEVICE static Weight unrounded(float y) { return draw::exp2_unrounded(y); }
  TOKENDRAW_DEVICE void add_unrounded(Weight weight) { sum_ = platform::add_toward_zero(sum_, weight); }
  TOKENDRAW_DEVICE static uint64_t weight_of(float y) {
    return integer_of(platform::add_toward_zero(kZero, draw::exp2_unrounded(y)));
  }
  // An addition takes less time than a conversion.
  TOKENDRAW_DEVICE static double weight_as_double(float y) {
    return draw::add_rn(platform::add_toward_zero(kZero, draw::exp2_unrounded(y)), -kZero);
  }

 private:
  static constexpr double kZero = 0x1p52;
  TOKENDRAW_DEVICE static uint64_t integer_of(double x) {
    return draw::double_bits(x) & ((uint64_t{1} << 52) - 1);  // its mantissa
  }

  double sum_ = kZero;
};

template <int kWave>
using ThreadMass = MassSum<platform::kFastDoubles<kWave>>;

// What the exponent of a weight is masked to that is not to count: it weighs 0.
inline constexpr float kNoWeight = -44.0f;

}  // namespace tokendraw::gpu
