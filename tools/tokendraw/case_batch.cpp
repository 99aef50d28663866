// SPDX-License-Identifier: Apache-2.0
#include "case_batch.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "case_random.h"
#include "stored_logit.h"

namespace tokendraw::cases {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr int64_t kDistinctLogitsRows = 4;  // further rows repeat them: rows are dear to make
constexpr int64_t kAlignment = 64;

// What a hash is for; two purposes never share a number.
enum Purpose : uint64_t {
  kLogits = 1,
  kSettings,
  kSeed,
  kStream,
  kOffset,
  kNumber,
  kMaskBits,
  kBiasValues,
  kBiasEntries,
  kHistory,
  kPenaltyValues,
  kIndex,
};

template <typename T>
const T* pointer_or_null(const std::vector<T>& array) {
  return array.empty() ? nullptr : array.data();
}

// Ids of a sparse list: mostly good ones, with the bad ones of cases.md 26 and one listed twice.
std::vector<int32_t> make_list_ids(uint64_t key, int32_t vocab) {
  std::vector<int32_t> ids;
  const uint64_t count = hash_below(key, 0, static_cast<uint64_t>(std::min(vocab, 40)) + 1);
  for (uint64_t i = 0; i < count; ++i) {
    switch (hash_below(key, 100 + i, 24)) {
      case 0:
        ids.push_back(-1);
        break;
      case 1:
        ids.push_back(vocab);
        break;
      case 2:
        ids.push_back(std::numeric_limits<int32_t>::max());
        break;
      case 3:
        ids.push_back(std::numeric_limits<int32_t>::min());
        break;
      case 4:
        ids.push_back(ids.empty() ? 0 : ids.front());
        break;
      default:
        ids.push_back(static_cast<int32_t>(hash_below(key, 200 + i, static_cast<uint64_t>(vocab))));
    }
  }
  return ids;
}

}  // namespace

void CaseOutput::prepare(int64_t rows) {
  const auto n = static_cast<size_t>(rows);
  tokens.assign(n, -987654321);
  row_status.assign(n, 0xdeadbeefu);
  kept.assign(n, -987654321);
  kept_mass.assign(n, 0xdeadbeefdeadbeefu);
  logprob.assign(n, 987654.0f);
  rounds.assign(n, -987654321);
}

void CaseOutput::take_unasked(const CaseOutput& other) {
  kept = other.kept;
  kept_mass = other.kept_mass;
  logprob = other.logprob;
}

CaseBatch::CaseBatch(const Case& c) : CaseBatch(c, {}) {}

CaseBatch::CaseBatch(const Case& c, std::span<const int64_t> chosen)
    : case_(c), key_(hash_counter(c.seed, static_cast<uint64_t>(c.vocab), static_cast<uint64_t>(c.kind))) {
  key_ = hash_counter(key_, static_cast<uint64_t>(c.filters) << 8 | static_cast<uint64_t>(c.extras),
                      static_cast<uint64_t>(c.layout) << 8 | static_cast<uint64_t>(c.randomness));
  chosen_.assign(chosen.begin(), chosen.end());
  whole_ = chosen_.empty();
  for (int64_t row = 0; whole_ && row < count_case_rows(c); ++row) chosen_.push_back(row);
  make_logits();
  make_settings();
  make_randomness();
  if (has_mask()) make_mask();
  if (has_dense_bias()) make_bias();
  if (has_bias_list()) make_bias_list();
  if (has_penalties()) make_penalties();
}

bool CaseBatch::has_mask() const {
  return case_.extras == Extras::kMask || case_.extras == Extras::kMaskFew || case_.extras == Extras::kMaskShared ||
         case_.extras == Extras::kEverything;
}

bool CaseBatch::has_dense_bias() const {
  return case_.extras == Extras::kBias || case_.extras == Extras::kBiasShared || case_.extras == Extras::kBiasWild;
}

bool CaseBatch::has_bias_list() const {
  return case_.extras == Extras::kBiasList || case_.extras == Extras::kEverything;
}

bool CaseBatch::has_penalties() const {
  return case_.extras == Extras::kPenalties || case_.extras == Extras::kEverything;
}

uint64_t CaseBatch::row_key(int64_t row, uint64_t purpose) const {
  return hash_counter(key_, purpose, static_cast<uint64_t>(row));
}

void CaseBatch::make_logits() {
  const auto element_bytes = static_cast<int64_t>(dtype_bytes(case_.dtype));
  const bool indexed = case_.layout == Layout::kIndexed;
  logits_rows_ = indexed ? kDistinctLogitsRows : rows();
  row_stride_ = case_.vocab + (case_.layout == Layout::kStrided      ? 7
                               : case_.layout == Layout::kMisaligned ? 1 + case_.vocab % 2
                                                                     : 0);
  const int64_t lead = case_.layout == Layout::kMisaligned ? 1 : 0;  // elements before the first row

  logits_storage_.resize(static_cast<size_t>((logits_rows_ * row_stride_ + lead) * element_bytes + kAlignment));
  const auto address = reinterpret_cast<uintptr_t>(logits_storage_.data());
  const int64_t to_aligned = (kAlignment - static_cast<int64_t>(address % kAlignment)) % kAlignment;
  unsigned char* start = logits_storage_.data() + to_aligned;
  const uint32_t padding = encode_logit(kInfinity, case_.dtype);
  for (int64_t i = 0; i < logits_rows_ * row_stride_ + lead; ++i) store_logit_bits(start, i, case_.dtype, padding);

  std::vector<unsigned char> distinct[kDistinctLogitsRows];
  for (int64_t r = 0; r < logits_rows_; ++r) {
    const int64_t which = (indexed ? r : chosen_[static_cast<size_t>(r)]) % kDistinctLogitsRows;
    std::vector<unsigned char>& row = distinct[which];
    if (row.empty()) {
      row.resize(static_cast<size_t>(case_.vocab * element_bytes));
      generate_row(case_.kind, case_.vocab, case_.dtype, row_key(which, kLogits), row.data());
    }
    std::memcpy(start + (lead + r * row_stride_) * element_bytes, row.data(), row.size());
  }
  if (indexed) {
    for (const int64_t row : chosen_) row_index_.push_back(static_cast<int32_t>(row_key(row, kIndex) >> 62));
  }
  logits_offset_bytes_ = to_aligned + lead * element_bytes;
}

void CaseBatch::make_settings() {
  const uint64_t key = row_key(0, kSettings);
  std::vector<FilterSetting> list =
      case_.filters == FilterGroup::kEdges ? edge_settings(case_.vocab) : typical_settings();
  const size_t start = hash_below(key, 0, list.size());
  for (const int64_t row : chosen_) {
    switch (case_.filters) {
      case FilterGroup::kScalar:
        settings_.push_back(list[start]);
        break;
      case FilterGroup::kRandom:
        settings_.push_back(random_setting(case_.vocab, row_key(row, kSettings)));
        break;
      default:
        settings_.push_back(list[(start + static_cast<size_t>(row)) % list.size()]);
    }
  }
  if (case_.filters == FilterGroup::kScalar) return;
  for (const FilterSetting& setting : settings_) {
    temperature_.push_back(setting.temperature);
    top_k_.push_back(setting.top_k);
    top_p_.push_back(setting.top_p);
    min_p_.push_back(setting.min_p);
  }
}

void CaseBatch::make_randomness() {
  seed_ = row_key(-1, kSeed);
  offset_ = row_key(-1, kOffset) >> 20;
  for (const int64_t row : chosen_) {
    const uint64_t hash = row_key(row, kNumber);
    switch (case_.randomness) {
      case Randomness::kSeed:
        // The row number of the whole batch stays the stream when a row is drawn elsewhere.
        if (!whole_) streams_.push_back(static_cast<uint32_t>(row));
        break;
      case Randomness::kSeeds:
        seeds_.push_back(row_key(row, kSeed));
        streams_.push_back(static_cast<uint32_t>(row_key(row, kStream)));
        offsets_.push_back(row_key(row, kOffset));
        break;
      case Randomness::kRandomU64:
        random_u64_.push_back(row % 5 == 1 ? 0 : row % 5 == 3 ? ~uint64_t{0} : hash);
        break;
      case Randomness::kRandomF32: {
        constexpr std::array kSpecial = {0.0f, 0.99999994f, -0.0f, 0x1p-149f, 0x1p-64f, 1.0f, kNan, -0.5f};
        const auto u = static_cast<float>(hash >> 40) * 0x1p-24f;
        random_f32_.push_back(row % 3 == 1 ? kSpecial[(hash & 0xff) % kSpecial.size()] : u);
        break;
      }
    }
  }
}

void CaseBatch::make_mask() {
  const int64_t words = (case_.vocab + 31) / 32;
  const bool shared = case_.extras == Extras::kMaskShared;
  mask_row_stride_ = shared ? 0 : words + 2;
  const int64_t mask_rows = shared ? 1 : rows();
  mask_.resize(static_cast<size_t>(shared ? words : rows() * mask_row_stride_));
  for (int64_t r = 0; r < mask_rows; ++r) {
    const int64_t row = shared ? 0 : chosen_[static_cast<size_t>(r)];
    const uint64_t key = row_key(row, kMaskBits);
    uint32_t* row_words = mask_.data() + r * mask_row_stride_;
    for (int64_t w = 0; w < (shared ? words : mask_row_stride_); ++w) {
      uint32_t bits = 0;
      for (uint64_t bit = 0; bit < 32; ++bit) {
        const uint64_t id = static_cast<uint64_t>(w) * 32 + bit;
        // Bits beyond the vocabulary are set: nothing may read them.
        if (hash_below(key, id, 10) < 7 || id >= static_cast<uint64_t>(case_.vocab)) bits |= 1u << bit;
        if (case_.extras == Extras::kMaskFew && id < static_cast<uint64_t>(case_.vocab)) bits &= ~(1u << bit);
      }
      row_words[w] = bits;
    }
    if (case_.extras != Extras::kMaskFew) continue;
    for (int64_t i = 0; i < row % 3; ++i) {
      const uint64_t id = hash_below(key, static_cast<uint64_t>(i), static_cast<uint64_t>(case_.vocab));
      row_words[id / 32] |= 1u << (id % 32);
    }
  }
}

void CaseBatch::make_bias() {
  const bool shared = case_.extras == Extras::kBiasShared;
  bias_row_stride_ = shared ? 0 : case_.vocab + 3;
  bias_.assign(static_cast<size_t>(shared ? case_.vocab : rows() * bias_row_stride_), kInfinity);
  for (int64_t r = 0; r < (shared ? 1 : rows()); ++r) {
    const uint64_t key = row_key(shared ? 0 : chosen_[static_cast<size_t>(r)], kBiasValues);
    for (int64_t id = 0; id < case_.vocab; ++id) {
      const uint64_t hash = hash_counter(key, static_cast<uint64_t>(id));
      constexpr std::array kWild = {-kInfinity, kInfinity, kNan, 3e38f, -3e38f, 100.0f};
      const bool wild = case_.extras == Extras::kBiasWild && (hash & 31) == 0;
      const float plain = static_cast<float>(static_cast<int32_t>(hash >> 32)) * 0x1p-30f;
      bias_[static_cast<size_t>(r * bias_row_stride_ + id)] = wild ? kWild[(hash >> 8) % kWild.size()] : plain;
    }
  }
}

void CaseBatch::make_bias_list() {
  bias_offsets_.push_back(0);
  for (const int64_t row : chosen_) {
    const uint64_t key = row_key(row, kBiasEntries);
    uint64_t entry = 500;
    for (const int32_t id : make_list_ids(key, case_.vocab)) {
      constexpr std::array kValues = {-100.0f, 5.0f, 1.25f, -kInfinity, 0.5f, -2.0f, 20.0f};
      bias_values_.push_back(kValues[hash_below(key, entry++, kValues.size())]);
      bias_ids_.push_back(id);
    }
    bias_offsets_.push_back(static_cast<int64_t>(bias_ids_.size()));
  }
}

void CaseBatch::make_penalties() {
  constexpr std::array kRepetition = {1.0f, 1.2f, 0.8f, 2.0f, 1.05f};
  constexpr std::array kFrequency = {0.0f, 0.5f, -0.5f, 0.1f};
  constexpr std::array kPresence = {0.0f, 0.3f, -1.0f};
  const bool with_counts = (key_ & 1) == 0;
  history_offsets_.push_back(0);
  for (const int64_t row : chosen_) {
    const uint64_t key = row_key(row, kHistory);
    uint64_t entry = 500;
    for (const int32_t id : make_list_ids(key, case_.vocab)) {
      if (with_counts) history_counts_.push_back(static_cast<int32_t>(hash_below(key, entry++, 5)));
      history_ids_.push_back(id);
    }
    history_offsets_.push_back(static_cast<int64_t>(history_ids_.size()));
    // Scalars must be valid and the same for all rows; arrays may hold values without a meaning.
    const bool scalar = case_.filters == FilterGroup::kScalar;
    const uint64_t values_key = row_key(scalar ? 0 : row, kPenaltyValues);
    const bool bad = !scalar && hash_below(values_key, 3, 12) == 0;
    repetition_.push_back(bad ? (values_key & 1 ? 0.0f : kNan)
                              : kRepetition[hash_below(values_key, 0, kRepetition.size())]);
    frequency_.push_back(kFrequency[hash_below(values_key, 1, kFrequency.size())]);
    presence_.push_back(kPresence[hash_below(values_key, 2, kPresence.size())]);
  }
}

const void* CaseBatch::logits_base() const { return logits_storage_.data() + logits_offset_bytes_; }

TokendrawBatch CaseBatch::batch(CaseOutput& output, Outputs outputs) const {
  output.prepare(rows());
  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = logits_base();
  batch.dtype = case_.dtype;
  batch.vocab = case_.vocab;
  batch.rows = rows();
  batch.logits_rows = logits_rows_;
  batch.row_stride = row_stride_;
  batch.row_index = pointer_or_null(row_index_);
  if (case_.filters == FilterGroup::kScalar) {
    batch.temperature = settings_[0].temperature;
    batch.top_k = settings_[0].top_k;
    batch.top_p = settings_[0].top_p;
    batch.min_p = settings_[0].min_p;
  }
  batch.temperature_per_row = pointer_or_null(temperature_);
  batch.top_k_per_row = pointer_or_null(top_k_);
  batch.top_p_per_row = pointer_or_null(top_p_);
  batch.min_p_per_row = pointer_or_null(min_p_);
  batch.top_p_base = case_.base;
  if (case_.layout == Layout::kIndexed) batch.invalid_token = -7;
  batch.seed = seed_;
  batch.offset = offset_;
  batch.seed_per_row = pointer_or_null(seeds_);
  batch.stream_per_row = pointer_or_null(streams_);
  batch.offset_per_row = pointer_or_null(offsets_);
  batch.random_u64 = pointer_or_null(random_u64_);
  batch.random_f32 = pointer_or_null(random_f32_);
  batch.mask = pointer_or_null(mask_);
  batch.mask_row_stride = mask_row_stride_;
  batch.bias = pointer_or_null(bias_);
  batch.bias_row_stride = bias_row_stride_;
  batch.bias_ids = pointer_or_null(bias_ids_);
  batch.bias_values = pointer_or_null(bias_values_);
  batch.bias_offsets = pointer_or_null(bias_offsets_);
  batch.bias_entries = static_cast<int64_t>(bias_ids_.size());
  batch.history_ids = pointer_or_null(history_ids_);
  batch.history_counts = pointer_or_null(history_counts_);
  batch.history_offsets = pointer_or_null(history_offsets_);
  batch.history_entries = static_cast<int64_t>(history_ids_.size());
  if (has_penalties() && case_.filters == FilterGroup::kScalar) {
    batch.repetition_penalty = repetition_[0];
    batch.frequency_penalty = frequency_[0];
    batch.presence_penalty = presence_[0];
  } else {
    batch.repetition_penalty_per_row = pointer_or_null(repetition_);
    batch.frequency_penalty_per_row = pointer_or_null(frequency_);
    batch.presence_penalty_per_row = pointer_or_null(presence_);
  }
  batch.tokens = output.tokens.data();
  batch.row_status = output.row_status.data();
  if (outputs == Outputs::kAll) {
    batch.kept = output.kept.data();
    batch.kept_mass = output.kept_mass.data();
    batch.logprob = output.logprob.data();
  }
  batch.rounds = output.rounds.data();
  return batch;
}

std::vector<float> CaseBatch::effective_logits(int64_t r) const {
  const auto place = static_cast<size_t>(r);
  const int64_t logits_row = row_index_.empty() ? r : row_index_[place];
  std::vector<float> x(static_cast<size_t>(case_.vocab));
  for (int64_t id = 0; id < case_.vocab; ++id) {
    float value = load_logit(logits_base(), logits_row * row_stride_ + id, case_.dtype);
    if (std::isnan(value)) value = -kInfinity;
    if (has_mask() && (mask_[static_cast<size_t>(r * mask_row_stride_ + id / 32)] >> (id % 32) & 1u) == 0) {
      value = -kInfinity;
    }
    if (has_dense_bias() && value != -kInfinity) value += bias_[static_cast<size_t>(r * bias_row_stride_ + id)];
    x[static_cast<size_t>(id)] = value;
  }
  const auto each_listed = [&](const std::vector<int32_t>& ids, const std::vector<int64_t>& offsets, auto&& change) {
    std::set<int32_t> seen;
    for (int64_t j = offsets[place]; j < offsets[place + 1]; ++j) {
      const int32_t id = ids[static_cast<size_t>(j)];
      if (id < 0 || id >= case_.vocab || !seen.insert(id).second) continue;
      float& value = x[static_cast<size_t>(id)];
      if (value != -kInfinity) change(value, static_cast<size_t>(j));
    }
  };
  if (has_bias_list()) {
    each_listed(bias_ids_, bias_offsets_, [&](float& value, size_t j) { value += bias_values_[j]; });
  }
  if (has_penalties()) {
    each_listed(history_ids_, history_offsets_, [&](float& value, size_t j) {
      const int32_t count = history_counts_.empty() ? 1 : history_counts_[j];
      value = value > 0.0f ? value / repetition_[place] : value * repetition_[place];
      if (count <= 0) return;
      value = std::fma(-frequency_[place], static_cast<float>(count), value);
      value -= presence_[place];
    });
  }
  for (float& value : x) value = std::isnan(value) ? -kInfinity : value + 0.0f;
  return x;
}

}  // namespace tokendraw::cases
