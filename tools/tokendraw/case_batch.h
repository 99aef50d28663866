// SPDX-License-Identifier: Apache-2.0
// The arrays of a case, as a TokendrawBatch, and what the case's logits are after mask, bias and penalties.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <span>
#include <vector>

#include "cases.h"
#include "filter_settings.h"

namespace tokendraw::cases {

// What a batch asks for. Where it is tokens alone, engines may take ways that tell them less.
enum class Outputs { kAll, kTokens };

// Every output of a batch.
struct CaseOutput {
  std::vector<int32_t> tokens;
  std::vector<uint32_t> row_status;
  std::vector<int64_t> kept;
  std::vector<uint64_t> kept_mass;
  std::vector<float> logprob;
  std::vector<int32_t> rounds;

  // Fills every output with a pattern that no sampler writes, so that a row left out shows.
  void prepare(int64_t rows);

  // What kTokens does not ask for becomes that of `other`, so that the rest can be compared.
  void take_unasked(const CaseOutput& other);
};

class CaseBatch {
 public:
  // All rows of the case, in order.
  explicit CaseBatch(const Case& c);

  // Only these rows, in this order; a row may stand twice. Each keeps its parameters, its logits, and its seed, stream
  // and offset, so that it must have the token that it has in the whole batch.
  CaseBatch(const Case& c, std::span<const int64_t> chosen);

  const Case& the_case() const { return case_; }
  int64_t rows() const { return static_cast<int64_t>(chosen_.size()); }

  // The batch, writing to `output`, which it prepares. It points into this object and `output`.
  TokendrawBatch batch(CaseOutput& output, Outputs outputs = Outputs::kAll) const;

  // The setting of place `r` of the batch.
  const FilterSetting& setting(int64_t r) const { return settings_[static_cast<size_t>(r)]; }

  // The logits of place `r` after mask, bias and penalties, computed here and not by the library.
  std::vector<float> effective_logits(int64_t r) const;

 private:
  void make_logits();
  void make_settings();
  void make_randomness();
  void make_mask();
  void make_bias();
  void make_bias_list();
  void make_penalties();

  bool has_mask() const;
  bool has_dense_bias() const;
  bool has_bias_list() const;
  bool has_penalties() const;
  uint64_t row_key(int64_t row, uint64_t purpose) const;
  const void* logits_base() const;

  Case case_;
  uint64_t key_ = 0;
  std::vector<int64_t> chosen_;  // the case's row at each place
  bool whole_ = false;           // chosen_ is 0, 1, 2, ...

  std::vector<unsigned char> logits_storage_;
  int64_t logits_offset_bytes_ = 0;
  int64_t logits_rows_ = 0;
  int64_t row_stride_ = 0;
  std::vector<int32_t> row_index_;

  std::vector<FilterSetting> settings_;
  std::vector<float> temperature_, top_p_, min_p_;
  std::vector<int32_t> top_k_;

  uint64_t seed_ = 0, offset_ = 0;
  std::vector<uint64_t> seeds_, offsets_, random_u64_;
  std::vector<uint32_t> streams_;
  std::vector<float> random_f32_;

  std::vector<uint32_t> mask_;
  int64_t mask_row_stride_ = 0;
  std::vector<float> bias_;
  int64_t bias_row_stride_ = 0;
  std::vector<int32_t> bias_ids_;
  std::vector<float> bias_values_;
  std::vector<int64_t> bias_offsets_;
  std::vector<int32_t> history_ids_, history_counts_;
  std::vector<int64_t> history_offsets_;
  std::vector<float> repetition_, frequency_, presence_;
};

}  // namespace tokendraw::cases
