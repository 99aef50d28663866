// SPDX-License-Identifier: Apache-2.0
// Fills of random numbers for tests.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <string>
#include <vector>

namespace tokendraw::cases {

struct RandomCase {
  TokendrawGenerator generator = TOKENDRAW_GENERATOR_PHILOX;
  TokendrawRandomKind kind = TOKENDRAW_RANDOM_U32;
  int64_t count = 100;
  bool per_row = false;
  int64_t gap = 0;
  int32_t lead = 0;

  std::string text() const {
    return std::string(generator == TOKENDRAW_GENERATOR_XORWOW ? "xorwow" : "philox") + ", kind " +
           std::to_string(kind) + ", count " + std::to_string(count) + (per_row ? ", per row" : "") + ", gap " +
           std::to_string(gap) + ", lead " + std::to_string(lead);
  }
};

inline constexpr int64_t kRandomRows = 4;

struct RandomCall {
  std::vector<unsigned char> output;
  std::vector<uint64_t> seeds = {0, 1, 0x123456789abcdef, ~uint64_t{0}};
  std::vector<uint64_t> subsequences = {0, 7, 0x100000002, 1};
  std::vector<uint64_t> offsets = {0, 3, 0xfffffffffffffffe, 1000003};
  TokendrawRandom random;

  explicit RandomCall(const RandomCase& c) {
    const size_t bytes = c.kind == TOKENDRAW_RANDOM_U64 ? 8 : 4;
    const int64_t stride = c.count + c.gap;
    output.assign(static_cast<size_t>(c.lead + kRandomRows * stride) * bytes, 0x5a);
    tokendraw_init_random(&random);
    random.generator = c.generator;
    random.kind = c.kind;
    random.rows = kRandomRows;
    random.count = c.count;
    random.seed = 42;
    random.offset = 5;
    random.output = output.data() + static_cast<size_t>(c.lead) * bytes;
    random.output_stride = stride;
    if (!c.per_row) return;
    random.seed_per_row = seeds.data();
    random.offset_per_row = offsets.data();
    if (c.generator == TOKENDRAW_GENERATOR_PHILOX) random.subsequence_per_row = subsequences.data();
  }
  RandomCall(const RandomCall&) = delete;
  RandomCall& operator=(const RandomCall&) = delete;
};

inline std::vector<RandomCase> random_cases(const std::vector<int64_t>& counts) {
  std::vector<RandomCase> list;
  int turn = 0;
  for (const int64_t count : counts) {
    for (const auto generator : {TOKENDRAW_GENERATOR_PHILOX, TOKENDRAW_GENERATOR_XORWOW}) {
      for (const auto kind :
           {TOKENDRAW_RANDOM_U32, TOKENDRAW_RANDOM_U64, TOKENDRAW_RANDOM_F32, TOKENDRAW_RANDOM_F32_POSITIVE}) {
        ++turn;
        list.push_back({generator, kind, count, turn % 2 == 0, turn % 3 * 3, turn % 5 / 4});
        list.push_back({generator, kind, count, turn % 2 != 0, turn % 3 == 0 ? 4 : 0, 0});
      }
    }
  }
  return list;
}

}  // namespace tokendraw::cases
