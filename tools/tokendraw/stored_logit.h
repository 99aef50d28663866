// SPDX-License-Identifier: Apache-2.0
// Logits as they are stored: f32, f16 and bf16 as bits. Written apart from the library's own conversions, so that the
// checks do not share a mistake with what they check.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstddef>
#include <cstdint>

namespace tokendraw::cases {

inline size_t dtype_bytes(TokendrawDtype dtype) { return dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2; }

// The nearest value of the dtype, ties to even, as bits in the low 16 or 32. A NaN stays a NaN.
uint32_t encode_logit(float x, TokendrawDtype dtype);

// Exact.
float decode_logit(uint32_t bits, TokendrawDtype dtype);

// Element `index` of an array of the dtype.
uint32_t load_logit_bits(const void* array, int64_t index, TokendrawDtype dtype);
void store_logit_bits(void* array, int64_t index, TokendrawDtype dtype, uint32_t bits);
inline float load_logit(const void* array, int64_t index, TokendrawDtype dtype) {
  return decode_logit(load_logit_bits(array, index, dtype), dtype);
}

}  // namespace tokendraw::cases
