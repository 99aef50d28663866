// SPDX-License-Identifier: Apache-2.0
#include "support/batch_spec.h"

#include <gtest/gtest.h>
#include <stored_logit.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace tokendraw::test {
namespace {

// Each output array has one guard value before and one after its rows.
constexpr int32_t kGuardToken = -123456789;
constexpr uint32_t kGuardStatus = 0xa5a5a5a5u;
constexpr int64_t kGuardKept = -987654321;
constexpr uint64_t kGuardMass = 0xdeadbeefdeadbeefu;
constexpr float kGuardLogprob = 12345.0f;

template <typename T>
std::vector<T> collect(const BatchSpec& spec, T RowSpec::*field) {
  std::vector<T> values;
  values.reserve(spec.rows.size());
  for (const RowSpec& row : spec.rows) values.push_back(row.*field);
  return values;
}

}  // namespace

BatchSpec single_row(std::vector<float> logits, const RowSpec& row) {
  BatchSpec spec;
  spec.logits.push_back(std::move(logits));
  spec.rows.push_back(row);
  return spec;
}

BatchSpec repeated_draws(std::vector<float> logits, const RowSpec& row, int64_t draws, uint64_t first_offset) {
  BatchSpec spec;
  spec.logits.push_back(std::move(logits));
  spec.rows.assign(static_cast<size_t>(draws), row);
  spec.row_index.assign(static_cast<size_t>(draws), 0);
  for (size_t r = 0; r < spec.rows.size(); ++r) spec.rows[r].offset = first_offset + r;
  return spec;
}

float round_to_dtype(float x, TokendrawDtype dtype) {
  return cases::decode_logit(cases::encode_logit(x, dtype), dtype);
}

void round_to_dtype(std::vector<float>& values, TokendrawDtype dtype) {
  if (dtype == TOKENDRAW_DTYPE_F32) return;
  for (float& x : values) x = round_to_dtype(x, dtype);
}

std::vector<uint32_t> mask_without(int32_t vocab, const std::vector<int32_t>& forbidden) {
  std::vector<uint32_t> words(static_cast<size_t>(vocab + 31) / 32, ~0u);
  for (const int32_t id : forbidden) words[static_cast<size_t>(id) / 32] &= ~(1u << (id % 32));
  return words;
}

std::string to_text(const RowResult& result) {
  std::ostringstream out;
  out.precision(9);
  out << "{token " << result.token << ", status " << result.status << ", kept " << result.kept << ", kept_mass "
      << result.kept_mass << ", logprob " << result.logprob << ", rounds " << result.rounds << "}";
  return out.str();
}

std::string difference(const std::vector<RowResult>& expected, const std::vector<RowResult>& actual,
                       double logprob_tolerance) {
  if (expected.size() != actual.size()) return "different numbers of rows";
  for (size_t r = 0; r < expected.size(); ++r) {
    const RowResult& e = expected[r];
    const RowResult& a = actual[r];
    const bool exact = e.token == a.token && e.status == a.status && e.kept == a.kept && e.kept_mass == a.kept_mass &&
                       e.rounds == a.rounds;
    bool logprob = std::isnan(e.logprob) && std::isnan(a.logprob);
    if (std::isfinite(e.logprob) && std::isfinite(a.logprob)) {
      const float magnitude = std::fabs(e.logprob);
      const double rounding = std::nextafter(magnitude, kInfinity) - magnitude;  // of both, half an ulp each
      logprob = std::fabs(static_cast<double>(e.logprob) - a.logprob) <= logprob_tolerance + rounding;
    }
    if (!exact || !logprob) {
      return "row " + std::to_string(r) + ": expected " + to_text(e) + ", got " + to_text(a);
    }
  }
  return "";
}

PackedBatch::PackedBatch(const BatchSpec& spec, const Layout& layout) {
  tokendraw_init_batch(&batch);
  batch.rows = static_cast<int64_t>(spec.rows.size());
  batch.vocab = spec.vocab();
  batch.dtype = spec.dtype;
  batch.top_p_base = spec.top_p_base;
  batch.invalid_token = spec.invalid_token;
  pack_logits(spec, layout);
  pack_parameters(spec, layout);
  pack_masks_and_biases(spec, layout);
  pack_lists(spec, layout);
  clear_outputs();
}

void PackedBatch::pack_logits(const BatchSpec& spec, const Layout& layout) {
  const size_t element = cases::dtype_bytes(spec.dtype);
  const int64_t stride = batch.vocab + layout.padding_columns;
  const size_t elements = spec.logits.size() * static_cast<size_t>(stride);
  const size_t lead = static_cast<size_t>(layout.lead_elements);
  logits_.resize((lead + elements) * element + 64);
  const size_t to_aligned = (64 - reinterpret_cast<uintptr_t>(logits_.data()) % 64) % 64;
  std::byte* first = logits_.data() + to_aligned + lead * element;
  for (size_t row = 0; row < spec.logits.size(); ++row) {
    for (int64_t column = 0; column < stride; ++column) {
      const float x = column < batch.vocab ? spec.logits[row][static_cast<size_t>(column)] : kInfinity;
      cases::store_logit_bits(first, static_cast<int64_t>(row) * stride + column, spec.dtype,
                              cases::encode_logit(x, spec.dtype));
    }
  }
  batch.logits = first;
  batch.row_stride = stride;
  batch.logits_rows = static_cast<int64_t>(spec.logits.size());
  row_index_ = spec.row_index;
  if (!row_index_.empty()) batch.row_index = row_index_.data();
}

void PackedBatch::pack_parameters(const BatchSpec& spec, const Layout& layout) {
  random_u64_ = spec.random_u64;
  random_f32_ = spec.random_f32;
  if (!random_u64_.empty()) batch.random_u64 = random_u64_.data();
  if (!random_f32_.empty()) batch.random_f32 = random_f32_.data();
  if (spec.rows.empty()) return;
  if (layout.scalar_parameters) {
    const RowSpec& row = spec.rows[0];
    batch.temperature = row.temperature;
    batch.top_k = row.top_k;
    batch.top_p = row.top_p;
    batch.min_p = row.min_p;
    batch.seed = row.seed;
    batch.stream = row.stream;
    batch.offset = row.offset;
    batch.repetition_penalty = row.repetition_penalty;
    batch.frequency_penalty = row.frequency_penalty;
    batch.presence_penalty = row.presence_penalty;
    return;
  }
  batch.temperature_per_row = (temperature_ = collect(spec, &RowSpec::temperature)).data();
  batch.top_k_per_row = (top_k_ = collect(spec, &RowSpec::top_k)).data();
  batch.top_p_per_row = (top_p_ = collect(spec, &RowSpec::top_p)).data();
  batch.min_p_per_row = (min_p_ = collect(spec, &RowSpec::min_p)).data();
  batch.seed_per_row = (seed_ = collect(spec, &RowSpec::seed)).data();
  batch.stream_per_row = (stream_ = collect(spec, &RowSpec::stream)).data();
  batch.offset_per_row = (offset_ = collect(spec, &RowSpec::offset)).data();
  batch.repetition_penalty_per_row = (repetition_ = collect(spec, &RowSpec::repetition_penalty)).data();
  batch.frequency_penalty_per_row = (frequency_ = collect(spec, &RowSpec::frequency_penalty)).data();
  batch.presence_penalty_per_row = (presence_ = collect(spec, &RowSpec::presence_penalty)).data();
}

void PackedBatch::pack_masks_and_biases(const BatchSpec& spec, const Layout& layout) {
  const auto has = [&](auto field) {
    return std::any_of(spec.rows.begin(), spec.rows.end(), [&](const RowSpec& row) { return !(row.*field).empty(); });
  };
  if (has(&RowSpec::mask)) {
    const size_t words = static_cast<size_t>(batch.vocab + 31) / 32;
    const size_t stride = words + static_cast<size_t>(layout.padding_words);
    const size_t rows = layout.share_mask ? 1 : spec.rows.size();
    mask_.assign(rows * stride, ~0u);
    for (size_t r = 0; r < rows; ++r) {
      std::copy(spec.rows[r].mask.begin(), spec.rows[r].mask.end(),
                mask_.begin() + static_cast<std::ptrdiff_t>(r * stride));
    }
    batch.mask = mask_.data();
    batch.mask_row_stride = layout.share_mask ? 0 : static_cast<int64_t>(stride);
  }
  if (has(&RowSpec::dense_bias)) {
    const size_t stride = static_cast<size_t>(batch.vocab + layout.padding_columns);
    const size_t rows = layout.share_dense_bias ? 1 : spec.rows.size();
    dense_bias_.assign(rows * stride, 0.0f);
    for (size_t r = 0; r < rows; ++r) {
      std::copy(spec.rows[r].dense_bias.begin(), spec.rows[r].dense_bias.end(),
                dense_bias_.begin() + static_cast<std::ptrdiff_t>(r * stride));
    }
    batch.bias = dense_bias_.data();
    batch.bias_row_stride = layout.share_dense_bias ? 0 : static_cast<int64_t>(stride);
  }
}

void PackedBatch::pack_lists(const BatchSpec& spec, const Layout& layout) {
  bias_offsets_.assign(1, 0);
  history_offsets_.assign(1, 0);
  for (const RowSpec& row : spec.rows) {
    for (const BiasEntry& entry : row.sparse_bias) {
      bias_ids_.push_back(entry.id);
      bias_values_.push_back(entry.value);
    }
    for (const HistoryEntry& entry : row.history) {
      history_ids_.push_back(entry.id);
      history_counts_.push_back(entry.count);
    }
    bias_offsets_.push_back(static_cast<int64_t>(bias_ids_.size()));
    history_offsets_.push_back(static_cast<int64_t>(history_ids_.size()));
  }
  if (!bias_ids_.empty()) {
    batch.bias_ids = bias_ids_.data();
    batch.bias_values = bias_values_.data();
    batch.bias_offsets = bias_offsets_.data();
    batch.bias_entries = static_cast<int64_t>(bias_ids_.size());
  }
  if (!history_ids_.empty()) {
    batch.history_ids = history_ids_.data();
    if (!layout.omit_history_counts) batch.history_counts = history_counts_.data();
    batch.history_offsets = history_offsets_.data();
    batch.history_entries = static_cast<int64_t>(history_ids_.size());
  }
}

void PackedBatch::clear_outputs() {
  const size_t guarded = static_cast<size_t>(batch.rows) + 2;
  tokens_.assign(guarded, kGuardToken);
  status_.assign(guarded, kGuardStatus);
  kept_.assign(guarded, kGuardKept);
  kept_mass_.assign(guarded, kGuardMass);
  logprob_.assign(guarded, kGuardLogprob);
  rounds_.assign(guarded, kGuardToken);
  batch.tokens = tokens_.data() + 1;
  batch.row_status = status_.data() + 1;
  batch.kept = kept_.data() + 1;
  batch.kept_mass = kept_mass_.data() + 1;
  batch.logprob = logprob_.data() + 1;
  batch.rounds = rounds_.data() + 1;
}

int32_t PackedBatch::guard_token() { return kGuardToken; }

std::vector<RowResult> PackedBatch::results() const {
  const bool intact =
      tokens_.front() == kGuardToken && tokens_.back() == kGuardToken && status_.front() == kGuardStatus &&
      status_.back() == kGuardStatus && kept_.front() == kGuardKept && kept_.back() == kGuardKept &&
      kept_mass_.front() == kGuardMass && kept_mass_.back() == kGuardMass && logprob_.front() == kGuardLogprob &&
      logprob_.back() == kGuardLogprob && rounds_.front() == kGuardToken && rounds_.back() == kGuardToken;
  EXPECT_TRUE(intact) << "an output was written outside its rows";
  std::vector<RowResult> results;
  for (size_t i = 1; i + 1 < tokens_.size(); ++i) {
    results.push_back({tokens_[i], status_[i], kept_[i], kept_mass_[i], logprob_[i], rounds_[i]});
  }
  return results;
}

}  // namespace tokendraw::test
