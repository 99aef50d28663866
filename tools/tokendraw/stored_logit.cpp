// SPDX-License-Identifier: Apache-2.0
#include "stored_logit.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

namespace tokendraw::cases {
namespace {

uint32_t encode_bf16(float x) {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

uint32_t encode_f16(float x) {
  const uint32_t sign = std::signbit(x) ? 0x8000u : 0u;
  if (std::isnan(x)) return sign | 0x7e00u;
  const double magnitude = std::fabs(static_cast<double>(x));
  if (magnitude >= 65520.0) return sign | 0x7c00u;  // rounds to infinity
  if (magnitude < 0x1p-14) {                        // a multiple of 2^-24; 1024 of them make the smallest normal number
    return sign | static_cast<uint32_t>(std::nearbyint(magnitude * 0x1p24));
  }
  int exponent = 0;
  const double fraction = std::frexp(magnitude, &exponent);                         // [1/2, 1) * 2^exponent
  const uint32_t units = static_cast<uint32_t>(std::nearbyint(fraction * 2048.0));  // 1024 to 2048
  return sign | ((static_cast<uint32_t>(exponent + 14) << 10) + (units - 1024u));   // a carry lands in the exponent
}

float decode_f16(uint32_t bits) {
  const double sign = (bits & 0x8000u) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>((bits >> 10) & 31u);
  const double field = bits & 1023u;
  if (exponent == 31) {
    return field == 0 ? static_cast<float>(sign) * std::numeric_limits<float>::infinity()
                      : std::numeric_limits<float>::quiet_NaN();
  }
  if (exponent == 0) return static_cast<float>(sign * field * 0x1p-24);
  return static_cast<float>(sign * std::ldexp(1024.0 + field, exponent - 25));
}

}  // namespace

uint32_t encode_logit(float x, TokendrawDtype dtype) {
  switch (dtype) {
    case TOKENDRAW_DTYPE_F16:
      return encode_f16(x);
    case TOKENDRAW_DTYPE_BF16:
      return encode_bf16(x);
    default:
      return std::bit_cast<uint32_t>(x);
  }
}

float decode_logit(uint32_t bits, TokendrawDtype dtype) {
  switch (dtype) {
    case TOKENDRAW_DTYPE_F16:
      return decode_f16(bits);
    case TOKENDRAW_DTYPE_BF16:
      return std::bit_cast<float>(bits << 16);
    default:
      return std::bit_cast<float>(bits);
  }
}

uint32_t load_logit_bits(const void* array, int64_t index, TokendrawDtype dtype) {
  const auto* bytes = static_cast<const unsigned char*>(array) + index * static_cast<int64_t>(dtype_bytes(dtype));
  if (dtype == TOKENDRAW_DTYPE_F32) {
    uint32_t bits;
    std::memcpy(&bits, bytes, sizeof bits);
    return bits;
  }
  uint16_t bits;
  std::memcpy(&bits, bytes, sizeof bits);
  return bits;
}

void store_logit_bits(void* array, int64_t index, TokendrawDtype dtype, uint32_t bits) {
  auto* bytes = static_cast<unsigned char*>(array) + index * static_cast<int64_t>(dtype_bytes(dtype));
  if (dtype == TOKENDRAW_DTYPE_F32) {
    std::memcpy(bytes, &bits, sizeof bits);
    return;
  }
  const uint16_t half = static_cast<uint16_t>(bits);
  std::memcpy(bytes, &half, sizeof half);
}

}  // namespace tokendraw::cases
