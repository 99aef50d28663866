// SPDX-License-Identifier: Apache-2.0
#include "cases.h"

#include <array>
#include <charconv>
#include <set>

#include "case_random.h"

namespace tokendraw::cases {
namespace {

template <typename T>
struct Named {
  T value;
  const char* name;
};

constexpr std::array kDtypes = {
    Named<TokendrawDtype>{TOKENDRAW_DTYPE_F32, "f32"},
    Named<TokendrawDtype>{TOKENDRAW_DTYPE_F16, "f16"},
    Named<TokendrawDtype>{TOKENDRAW_DTYPE_BF16, "bf16"},
};
constexpr std::array kFilterGroups = {
    Named<FilterGroup>{FilterGroup::kScalar, "scalar"},
    Named<FilterGroup>{FilterGroup::kTypical, "typical"},
    Named<FilterGroup>{FilterGroup::kEdges, "edges"},
    Named<FilterGroup>{FilterGroup::kRandom, "random"},
};
constexpr std::array kExtras = {
    Named<Extras>{Extras::kNone, "plain"},          Named<Extras>{Extras::kMask, "mask"},
    Named<Extras>{Extras::kMaskFew, "mask-few"},    Named<Extras>{Extras::kMaskShared, "mask-shared"},
    Named<Extras>{Extras::kBias, "bias"},           Named<Extras>{Extras::kBiasShared, "bias-shared"},
    Named<Extras>{Extras::kBiasWild, "bias-wild"},  Named<Extras>{Extras::kBiasList, "bias-list"},
    Named<Extras>{Extras::kPenalties, "penalties"}, Named<Extras>{Extras::kEverything, "everything"},
};
constexpr std::array kLayouts = {
    Named<Layout>{Layout::kPacked, "packed"},
    Named<Layout>{Layout::kStrided, "strided"},
    Named<Layout>{Layout::kMisaligned, "misaligned"},
    Named<Layout>{Layout::kIndexed, "indexed"},
};
constexpr std::array kRandomness = {
    Named<Randomness>{Randomness::kSeed, "seed"},
    Named<Randomness>{Randomness::kSeeds, "seeds"},
    Named<Randomness>{Randomness::kRandomU64, "u64"},
    Named<Randomness>{Randomness::kRandomF32, "f32"},
};
constexpr std::array kBases = {
    Named<TokendrawTopPBase>{TOKENDRAW_TOP_P_AFTER_TOP_K, "after-top-k"},
    Named<TokendrawTopPBase>{TOKENDRAW_TOP_P_ALL, "all"},
    Named<TokendrawTopPBase>{TOKENDRAW_TOP_P_AFTER_ALL, "after-all"},
};

template <typename T, size_t N>
const char* name_of(const std::array<Named<T>, N>& list, T value) {
  for (const Named<T>& named : list) {
    if (named.value == value) return named.name;
  }
  return "unknown";
}

template <typename T, size_t N>
bool find_named(const std::array<Named<T>, N>& list, std::string_view name, T& value) {
  for (const Named<T>& named : list) {
    if (name == named.name) {
      value = named.value;
      return true;
    }
  }
  return false;
}

template <typename T>
bool parse_integer(std::string_view text, T& value) {
  const char* end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, value);
  return error == std::errc() && rest == end;
}

constexpr int32_t kMaxVocab = 1 << 21;

// Sizes that take long are visited with fewer combinations of the other dimensions.
constexpr std::array kSmallVocabs = {1, 2, 3, 5, 17, 31, 32, 33, 63, 64, 65, 257, 1023, 1024, 1025};
constexpr std::array kMiddleVocabs = {4097, 32001};
constexpr std::array kLargeVocabs = {50257, 128256, 151665, 201088, 262144, kMaxVocab};

constexpr size_t kExtrasPerSmallCase = 4;

uint64_t hash_name(std::string_view text) {
  uint64_t hash = 1;
  for (const char c : text) hash = hash_counter(hash, static_cast<unsigned char>(c));
  return hash;
}

class ListBuilder {
 public:
  explicit ListBuilder(const CaseListOptions& options) : options_(options) {}

  void add(int32_t vocab, size_t groups, size_t extras, uint64_t quick_one_in) {
    if (vocab > options_.max_vocab) return;
    const std::span<const RowKind> kinds = all_row_kinds();
    for (size_t d = 0; d < kDtypes.size(); ++d) {
      for (size_t k = 0; k < kinds.size(); ++k) {
        if (vocab == kMaxVocab && k % kDtypes.size() != d) continue;  // its rows take a quarter of a second to sort
        for (size_t group = 0; group < groups; ++group) {
          for (size_t extra = 0; extra < extras; ++extra)
            add_one(vocab, kDtypes[d].value, kinds[k], group, quick_one_in);
        }
      }
    }
  }

  std::vector<Case> take() { return std::move(cases_); }

 private:
  // Every combination has a number, from which the dimensions that rotate take theirs.
  void add_one(int32_t vocab, TokendrawDtype dtype, RowKind kind, size_t group, uint64_t quick_one_in) {
    const uint64_t n = number_++;
    const uint64_t hash = hash_counter(0x6361736573, n);
    Case c;
    c.vocab = vocab;
    c.dtype = dtype;
    c.kind = kind;
    c.filters = kFilterGroups[(group + n / 7) % kFilterGroups.size()].value;
    c.extras = kExtras[n * 3 % kExtras.size()].value;
    c.layout = kLayouts[(hash >> 8) % kLayouts.size()].value;
    c.randomness = kRandomness[(hash >> 24) % kRandomness.size()].value;
    c.base = kBases[(hash >> 40) % kBases.size()].value;
    const std::string id = case_id(c);
    c.seed = options_.seed;
    if (options_.quick && hash_name(id) % quick_one_in != 0) return;
    if (ids_.insert(id).second) cases_.push_back(c);
  }

  CaseListOptions options_;
  uint64_t number_ = 0;
  std::set<std::string> ids_;
  std::vector<Case> cases_;
};

}  // namespace

std::string case_id(const Case& c) {
  std::string id = std::to_string(c.vocab);
  for (const char* part :
       {name_of(kDtypes, c.dtype), row_kind_name(c.kind), name_of(kFilterGroups, c.filters), name_of(kExtras, c.extras),
        name_of(kLayouts, c.layout), name_of(kRandomness, c.randomness), name_of(kBases, c.base)}) {
    id += '/';
    id += part;
  }
  if (c.seed != 0) {
    id += '/';
    id += std::to_string(c.seed);
  }
  return id;
}

std::optional<Case> parse_case_id(std::string_view id) {
  std::vector<std::string_view> parts;
  while (true) {
    const size_t slash = id.find('/');
    parts.push_back(id.substr(0, slash));
    if (slash == std::string_view::npos) break;
    id.remove_prefix(slash + 1);
  }
  if (parts.size() != 8 && parts.size() != 9) return std::nullopt;
  Case c;
  const std::optional<RowKind> kind = find_row_kind(parts[2]);
  const bool understood = parse_integer(parts[0], c.vocab) && c.vocab >= 1 && c.vocab <= kMaxVocab && kind &&
                          find_named(kDtypes, parts[1], c.dtype) && find_named(kFilterGroups, parts[3], c.filters) &&
                          find_named(kExtras, parts[4], c.extras) && find_named(kLayouts, parts[5], c.layout) &&
                          find_named(kRandomness, parts[6], c.randomness) && find_named(kBases, parts[7], c.base) &&
                          (parts.size() == 8 || parse_integer(parts[8], c.seed));
  if (!understood) return std::nullopt;
  c.kind = *kind;
  return c;
}

int64_t count_case_rows(const Case& c) {
  if (c.vocab <= 2048) return 24;
  if (c.vocab <= 40000) return 8;
  return c.vocab <= 300000 ? 4 : 3;
}

std::vector<Case> list_cases(const CaseListOptions& options) {
  ListBuilder builder(options);
  for (const int32_t vocab : kSmallVocabs) {
    builder.add(vocab, kFilterGroups.size(), kExtrasPerSmallCase, vocab < 1000 ? 16 : 32);
  }
  for (const int32_t vocab : kMiddleVocabs) builder.add(vocab, kFilterGroups.size(), 1, 16);
  for (const int32_t vocab : kLargeVocabs) builder.add(vocab, 1, 1, 16);
  return builder.take();
}

}  // namespace tokendraw::cases
