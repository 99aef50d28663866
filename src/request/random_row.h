// SPDX-License-Identifier: Apache-2.0
// Rows of random numbers: which words a row begins with, and its elements from words.
#pragma once

#include "draw/random_words.h"
#include "request/operation.h"

namespace tokendraw::request {

TOKENDRAW_HD uint64_t words_of_element(RandomKind kind) { return kind == RandomKind::kU64 ? 2 : 1; }

TOKENDRAW_HD draw::PhiloxWords philox_words(const RandomFill& fill, int64_t row, int64_t first_element) {
  const uint64_t subsequence = fill.subsequence_is_row ? static_cast<uint64_t>(row) : fill.subsequence.at(row);
  return {fill.seed.at(row), subsequence, fill.offset.at(row),
          static_cast<uint64_t>(first_element) * words_of_element(fill.kind)};
}

TOKENDRAW_HD draw::Xorwow xorwow_words(const RandomFill& fill, int64_t row, int64_t first_element) {
  draw::Xorwow words = draw::make_xorwow(fill.seed.at(row));
  words.skip(fill.offset.at(row));
  words.skip(static_cast<uint64_t>(first_element) * words_of_element(fill.kind));
  return words;
}

// The next element as bits, in the low half but for u64.
template <typename Words>
TOKENDRAW_HD uint64_t next_element(RandomKind kind, Words& words) {
  const uint32_t word = words.next();
  switch (kind) {
    case RandomKind::kU64:
      return static_cast<uint64_t>(words.next()) << 32 | word;
    case RandomKind::kF32:
      return draw::float_bits(draw::unit_float(word));
    case RandomKind::kF32Positive:
      return draw::float_bits(draw::positive_unit_float(word));
    case RandomKind::kU32:
      break;
  }
  return word;
}

}  // namespace tokendraw::request
