// SPDX-License-Identifier: Apache-2.0
// The case list: one list of batches that `tokendraw check`, the tests and later backends all go through. A case is a
// small value with a name from which it can be rebuilt; case_batch.h makes its arrays.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "row_kinds.h"

namespace tokendraw::cases {

enum class FilterGroup : uint8_t {
  kScalar,   // one setting for the batch, given as scalars
  kTypical,  // settings in common use, one a row
  kEdges,    // parameters at their edges, bad ones among them, one a row
  kRandom,   // every parameter of every row drawn from the two above
};

// What changes the logits before the filters.
enum class Extras : uint8_t {
  kNone,
  kMask,        // seven tenths of the tokens, another mask for each row
  kMaskFew,     // masks that leave no token, one or two
  kMaskShared,  // one mask for all rows
  kBias,        // dense, another for each row
  kBiasShared,  // dense, one for all rows
  kBiasWild,    // dense, with -inf, +inf, NaN and values that overflow
  kBiasList,    // sparse, with ids out of range and ids listed twice
  kPenalties,   // a history with ids out of range and ids listed twice; some rows' penalties have no meaning
  kEverything,  // mask, sparse bias and penalties
};

enum class Layout : uint8_t {
  kPacked,
  kStrided,     // padded columns hold +inf
  kMisaligned,  // rows start at odd elements, and +inf lies before and between them
  kIndexed,     // several output rows read one row of logits
};

enum class Randomness : uint8_t {
  kSeed,       // one seed; the stream is the row number
  kSeeds,      // seed, stream and offset for each row
  kRandomU64,  // numbers handed in, 0 and 2^64 - 1 among them
  kRandomF32,  // the same as floats, some outside [0, 1)
};

struct Case {
  int32_t vocab = 1;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  RowKind kind = RowKind::kNormal1;
  FilterGroup filters = FilterGroup::kTypical;
  Extras extras = Extras::kNone;
  Layout layout = Layout::kPacked;
  Randomness randomness = Randomness::kSeed;
  TokendrawTopPBase base = TOKENDRAW_TOP_P_AFTER_TOP_K;
  uint64_t seed = 0;  // of the data; 0 is the list as it is pinned

  bool operator==(const Case&) const = default;
};

// "1025/bf16/normal5/edges/mask/strided/seeds/after-top-k", and "/7" behind it where seed is 7.
std::string case_id(const Case& c);

// The inverse; nothing if the text is not an id.
std::optional<Case> parse_case_id(std::string_view id);

// How many output rows a case has: fewer where rows are long. 1 to 24.
int64_t count_case_rows(const Case& c);

struct CaseListOptions {
  bool quick = false;  // a sixteenth of the list or less, chosen by the names, the same every time
  uint64_t seed = 0;
  int32_t max_vocab = std::numeric_limits<int32_t>::max();
};

// Vocabulary sizes (cases.md 24 and sizes around vector widths) x dtypes x kinds of rows x filter groups, crossed with
// extras, layouts, randomness and bases by rotation: in the whole list every value of one meets every value of another.
// About 20000 cases; the order is by vocabulary.
std::vector<Case> list_cases(const CaseListOptions& options);

}  // namespace tokendraw::cases
