// SPDX-License-Identifier: Apache-2.0
// Numbers for test rows: a pure function of a key and a counter, the same on every platform and compiler. Nothing here
// uses libm except sqrt, which IEEE 754 fixes; std::normal_distribution is free to differ between libraries.
#pragma once

#include <cmath>
#include <cstdint>

namespace tokendraw::cases {

// The finaliser of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
inline uint64_t mix_bits(uint64_t z) {
  z += 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

inline uint64_t hash_counter(uint64_t key, uint64_t counter) { return mix_bits(mix_bits(key) ^ counter); }

inline uint64_t hash_counter(uint64_t key, uint64_t counter, uint64_t second) {
  return hash_counter(hash_counter(key, counter), second);
}

// An integer in [0, bound), bound > 0. The bias is below 2^-40 for every bound used here.
inline uint64_t hash_below(uint64_t key, uint64_t counter, uint64_t bound) {
  return (hash_counter(key, counter) >> 11) % bound;
}

// A multiple of 2^-53 in [0, 1).
inline double hash_unit(uint64_t key, uint64_t counter) {
  return static_cast<double>(hash_counter(key, counter) >> 11) * 0x1p-53;
}

// ln(x) for finite x > 0, from IEEE operations alone: x = m * 2^e with m near 1, then the series of atanh.
inline double portable_log(double x) {
  int exponent = 0;
  double m = std::frexp(x, &exponent);
  if (m < 0.70710678118654752) {
    m *= 2.0;
    --exponent;
  }
  const double z = (m - 1.0) / (m + 1.0);
  const double z2 = z * z;
  double sum = 0.0;
  for (int n = 23; n >= 1; n -= 2) sum = sum * z2 + 1.0 / n;
  return 2.0 * z * sum + exponent * 0.69314718055994531;
}

// A number of the standard normal distribution, by Marsaglia's polar method.
inline double hash_normal(uint64_t key, uint64_t counter) {
  for (uint64_t attempt = 0;; ++attempt) {
    const uint64_t bits = hash_counter(key, counter, attempt);
    const double a = static_cast<double>(static_cast<int32_t>(bits >> 32)) * 0x1p-31;
    const double b = static_cast<double>(static_cast<int32_t>(bits)) * 0x1p-31;
    const double square = a * a + b * b;
    if (square > 0.0 && square < 1.0) return a * std::sqrt(-2.0 * portable_log(square) / square);
  }
}

}  // namespace tokendraw::cases
