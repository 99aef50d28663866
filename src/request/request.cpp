// SPDX-License-Identifier: Apache-2.0
#include "request/request.h"

#include <cmath>
#include <cstring>
#include <initializer_list>

#include "request/refuse.h"

namespace tokendraw::request {
namespace {

// The batch as this version knows it: a caller of another version may hold a shorter or longer struct.
Refusal read_versioned(const TokendrawBatch* batch, TokendrawBatch* known) {
  if (batch == nullptr) return refuse(TOKENDRAW_INVALID_BATCH, "batch is NULL");
  if (batch->struct_size > kFirstBatchBytes ? batch->struct_size < sizeof *known
                                            : batch->struct_size != kFirstBatchBytes) {
    return refuse(TOKENDRAW_INVALID_STRUCT_SIZE,
                  "batch->struct_size is %zu, which is no TokendrawBatch of any version; use tokendraw_init_batch",
                  batch->struct_size);
  }
  if (batch->struct_size > sizeof *known) {
    return refuse(TOKENDRAW_INVALID_STRUCT_SIZE,
                  "batch->struct_size is %zu, but this library knows only %zu bytes: it is older than the header used",
                  batch->struct_size, sizeof *known);
  }
  set_batch_defaults(known, sizeof *known);
  std::memcpy(known, batch, batch->struct_size);
  known->struct_size = sizeof *known;
  return {};
}

Refusal check_shape(const TokendrawBatch& b) {
  if (b.dtype != TOKENDRAW_DTYPE_F32 && b.dtype != TOKENDRAW_DTYPE_F16 && b.dtype != TOKENDRAW_DTYPE_BF16) {
    return refuse(TOKENDRAW_INVALID_DTYPE, "dtype is %d, which is no TokendrawDtype", static_cast<int>(b.dtype));
  }
  if (b.logits_memory != TOKENDRAW_MEMORY_HOST && b.logits_memory != TOKENDRAW_MEMORY_DEVICE) {
    return refuse(TOKENDRAW_INVALID_LOGITS_MEMORY, "logits_memory is %d, which is no TokendrawMemory",
                  static_cast<int>(b.logits_memory));
  }
  if (b.params_memory != TOKENDRAW_MEMORY_HOST && b.params_memory != TOKENDRAW_MEMORY_DEVICE) {
    return refuse(TOKENDRAW_INVALID_PARAMS_MEMORY, "params_memory is %d, which is no TokendrawMemory",
                  static_cast<int>(b.params_memory));
  }
  if (b.vocab < 1 || b.vocab > kMaxVocab) {
    return refuse(TOKENDRAW_INVALID_VOCAB, "vocab is %d; it must be 1 to %d", b.vocab, kMaxVocab);
  }
  if (b.rows < 0 || b.rows > kMaxRows) {
    return refuse(TOKENDRAW_INVALID_ROWS, "rows is %lld; it must be 0 to 2147483647", static_cast<long long>(b.rows));
  }
  if (b.logits_rows < 0 || b.logits_rows > kMaxRows) {
    return refuse(TOKENDRAW_INVALID_LOGITS_ROWS, "logits_rows is %lld; it must be 0 (the same as rows) to 2147483647",
                  static_cast<long long>(b.logits_rows));
  }
  if (b.logits_rows != 0 && b.row_index == nullptr && b.logits_rows < b.rows) {
    return refuse(TOKENDRAW_INVALID_LOGITS_ROWS, "logits_rows is %lld, fewer than the %lld rows, and row_index is NULL",
                  static_cast<long long>(b.logits_rows), static_cast<long long>(b.rows));
  }
  if (b.row_stride != 0 && b.row_stride < b.vocab) {
    return refuse(TOKENDRAW_INVALID_ROW_STRIDE, "row_stride is %lld elements; it must be 0 or at least vocab, %d",
                  static_cast<long long>(b.row_stride), b.vocab);
  }
  const int64_t logits_rows = b.logits_rows != 0 ? b.logits_rows : b.rows;
  const int64_t stride = b.row_stride != 0 ? b.row_stride : b.vocab;
  const int64_t bytes = b.dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2;
  if (logits_rows > 1 && stride > (INT64_MAX / bytes - b.vocab) / (logits_rows - 1)) {
    return refuse(TOKENDRAW_INVALID_ROW_STRIDE,
                  "row_stride is %lld elements: %lld rows of logits exceed the address space",
                  static_cast<long long>(b.row_stride), static_cast<long long>(logits_rows));
  }
  if (b.rows > 0 && b.logits == nullptr) return refuse(TOKENDRAW_INVALID_LOGITS, "logits is NULL");
  if (b.rows > 0 && misaligned(b.logits, static_cast<size_t>(bytes))) {
    return refuse(TOKENDRAW_INVALID_LOGITS,
                  "logits is not aligned for its dtype: an address must be a multiple of %lld",
                  static_cast<long long>(bytes));
  }
  if (misaligned(b.row_index, 4)) return refuse(TOKENDRAW_INVALID_ROW_INDEX, "row_index is not aligned to 4 bytes");
  return {};
}

Refusal check_filters(const TokendrawBatch& b) {
  if (misaligned(b.temperature_per_row, 4)) {
    return refuse(TOKENDRAW_INVALID_TEMPERATURE, "temperature_per_row is not aligned to 4 bytes");
  }
  if (b.temperature_per_row == nullptr && !(b.temperature >= 0.0f)) {
    return refuse(TOKENDRAW_INVALID_TEMPERATURE, "temperature is %g; it must be 0 or larger",
                  static_cast<double>(b.temperature));
  }
  if (misaligned(b.top_k_per_row, 4)) return refuse(TOKENDRAW_INVALID_TOP_K, "top_k_per_row is not aligned to 4 bytes");
  if (misaligned(b.top_p_per_row, 4)) return refuse(TOKENDRAW_INVALID_TOP_P, "top_p_per_row is not aligned to 4 bytes");
  if (b.top_p_per_row == nullptr && std::isnan(b.top_p)) return refuse(TOKENDRAW_INVALID_TOP_P, "top_p is NaN");
  if (misaligned(b.min_p_per_row, 4)) return refuse(TOKENDRAW_INVALID_MIN_P, "min_p_per_row is not aligned to 4 bytes");
  if (b.min_p_per_row == nullptr && !(b.min_p <= 1.0f)) {
    return refuse(TOKENDRAW_INVALID_MIN_P, "min_p is %g; it must be at most 1", static_cast<double>(b.min_p));
  }
  if (b.top_p_base != TOKENDRAW_TOP_P_AFTER_TOP_K && b.top_p_base != TOKENDRAW_TOP_P_ALL &&
      b.top_p_base != TOKENDRAW_TOP_P_AFTER_ALL) {
    return refuse(TOKENDRAW_INVALID_TOP_P_BASE, "top_p_base is %d, which is no TokendrawTopPBase",
                  static_cast<int>(b.top_p_base));
  }
  return {};
}

Refusal check_random(const TokendrawBatch& b) {
  if (b.stream_per_row == nullptr && (b.stream < -1 || b.stream > static_cast<int64_t>(UINT32_MAX))) {
    return refuse(TOKENDRAW_INVALID_STREAM, "stream is %lld; it must be -1 (the default) or 0 to 4294967295",
                  static_cast<long long>(b.stream));
  }
  if (misaligned(b.stream_per_row, 4)) {
    return refuse(TOKENDRAW_INVALID_STREAM, "stream_per_row is not aligned to 4 bytes");
  }
  if (misaligned(b.seed_per_row, 8)) return refuse(TOKENDRAW_INVALID_SEED, "seed_per_row is not aligned to 8 bytes");
  if (misaligned(b.offset_per_row, 8)) {
    return refuse(TOKENDRAW_INVALID_OFFSET, "offset_per_row is not aligned to 8 bytes");
  }
  if (b.random_u64 != nullptr && b.random_f32 != nullptr) {
    return refuse(TOKENDRAW_INVALID_RANDOM, "random_u64 and random_f32 are both given; at most one may be");
  }
  if (misaligned(b.random_u64, 8)) return refuse(TOKENDRAW_INVALID_RANDOM, "random_u64 is not aligned to 8 bytes");
  if (misaligned(b.random_f32, 4)) return refuse(TOKENDRAW_INVALID_RANDOM, "random_f32 is not aligned to 4 bytes");
  return {};
}

Refusal check_mask_and_bias(const TokendrawBatch& b) {
  if (misaligned(b.mask, 4)) return refuse(TOKENDRAW_INVALID_MASK, "mask is not aligned to 4 bytes");
  const int64_t words = (static_cast<int64_t>(b.vocab) + 31) / 32;
  if (b.mask != nullptr && b.mask_row_stride != 0 && b.mask_row_stride < words) {
    return refuse(TOKENDRAW_INVALID_MASK_STRIDE, "mask_row_stride is %lld words; it must be 0 or at least %lld",
                  static_cast<long long>(b.mask_row_stride), static_cast<long long>(words));
  }
  if (misaligned(b.bias, 4)) return refuse(TOKENDRAW_INVALID_BIAS, "bias is not aligned to 4 bytes");
  if (b.bias != nullptr && b.bias_row_stride != 0 && b.bias_row_stride < b.vocab) {
    return refuse(TOKENDRAW_INVALID_BIAS_STRIDE, "bias_row_stride is %lld elements; it must be 0 or at least vocab, %d",
                  static_cast<long long>(b.bias_row_stride), b.vocab);
  }
  if (b.bias_offsets == nullptr) return {};
  if (b.bias != nullptr) {
    return refuse(TOKENDRAW_INVALID_BIAS, "bias and bias_offsets are both given; a batch has a dense or a sparse bias");
  }
  if (b.bias_entries < 0) {
    return refuse(TOKENDRAW_INVALID_BIAS_LIST, "bias_entries is %lld; it must not be negative",
                  static_cast<long long>(b.bias_entries));
  }
  if (b.bias_entries > 0 && (b.bias_ids == nullptr || b.bias_values == nullptr)) {
    return refuse(TOKENDRAW_INVALID_BIAS_LIST, "bias_offsets is given, but %s is NULL",
                  b.bias_ids == nullptr ? "bias_ids" : "bias_values");
  }
  if (misaligned(b.bias_offsets, 8) || misaligned(b.bias_ids, 4) || misaligned(b.bias_values, 4)) {
    return refuse(TOKENDRAW_INVALID_BIAS_LIST,
                  "bias_offsets, bias_ids or bias_values is not aligned for its type (8, 4 and 4 bytes)");
  }
  return {};
}

Refusal check_penalty(TokendrawStatus status, const char* name, float value, const float* per_row,
                      bool must_be_positive) {
  if (misaligned(per_row, 4)) return refuse(status, "%s_per_row is not aligned to 4 bytes", name);
  if (per_row == nullptr && (!draw::is_finite(value) || (must_be_positive && !(value > 0.0f)))) {
    return refuse(status, "%s is %g; it must be finite%s", name, static_cast<double>(value),
                  must_be_positive ? " and larger than 0" : "");
  }
  return {};
}

Refusal check_history(const TokendrawBatch& b) {
  Refusal refusal = check_penalty(TOKENDRAW_INVALID_REPETITION_PENALTY, "repetition_penalty", b.repetition_penalty,
                                  b.repetition_penalty_per_row, true);
  if (!refusal) {
    refusal = check_penalty(TOKENDRAW_INVALID_FREQUENCY_PENALTY, "frequency_penalty", b.frequency_penalty,
                            b.frequency_penalty_per_row, false);
  }
  if (!refusal) {
    refusal = check_penalty(TOKENDRAW_INVALID_PRESENCE_PENALTY, "presence_penalty", b.presence_penalty,
                            b.presence_penalty_per_row, false);
  }
  if (refusal || b.history_offsets == nullptr) return refusal;
  if (b.history_entries < 0) {
    return refuse(TOKENDRAW_INVALID_HISTORY, "history_entries is %lld; it must not be negative",
                  static_cast<long long>(b.history_entries));
  }
  if (b.history_entries > 0 && b.history_ids == nullptr) {
    return refuse(TOKENDRAW_INVALID_HISTORY, "history_offsets is given, but history_ids is NULL");
  }
  if (misaligned(b.history_offsets, 8) || misaligned(b.history_ids, 4) || misaligned(b.history_counts, 4)) {
    return refuse(TOKENDRAW_INVALID_HISTORY,
                  "history_offsets, history_ids or history_counts is not aligned for its type (8, 4 and 4 bytes)");
  }
  return {};
}

Refusal check_outputs(const TokendrawBatch& b) {
  if (b.rows > 0 && b.tokens == nullptr) return refuse(TOKENDRAW_INVALID_TOKENS, "tokens is NULL");
  if (misaligned(b.tokens, 4)) return refuse(TOKENDRAW_INVALID_TOKENS, "tokens is not aligned to 4 bytes");
  if (misaligned(b.row_status, 4) || misaligned(b.kept, 8) || misaligned(b.kept_mass, 8) || misaligned(b.logprob, 4) ||
      misaligned(b.rounds, 4)) {
    return refuse(
        TOKENDRAW_INVALID_OUTPUTS,
        "row_status, kept, kept_mass, logprob or rounds is not aligned for its type (4, 8, 8, 4 and 4 bytes)");
  }
  return {};
}

// Precondition: every check passed.
Request resolve(const TokendrawBatch& b) {
  Request r = {};
  r.logits = b.logits;
  r.dtype = static_cast<Dtype>(b.dtype);
  r.logits_memory = static_cast<Memory>(b.logits_memory);
  r.params_memory = static_cast<Memory>(b.params_memory);
  r.vocab = b.vocab;
  r.rows = b.rows;
  r.logits_rows = b.logits_rows != 0 ? b.logits_rows : b.rows;
  r.row_stride = b.row_stride != 0 ? b.row_stride : b.vocab;
  r.row_index = b.row_index;

  r.temperature = {b.temperature, b.temperature_per_row};
  r.top_k = {b.top_k, b.top_k_per_row};
  r.top_p = {b.top_p, b.top_p_per_row};
  r.min_p = {b.min_p, b.min_p_per_row};
  r.top_p_base = static_cast<draw::TopPBase>(b.top_p_base);
  r.invalid_token = b.invalid_token;

  r.random_source = b.random_u64 != nullptr   ? RandomSource::kU64
                    : b.random_f32 != nullptr ? RandomSource::kF32
                                              : RandomSource::kSeed;
  r.seed = {b.seed, b.seed_per_row};
  const bool default_stream = b.stream_per_row == nullptr && b.stream < 0;
  r.stream_source = default_stream && b.seed_per_row == nullptr ? StreamSource::kRow : StreamSource::kValue;
  r.stream = {default_stream ? 0 : static_cast<uint32_t>(b.stream), b.stream_per_row};
  r.offset = {b.offset, b.offset_per_row};
  r.random_u64 = b.random_u64;
  r.random_f32 = b.random_f32;

  r.mask = b.mask;
  r.mask_row_stride = b.mask_row_stride;
  r.bias = b.bias;
  r.bias_row_stride = b.bias_row_stride;
  r.bias_list = {b.bias_ids, b.bias_offsets, b.bias_entries};
  r.bias_values = b.bias_values;
  r.history = {b.history_ids, b.history_offsets, b.history_entries};
  r.history_counts = b.history_counts;
  r.repetition_penalty = {b.repetition_penalty, b.repetition_penalty_per_row};
  r.frequency_penalty = {b.frequency_penalty, b.frequency_penalty_per_row};
  r.presence_penalty = {b.presence_penalty, b.presence_penalty_per_row};

  r.tokens = b.tokens;
  r.row_status = b.row_status;
  r.kept = b.kept;
  r.kept_mass = b.kept_mass;
  r.logprob = b.logprob;
  r.rounds = b.rounds;
  return r;
}

}  // namespace

void set_batch_defaults(TokendrawBatch* batch, size_t struct_size) {
  TokendrawBatch defaults = {};
  defaults.struct_size = struct_size < sizeof defaults ? struct_size : sizeof defaults;
  defaults.temperature = 1.0f;
  defaults.top_p = 1.0f;
  defaults.invalid_token = -1;
  defaults.stream = -1;
  defaults.repetition_penalty = 1.0f;
  std::memcpy(batch, &defaults, defaults.struct_size);
  auto* unknown = reinterpret_cast<unsigned char*>(batch) + defaults.struct_size;
  std::memset(unknown, 0, struct_size - defaults.struct_size);
}

Refusal make_request(const TokendrawBatch* batch, Request* request) {
  TokendrawBatch known;
  Refusal refusal = read_versioned(batch, &known);
  using Check = Refusal (*)(const TokendrawBatch&);
  for (const Check check :
       {check_shape, check_filters, check_random, check_mask_and_bias, check_history, check_outputs}) {
    if (refusal) return refusal;
    refusal = check(known);
  }
  if (!refusal) *request = resolve(known);
  return refusal;
}

}  // namespace tokendraw::request
