// SPDX-License-Identifier: Apache-2.0
// Prefix sums for tests: rows of every kind, with everything that a caller may choose.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace tokendraw::cases {

struct PrefixSumCase {
  TokendrawNumber number = TOKENDRAW_NUMBER_F32;
  int32_t vocab = 1000;
  bool exclusive = false;
  bool in_place = false;
  int64_t gap = 0;
  int32_t lead = 0;

  std::string text() const {
    return std::string(number == TOKENDRAW_NUMBER_F32 ? "f32" : "u64") + ", vocab " + std::to_string(vocab) +
           (exclusive ? ", exclusive" : "") + (in_place ? ", in place" : "") + ", gap " + std::to_string(gap) +
           ", lead " + std::to_string(lead);
  }
};

inline constexpr int64_t kPrefixSumRows = 9;

// Element `id` of a row of a kind: 0 flat, 1 random, 2 falling fast, 3 rising fast, 4 one heavy among light ones, 5
// nothing but zeros, 6 subnormal, 7 NaN, negative, -0 and infinite among others, 8 near the largest float's share.
inline float probability_of_kind(int64_t kind, int32_t id, int32_t vocab, std::mt19937& engine) {
  const float flat = 1.0f / static_cast<float>(vocab);
  const float random = std::uniform_real_distribution<float>(0.0f, 2.0f)(engine) * flat;
  const auto share = static_cast<float>(id) / static_cast<float>(vocab);
  switch (kind) {
    case 0:
      return flat;
    case 2:
      return std::exp(-60.0f * share) * 0.1f;
    case 3:
      return std::exp(60.0f * share - 62.0f);
    case 4:
      return id == vocab / 3 ? 0.97f : random * 0.03f;
    case 5:
      return 0.0f;
    case 6:
      return static_cast<float>(engine() % 1000) * std::numeric_limits<float>::denorm_min();
    case 7: {
      constexpr float kOdd[] = {std::numeric_limits<float>::quiet_NaN(), -0.25f, -0.0f,
                                std::numeric_limits<float>::infinity()};
      return engine() % 5 == 0 ? kOdd[engine() % 4] : random;
    }
    case 8:
      return 1e32f * random;
    default:
      return random;
  }
}

struct PrefixSumCall {
  std::vector<unsigned char> input;
  std::vector<unsigned char> output;
  std::vector<uint32_t> status = std::vector<uint32_t>(kPrefixSumRows, 0xabcdu);
  TokendrawPrefixSum sum;

  explicit PrefixSumCall(const PrefixSumCase& c) {
    const size_t bytes = c.number == TOKENDRAW_NUMBER_F32 ? 4 : 8;
    const int64_t stride = c.vocab + c.gap;
    const auto elements = static_cast<size_t>(c.lead + kPrefixSumRows * stride);
    input.assign(elements * bytes, 0xff);
    output.assign(elements * bytes, 0x5a);
    std::mt19937 engine(static_cast<uint32_t>(c.vocab));
    for (int64_t row = 0; row < kPrefixSumRows; ++row) {
      for (int32_t id = 0; id < c.vocab; ++id) {
        const float p = probability_of_kind(row, id, c.vocab, engine);
        const uint64_t integer = (uint64_t{engine()} << 32 | engine()) >> (row * 8 % 64);
        unsigned char* to = input.data() + static_cast<size_t>(c.lead + row * stride + id) * bytes;
        if (bytes == 4) std::memcpy(to, &p, 4);
        if (bytes == 8) std::memcpy(to, &integer, 8);
      }
    }
    tokendraw_init_prefix_sum(&sum);
    sum.input = input.data() + static_cast<size_t>(c.lead) * bytes;
    sum.number = c.number;
    sum.vocab = c.vocab;
    sum.rows = kPrefixSumRows;
    sum.input_stride = stride;
    sum.exclusive = c.exclusive ? 1 : 0;
    sum.output = c.in_place ? const_cast<void*>(sum.input) : output.data() + static_cast<size_t>(c.lead) * bytes;
    sum.output_stride = stride;
    sum.row_status = status.data();
  }
  PrefixSumCall(const PrefixSumCall&) = delete;
  PrefixSumCall& operator=(const PrefixSumCall&) = delete;

  template <typename T>
  const T* row(const void* matrix, int64_t row) const {
    return static_cast<const T*>(matrix) + row * sum.input_stride;
  }
};

inline std::vector<PrefixSumCase> prefix_sum_cases(const std::vector<int32_t>& vocabs) {
  std::vector<PrefixSumCase> list;
  int32_t turn = 0;
  for (const int32_t vocab : vocabs) {
    for (const auto number : {TOKENDRAW_NUMBER_F32, TOKENDRAW_NUMBER_U64}) {
      for (const bool exclusive : {false, true}) {
        for (const bool in_place : {false, true}) {
          ++turn;
          list.push_back({number, vocab, exclusive, in_place, turn % 3 * 4 - turn % 2 * (turn % 3), turn % 5 / 3});
        }
      }
    }
  }
  return list;
}

}  // namespace tokendraw::cases
