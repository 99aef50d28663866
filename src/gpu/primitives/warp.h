// SPDX-License-Identifier: Apache-2.0
// What the lanes of one warp do together. All lanes of the warp call, and all get the result unless said otherwise.
#pragma once

#include "draw/rank_key.h"
#include "gpu/platform/platform.h"

namespace tokendraw::gpu {

template <int kWave>
TOKENDRAW_DEVICE uint32_t lane_index() {
  return platform::thread_index() % kWave;
}
template <int kWave>
TOKENDRAW_DEVICE uint32_t warp_index() {
  return platform::thread_index() / kWave;
}

// By an operation that does not care for order: in pairs of pairs, so that each value goes through log2(kWave)
// operations and all lanes get the same bits.
template <int kWave, typename T, typename Operation>
TOKENDRAW_DEVICE T warp_combine(T value, const Operation& of_two) {
#pragma unroll
  for (uint32_t mask = kWave / 2; mask > 0; mask /= 2) {
    value = of_two(value, platform::warp_shuffle_xor<kWave>(value, mask));
  }
  return value;
}

template <int kWave>
TOKENDRAW_DEVICE float warp_max(float value) {
  return warp_combine<kWave>(value, [](float a, float b) { return platform::max_number(a, b); });
}
template <int kWave>
TOKENDRAW_DEVICE float warp_sum(float value) {
  return warp_combine<kWave>(value, [](float a, float b) { return draw::add_rn(a, b); });
}
template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_sum(uint64_t value) {
  return warp_combine<kWave>(value, [](uint64_t a, uint64_t b) { return a + b; });
}

// The same where each value is below 2^52.
template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_sum_of_52_bits(uint64_t value) {
  constexpr uint32_t kHalf = 26;  // 64 of them fit into 32 bits
  const uint32_t low = platform::warp_add<kWave>(static_cast<uint32_t>(value) & ((1u << kHalf) - 1));
  const uint32_t high = platform::warp_add<kWave>(static_cast<uint32_t>(value >> kHalf));
  return (static_cast<uint64_t>(high) << kHalf) + low;
}

// The sum of the lanes up to and including this one.
template <int kWave>
TOKENDRAW_DEVICE uint64_t warp_inclusive_sum(uint64_t value) {
  const uint32_t lane = lane_index<kWave>();
#pragma unroll
  for (uint32_t by = 1; by < kWave; by *= 2) {
    const uint64_t before = platform::warp_shuffle_up<kWave>(value, by);
    if (lane >= by) value += before;
  }
  return value;
}

// The smallest of (below, reaches] for which `enough` is true, which it is for `reaches` and from its smallest one on.
// Every step tests kWave points.
template <int kWave, typename Predicate>
TOKENDRAW_DEVICE uint32_t warp_smallest(uint32_t below, uint32_t reaches, const Predicate& enough) {
  while (reaches - below > 1) {
    const uint32_t step = (reaches - below - 1) / kWave + 1;
    const uint64_t point = below + static_cast<uint64_t>(step) * (lane_index<kWave>() + 1);
    const bool yes = point >= reaches || enough(static_cast<uint32_t>(point));
    const auto first = static_cast<uint32_t>(platform::first_bit(platform::warp_ballot<kWave>(yes)));
    const uint64_t found = below + static_cast<uint64_t>(step) * (first + 1);
    below += step * first;
    if (found < reaches) reaches = static_cast<uint32_t>(found);
  }
  return reaches;
}

}  // namespace tokendraw::gpu
