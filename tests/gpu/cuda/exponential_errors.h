// SPDX-License-Identifier: Apache-2.0
// How far the device's own exponential is off, over all floats.
#pragma once

namespace tokendraw::test {

struct ExponentialErrors {
  double worst = 0;      // relative error of a result of at least 2^-126
  float worst_at = 0;    // for this exponent
  float too_large = 0;   // the largest result below the exponent -126
  float of_lowest = -1;  // the result for -inf
};

// platform::exp2_estimate for every float that is not NaN and below 128, beside 2^x in double precision. Waits for the
// device. False if the runtime refuses.
bool measure_exponential(ExponentialErrors* errors);

}  // namespace tokendraw::test
