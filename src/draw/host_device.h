// SPDX-License-Identifier: Apache-2.0
// What differs between host and device compilers. Every float operation of the contract is written with these
// functions, so that no compiler may contract, reassociate or flush it. The build sets -ffp-contract=off for the host.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__CUDACC__)
#define TOKENDRAW_HD __host__ __device__ __forceinline__
#elif defined(__HIP__)
#define TOKENDRAW_HD __attribute__((host)) __attribute__((device)) inline __attribute__((always_inline))
#else
#define TOKENDRAW_HD inline
#endif

#if !defined(__CUDA_ARCH__) && !defined(__HIP_DEVICE_COMPILE__)
#include <cmath>
#endif

namespace tokendraw::draw {

#if defined(__CUDA_ARCH__)
TOKENDRAW_HD float add_rn(float a, float b) { return __fadd_rn(a, b); }
TOKENDRAW_HD float sub_rn(float a, float b) { return __fsub_rn(a, b); }
TOKENDRAW_HD float mul_rn(float a, float b) { return __fmul_rn(a, b); }
TOKENDRAW_HD float div_rn(float a, float b) { return __fdiv_rn(a, b); }
TOKENDRAW_HD float fma_rn(float a, float b, float c) { return __fmaf_rn(a, b, c); }
TOKENDRAW_HD float rint_even(float a) { return rintf(a); }
#elif defined(__HIP_DEVICE_COMPILE__)
// Plain operators, as on the host: the build forbids contraction, divides correctly rounded and keeps denormals.
TOKENDRAW_HD float add_rn(float a, float b) { return a + b; }
TOKENDRAW_HD float sub_rn(float a, float b) { return a - b; }
TOKENDRAW_HD float mul_rn(float a, float b) { return a * b; }
TOKENDRAW_HD float div_rn(float a, float b) { return a / b; }
TOKENDRAW_HD float fma_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
TOKENDRAW_HD float rint_even(float a) { return __builtin_rintf(a); }
#else
// For both as above, so that a device function, whose body a HIP compiler also looks at for the host, means the same.
TOKENDRAW_HD float add_rn(float a, float b) { return a + b; }
TOKENDRAW_HD float sub_rn(float a, float b) { return a - b; }
TOKENDRAW_HD float mul_rn(float a, float b) { return a * b; }
TOKENDRAW_HD float div_rn(float a, float b) { return a / b; }
TOKENDRAW_HD float fma_rn(float a, float b, float c) { return std::fma(a, b, c); }
TOKENDRAW_HD float rint_even(float a) { return std::nearbyint(a); }  // the default rounding mode: ties to even
#endif

TOKENDRAW_HD uint32_t float_bits(float x) {
#if defined(__CUDA_ARCH__)
  return __float_as_uint(x);
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_bit_cast(uint32_t, x);
#else
  uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}

TOKENDRAW_HD float bits_float(uint32_t bits) {
#if defined(__CUDA_ARCH__)
  return __uint_as_float(bits);
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_bit_cast(float, bits);
#else
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

TOKENDRAW_HD double bits_double(uint64_t bits) {
#if defined(__CUDA_ARCH__)
  return __longlong_as_double(static_cast<long long>(bits));
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_bit_cast(double, bits);
#else
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
#endif
}

TOKENDRAW_HD uint64_t double_bits(double x) {
#if defined(__CUDA_ARCH__)
  return static_cast<uint64_t>(__double_as_longlong(x));
#elif defined(__HIP_DEVICE_COMPILE__)
  return __builtin_bit_cast(uint64_t, x);
#else
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
#endif
}

TOKENDRAW_HD float infinity() { return bits_float(0x7f800000u); }
inline constexpr float kLargestFinite = 0x1.fffffep127f;
TOKENDRAW_HD bool is_nan(float x) { return x != x; }
TOKENDRAW_HD bool is_finite(float x) { return (float_bits(x) & 0x7f800000u) != 0x7f800000u; }

}  // namespace tokendraw::draw
