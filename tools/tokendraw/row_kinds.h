// SPDX-License-Identifier: Apache-2.0
// Rows of logits that samplers found hard, by name. Each is a pure function of (kind, vocab, dtype, key).
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace tokendraw::cases {

enum class RowKind : uint8_t {
  kNormal1,        // normal, standard deviation 1: flat, its nucleus holds much of the row
  kNormal5,        // normal, standard deviation 5: peaked
  kEqual,          // one value everywhere
  kAscending,      // the best token last
  kDescending,     // the best token first
  kTwoValued,      // many ties at two values
  kOneFinite,      // one finite logit among -inf
  kHalfRemoved,    // the second half -inf, as a padded vocabulary
  kMostRemoved,    // 15 of 16 logits -inf, at random places
  kInfinityOnce,   // +inf at one place
  kInfinityTwice,  // +inf at two places (one if there is only one)
  kSomeNan,        // NaN at a quarter of the places
  kAllNan,
  kAllRemoved,    // -inf everywhere
  kSubnormal,     // subnormal values of both signs
  kBinaryShares,  // 0, -1, -2, -3, -3 and -inf: shares 1/2, 1/4, 1/8, ... where the scale log2(e) / T is 1
  kAdjacent,      // four adjacent values of the dtype
  kQuantised,     // multiples of 1/4: ties everywhere, at every cut
  kOutlierLane,   // the large logits all at ids that are congruent modulo 16
  kOutlierSlice,  // the large logits all in 64 neighbouring ids
  kOutlierTail,   // the large logits all in the last few ids
  kSignedZeros,   // +0 and -0, mixed with small negative values
  kHuge,          // up to the largest finite values: differences overflow
  kCliff,         // values about 42 * ln 2 below the maximum, where weights reach 0
  kLightTail,     // one token at 0, all others at -18: weights of about 2^-26
  kManyBest,      // a third of the row ties for the best
  kStairs,        // blocks of equal values, each lower than the one before
  kGeometric,     // logits -i / 8 in a scattered order: smooth, with a long tail of small weights
};

std::span<const RowKind> all_row_kinds();
const char* row_kind_name(RowKind kind);
std::optional<RowKind> find_row_kind(std::string_view name);

// Writes `vocab` values of the dtype to `logits`.
void generate_row(RowKind kind, int32_t vocab, TokendrawDtype dtype, uint64_t key, void* logits);

}  // namespace tokendraw::cases
