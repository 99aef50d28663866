// SPDX-License-Identifier: Apache-2.0
#include "row_kinds.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "case_random.h"
#include "stored_logit.h"

namespace tokendraw::cases {
namespace {

struct NamedKind {
  RowKind kind;
  const char* name;
};

constexpr std::array kNamedKinds = {
    NamedKind{RowKind::kNormal1, "normal1"},
    NamedKind{RowKind::kNormal5, "normal5"},
    NamedKind{RowKind::kEqual, "equal"},
    NamedKind{RowKind::kAscending, "ascending"},
    NamedKind{RowKind::kDescending, "descending"},
    NamedKind{RowKind::kTwoValued, "two-valued"},
    NamedKind{RowKind::kOneFinite, "one-finite"},
    NamedKind{RowKind::kHalfRemoved, "half-removed"},
    NamedKind{RowKind::kMostRemoved, "most-removed"},
    NamedKind{RowKind::kInfinityOnce, "infinity-once"},
    NamedKind{RowKind::kInfinityTwice, "infinity-twice"},
    NamedKind{RowKind::kSomeNan, "some-nan"},
    NamedKind{RowKind::kAllNan, "all-nan"},
    NamedKind{RowKind::kAllRemoved, "all-removed"},
    NamedKind{RowKind::kSubnormal, "subnormal"},
    NamedKind{RowKind::kBinaryShares, "binary-shares"},
    NamedKind{RowKind::kAdjacent, "adjacent"},
    NamedKind{RowKind::kQuantised, "quantised"},
    NamedKind{RowKind::kOutlierLane, "outlier-lane"},
    NamedKind{RowKind::kOutlierSlice, "outlier-slice"},
    NamedKind{RowKind::kOutlierTail, "outlier-tail"},
    NamedKind{RowKind::kSignedZeros, "signed-zeros"},
    NamedKind{RowKind::kHuge, "huge"},
    NamedKind{RowKind::kCliff, "cliff"},
    NamedKind{RowKind::kLightTail, "light-tail"},
    NamedKind{RowKind::kManyBest, "many-best"},
    NamedKind{RowKind::kStairs, "stairs"},
    NamedKind{RowKind::kGeometric, "geometric"},
};

constexpr std::array kKinds = [] {
  std::array<RowKind, kNamedKinds.size()> kinds{};
  for (size_t i = 0; i < kinds.size(); ++i) kinds[i] = kNamedKinds[i].kind;
  return kinds;
}();

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// An id that moves with the key: `place(key, 0)` and `place(key, 1)` differ wherever vocab > 1.
int64_t place(uint64_t key, uint64_t which, int32_t vocab) {
  const auto first = static_cast<int64_t>(hash_below(key, 1u << 30, static_cast<uint64_t>(vocab)));
  if (which == 0 || vocab == 1) return first;
  return (first + 1 + static_cast<int64_t>(hash_below(key, which, static_cast<uint64_t>(vocab) - 1))) % vocab;
}

float largest_of(TokendrawDtype dtype) {
  return dtype == TOKENDRAW_DTYPE_F16 ? 65504.0f : dtype == TOKENDRAW_DTYPE_BF16 ? 0x1.fep127f : 0x1.fffffep127f;
}

// A place in a scattered order of 0..vocab-1: a bijection of the next power of two (the multiplier is odd), walked on
// until it lands below vocab.
int64_t scattered(int64_t id, int32_t vocab, uint64_t key) {
  int64_t size = 1;
  while (size < vocab) size *= 2;
  const auto multiplier = static_cast<int64_t>((hash_counter(key, 77) & 0xffffff) | 1);
  do {
    id = (id * multiplier + 12345) & (size - 1);
  } while (id >= vocab);
  return id;
}

float with_outliers(int64_t id, bool outlier, uint64_t key) {
  const auto noise = static_cast<float>(hash_normal(key, static_cast<uint64_t>(id)));
  return outlier ? 12.0f + noise : noise;
}

float value_of(RowKind kind, int64_t id, int32_t vocab, TokendrawDtype dtype, uint64_t key) {
  const auto counter = static_cast<uint64_t>(id);
  const auto normal = [&] { return static_cast<float>(hash_normal(key, counter)); };
  switch (kind) {
    case RowKind::kNormal1:
      return normal();
    case RowKind::kNormal5:
      return 5.0f * normal();
    case RowKind::kEqual:
      return 0.375f * static_cast<float>(static_cast<int64_t>(key % 9) - 4);
    case RowKind::kAscending:
      return 20.0f * static_cast<float>(id) / static_cast<float>(vocab) - 5.0f;
    case RowKind::kDescending:
      return 15.0f - 20.0f * static_cast<float>(id) / static_cast<float>(vocab);
    case RowKind::kTwoValued:
      return hash_below(key, counter, key % 3 == 0 ? 64 : 2) == 0 ? 1.5f : -0.75f;
    case RowKind::kOneFinite:
      return id == place(key, 0, vocab) ? -3.0f : -kInfinity;
    case RowKind::kHalfRemoved:
      return id > vocab / 2 ? -kInfinity : 3.0f * normal();
    case RowKind::kMostRemoved:
      return hash_below(key ^ 1, counter, 16) != 0 && id != place(key, 0, vocab) ? -kInfinity : 2.0f * normal();
    case RowKind::kInfinityOnce:
      return id == place(key, 0, vocab) ? kInfinity : normal();
    case RowKind::kInfinityTwice:
      return id == place(key, 0, vocab) || id == place(key, 1, vocab) ? kInfinity : normal();
    case RowKind::kSomeNan:
      return hash_below(key ^ 1, counter, 4) == 0 ? (hash_counter(key, counter) & 1 ? kNan : -kNan) : 2.0f * normal();
    case RowKind::kAllNan:
      return kNan;
    case RowKind::kAllRemoved:
      return -kInfinity;
    case RowKind::kBinaryShares: {
      const int64_t start = place(key, 0, vocab);
      constexpr std::array kSteps = {0.0f, -1.0f, -2.0f, -3.0f, -3.0f};
      // Five ids a step apart, the heaviest not always the smallest; a later one does not overwrite an earlier.
      for (size_t i = 0; i < kSteps.size(); ++i) {
        if ((start + static_cast<int64_t>(i) * 7) % vocab == id) return kSteps[i];
      }
      return -kInfinity;
    }
    case RowKind::kQuantised:
      return std::nearbyint(8.0f * normal()) * 0.25f;
    case RowKind::kOutlierLane:
      return with_outliers(id, id % 16 == static_cast<int64_t>(key % 16) && hash_below(key ^ 1, counter, 8) == 0, key);
    case RowKind::kOutlierSlice: {
      const int64_t start = place(key, 0, vocab);
      return with_outliers(id, id >= start && id < start + 64, key);
    }
    case RowKind::kOutlierTail:
      return with_outliers(id, id >= vocab - std::max<int64_t>(1, vocab % 16), key);
    case RowKind::kSignedZeros:
      switch (hash_below(key, counter, 3)) {
        case 0:
          return 0.0f;
        case 1:
          return -0.0f;
        default:
          return -0.5f;
      }
    case RowKind::kHuge: {
      constexpr std::array kParts = {1.0f, -1.0f, 0.5f, 0.9999f, 0.0f, -0.25f};
      return largest_of(dtype) * kParts[hash_below(key, counter, kParts.size())];
    }
    case RowKind::kCliff:
      return id == place(key, 0, vocab) ? 2.0f : -26.5f - static_cast<float>(hash_below(key, counter, 1024)) / 256.0f;
    case RowKind::kLightTail:
      return id == place(key, 0, vocab) ? 0.0f : -18.0f;
    case RowKind::kManyBest:
      return hash_below(key, counter, 3) == 0 ? 4.25f : std::min(4.0f, 2.0f * normal());
    case RowKind::kStairs:
      return -0.5f * static_cast<float>(id * 32 / vocab);
    case RowKind::kGeometric:
      return -0.125f * static_cast<float>(scattered(id, vocab, key));
    case RowKind::kSubnormal:  // made of bits, below
    case RowKind::kAdjacent:
      break;
  }
  return 0.0f;
}

// Kinds that are steps of the dtype itself, not rounded numbers.
std::optional<uint32_t> bits_of(RowKind kind, int64_t id, TokendrawDtype dtype, uint64_t key) {
  const uint64_t hash = hash_counter(key, static_cast<uint64_t>(id));
  if (kind == RowKind::kAdjacent) {
    const float start = key % 2 == 0 ? 1.0f : -2.5f;
    return encode_logit(start, dtype) + static_cast<uint32_t>(hash % 4);
  }
  if (kind == RowKind::kSubnormal) {
    const uint32_t field_bits = dtype == TOKENDRAW_DTYPE_F32 ? 23 : dtype == TOKENDRAW_DTYPE_F16 ? 10 : 7;
    const uint32_t sign = (hash & 1) != 0 ? (dtype == TOKENDRAW_DTYPE_F32 ? 0x80000000u : 0x8000u) : 0u;
    return sign | (static_cast<uint32_t>(hash >> 8) & ((1u << field_bits) - 1u));
  }
  return std::nullopt;
}

}  // namespace

std::span<const RowKind> all_row_kinds() { return kKinds; }

const char* row_kind_name(RowKind kind) {
  for (const NamedKind& named : kNamedKinds) {
    if (named.kind == kind) return named.name;
  }
  return "unknown";
}

std::optional<RowKind> find_row_kind(std::string_view name) {
  for (const NamedKind& named : kNamedKinds) {
    if (name == named.name) return named.kind;
  }
  return std::nullopt;
}

void generate_row(RowKind kind, int32_t vocab, TokendrawDtype dtype, uint64_t key, void* logits) {
  for (int64_t id = 0; id < vocab; ++id) {
    const std::optional<uint32_t> bits = bits_of(kind, id, dtype, key);
    store_logit_bits(logits, id, dtype, bits ? *bits : encode_logit(value_of(kind, id, vocab, dtype, key), dtype));
  }
}

}  // namespace tokendraw::cases
