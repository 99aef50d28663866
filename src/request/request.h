// SPDX-License-Identifier: Apache-2.0
// A batch after validation: every default resolved, every host-visible argument known to be good. Immutable and
// trivially copyable, so that a GPU backend can hand it to a kernel. Values inside arrays are not looked at here: the
// engines do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "draw/effective_logit.h"
#include "draw/row_params.h"
#include "tokendraw/tokendraw.h"

namespace tokendraw::request {

inline constexpr int32_t kMaxVocab = 1 << 21;
inline constexpr int64_t kMaxRows = 2147483647;

enum class Dtype : int32_t { kF32 = 0, kF16 = 1, kBf16 = 2 };
enum class Memory : int32_t { kHost = 0, kDevice = 1 };
enum class RandomSource : int32_t { kSeed, kU64, kF32 };
enum class StreamSource : int32_t { kRow, kValue };

TOKENDRAW_HD int64_t dtype_bytes(Dtype dtype) { return dtype == Dtype::kF32 ? 4 : 2; }

// A parameter given once for all rows, or once per row.
template <typename T>
struct RowValue {
  T value;
  const T* per_row;  // nullptr: `value` holds for every row
  TOKENDRAW_HD T at(int64_t row) const { return per_row != nullptr ? per_row[row] : value; }
};

// Entries of row r: [offsets[r], offsets[r + 1]) of arrays that hold `entries`.
struct RowLists {
  const int32_t* ids;
  const int64_t* offsets;  // nullptr: no list
  int64_t entries;
};

struct Request {
  const void* logits;
  Dtype dtype;
  Memory logits_memory;
  Memory params_memory;
  int32_t vocab;
  int64_t rows;
  int64_t logits_rows;
  int64_t row_stride;
  const int32_t* row_index;

  RowValue<float> temperature;
  RowValue<int32_t> top_k;
  RowValue<float> top_p;
  RowValue<float> min_p;
  draw::TopPBase top_p_base;
  int32_t invalid_token;

  RandomSource random_source;
  RowValue<uint64_t> seed;
  StreamSource stream_source;
  RowValue<uint32_t> stream;
  RowValue<uint64_t> offset;
  const uint64_t* random_u64;
  const float* random_f32;

  const uint32_t* mask;
  int64_t mask_row_stride;
  const float* bias;
  int64_t bias_row_stride;
  RowLists bias_list;
  const float* bias_values;
  RowLists history;
  const int32_t* history_counts;
  RowValue<float> repetition_penalty;
  RowValue<float> frequency_penalty;
  RowValue<float> presence_penalty;

  int32_t* tokens;
  uint32_t* row_status;
  int64_t* kept;
  uint64_t* kept_mass;
  float* logprob;
  int32_t* rounds;

  TOKENDRAW_HD bool has_lists() const { return bias_list.offsets != nullptr || history.offsets != nullptr; }
};

// Why a batch was refused.
struct Refusal {
  TokendrawStatus status = TOKENDRAW_OK;
  char message[200] = "";
  explicit operator bool() const { return status != TOKENDRAW_OK; }
};

// The size of TokendrawBatch in its first version.
inline constexpr size_t kFirstBatchBytes = offsetof(TokendrawBatch, rounds);

// Sets struct_size and every field's "not given" or "off" of a caller's struct of that many bytes, those alone.
void set_batch_defaults(TokendrawBatch* batch, size_t struct_size);

// Fills *request from *batch, or says which argument is wrong. Reads no array. Thread-safe.
Refusal make_request(const TokendrawBatch* batch, Request* request);

}  // namespace tokendraw::request
