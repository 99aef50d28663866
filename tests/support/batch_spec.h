// SPDX-License-Identifier: Apache-2.0
// A batch in plain values, one struct a row, and its packing into the arrays of a TokendrawBatch.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/float_bits.h"

namespace tokendraw::test {

struct BiasEntry {
  int32_t id;
  float value;
};

struct HistoryEntry {
  int32_t id;
  int32_t count;
};

// One output row. Empty vectors: not given.
struct RowSpec {
  float temperature = 1.0f;
  int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
  uint64_t seed = 0;
  uint32_t stream = 0;
  uint64_t offset = 0;
  float repetition_penalty = 1.0f;
  float frequency_penalty = 0.0f;
  float presence_penalty = 0.0f;
  std::vector<uint32_t> mask;  // words
  std::vector<float> dense_bias;
  std::vector<BiasEntry> sparse_bias;
  std::vector<HistoryEntry> history;
};

struct BatchSpec {
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  TokendrawTopPBase top_p_base = TOKENDRAW_TOP_P_AFTER_TOP_K;
  int32_t invalid_token = -1;
  std::vector<std::vector<float>> logits;  // all of one size, every value exact in dtype
  std::vector<RowSpec> rows;
  std::vector<int32_t> row_index;    // empty: row r reads logits r
  std::vector<uint64_t> random_u64;  // empty: not given
  std::vector<float> random_f32;

  int32_t vocab() const { return static_cast<int32_t>(logits.at(0).size()); }
  const std::vector<float>& logits_of(size_t row) const {
    return logits.at(row_index.empty() ? row : static_cast<size_t>(row_index[row]));
  }
};

// One row with one set of parameters.
BatchSpec single_row(std::vector<float> logits, const RowSpec& row = {});

// `draws` draws from one row of logits, row r at offset first_offset + r.
BatchSpec repeated_draws(std::vector<float> logits, const RowSpec& row, int64_t draws, uint64_t first_offset = 0);

// The value nearest to x that dtype holds.
float round_to_dtype(float x, TokendrawDtype dtype);
void round_to_dtype(std::vector<float>& values, TokendrawDtype dtype);

// All tokens allowed but those listed.
std::vector<uint32_t> mask_without(int32_t vocab, const std::vector<int32_t>& forbidden);

struct RowResult {
  int32_t token = 0;
  uint32_t status = 0;
  int64_t kept = 0;
  uint64_t kept_mass = 0;
  float logprob = 0.0f;
  int32_t rounds = 0;
};

std::string to_text(const RowResult& result);

// "" if the results agree: everything exactly, log-probabilities within `logprob_tolerance` and one float rounding.
std::string difference(const std::vector<RowResult>& expected, const std::vector<RowResult>& actual,
                       double logprob_tolerance = 2e-6);

// Where the numbers of a batch lie in memory. No choice here may change a token.
struct Layout {
  int64_t lead_elements = 0;       // between the start of the allocation, 64-byte aligned, and the first logit
  int64_t padding_columns = 0;     // row_stride - vocab of the logits and of a dense bias
  int64_t padding_words = 0;       // the same for masks
  bool scalar_parameters = false;  // the parameters of row 0 as scalars instead of arrays
  bool share_mask = false;         // one mask for all rows: that of row 0
  bool share_dense_bias = false;
  bool omit_history_counts = false;  // a count of 1 for every entry
};

// Owns the arrays of one batch. The values in `batch` may be changed before a run.
class PackedBatch {
 public:
  explicit PackedBatch(const BatchSpec& spec, const Layout& layout = {});
  PackedBatch(const PackedBatch&) = delete;
  PackedBatch& operator=(const PackedBatch&) = delete;

  TokendrawBatch batch;

  // What the last call wrote. Fails the test where an output was written outside its rows.
  std::vector<RowResult> results() const;
  void clear_outputs();
  // What stands in `tokens` until a call writes there.
  static int32_t guard_token();

 private:
  void pack_logits(const BatchSpec& spec, const Layout& layout);
  void pack_parameters(const BatchSpec& spec, const Layout& layout);
  void pack_masks_and_biases(const BatchSpec& spec, const Layout& layout);
  void pack_lists(const BatchSpec& spec, const Layout& layout);

  std::vector<std::byte> logits_;
  std::vector<int32_t> row_index_, top_k_, bias_ids_, history_ids_, history_counts_;
  std::vector<float> temperature_, top_p_, min_p_, repetition_, frequency_, presence_, random_f32_;
  std::vector<float> dense_bias_, bias_values_;
  std::vector<uint64_t> seed_, offset_, random_u64_;
  std::vector<uint32_t> stream_, mask_;
  std::vector<int64_t> bias_offsets_, history_offsets_;

  std::vector<int32_t> tokens_;
  std::vector<uint32_t> status_;
  std::vector<int64_t> kept_;
  std::vector<uint64_t> kept_mass_;
  std::vector<float> logprob_;
  std::vector<int32_t> rounds_;
};

}  // namespace tokendraw::test
