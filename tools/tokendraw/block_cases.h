// SPDX-License-Identifier: Apache-2.0
// The building blocks' part of `tokendraw check` and of the self-test on AMD GPUs: calls of every kind, whose outputs
// two samplers must agree on to the last byte, gaps between rows included; and what can be said of one alone.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace tokendraw::cases {

inline constexpr const char* kBlocks = "blocks/";  // how every name begins

struct BlockCase {
  std::string name;
  int64_t columns;
  // What is wrong with the outputs of `found`, in a sentence; empty: nothing. `expected` is of the CPU.
  std::function<std::string(TokendrawSampler* expected, TokendrawSampler* found)> compare;
  // The same beside definitions: softmax in double by the C library's functions, sums of integers one by one, tokens of
  // `reference` for filters of logits. May be empty.
  std::function<std::string(TokendrawSampler* reference, TokendrawSampler* found)> compare_with_definition;
};

struct BlockListOptions {
  bool quick = false;  // about a tenth
  int64_t max_columns = int64_t{1} << 40;
};

std::vector<BlockCase> list_block_cases(const BlockListOptions& options);

}  // namespace tokendraw::cases
