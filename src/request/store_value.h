// SPDX-License-Identifier: Apache-2.0
// A value stored as a dtype, rounded once from double.
#pragma once

#include "draw/narrow_float.h"
#include "request/request.h"

namespace tokendraw::request {

TOKENDRAW_HD void store_value(unsigned char* array, int64_t index, Dtype dtype, double value) {
  if (dtype == Dtype::kF32) {
    reinterpret_cast<float*>(array)[index] = static_cast<float>(value);
    return;
  }
  const float odd = draw::round_to_odd(value);
  reinterpret_cast<uint16_t*>(array)[index] = dtype == Dtype::kF16 ? draw::float_to_f16(odd) : draw::float_to_bf16(odd);
}

}  // namespace tokendraw::request
