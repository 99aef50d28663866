// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: TokendrawBatch with spans whose lengths are checked.
#ifndef TOKENDRAW_CPP_BATCH_HPP_
#define TOKENDRAW_CPP_BATCH_HPP_

#include <tokendraw/cpp/choices.hpp>
#include <tokendraw/cpp/result.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <optional>
#include <span>
#include <type_traits>

namespace tokendraw {

// Logits of 16 bits, by their bit patterns. An array of another library's half type has the same bytes: use
// Logits::raw.
struct F16 {
  uint16_t bits;
};
struct Bf16 {
  uint16_t bits;
};

namespace detail {

template <class T>
struct LogitDtype;
template <>
struct LogitDtype<float> : std::integral_constant<Dtype, Dtype::kF32> {};
template <>
struct LogitDtype<F16> : std::integral_constant<Dtype, Dtype::kF16> {};
template <>
struct LogitDtype<Bf16> : std::integral_constant<Dtype, Dtype::kBf16> {};

// A vector, array or span of float, F16 or Bf16.
template <class Range>
concept LogitRange = requires(const Range& range) {
  LogitDtype<typename decltype(std::span(range))::value_type>::value;
};

template <class Range, class T>
concept SpanOf = std::is_convertible_v<const Range&, std::span<const T>>;

// Does a matrix of `rows` rows of `width` elements, `stride` apart, fit into `elements`?
inline bool fits(size_t elements, int64_t rows, int64_t width, int64_t stride) noexcept {
  if (rows <= 0) return true;
  const auto size = static_cast<int64_t>(elements);
  return size >= width && (rows == 1 || stride <= (size - width) / (rows - 1));
}

}  // namespace detail

// Logits [rows, vocab], not owned.
struct Logits {
  const void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  Memory memory = Memory::kHost;
  int32_t vocab = 0;               // 1 to 2^21; 0: elements / rows
  int64_t rows = 0;                // 0: one a token; where a row_index is given, all that `elements` hold
  int64_t row_stride = 0;          // elements, >= vocab; 0: vocab
  std::optional<size_t> elements;  // what `data` points to, to be checked; unset: unknown, vocab must be given

  Logits() = default;

  // A vector, array or span of float, F16 or Bf16, converted implicitly.
  template <detail::LogitRange Range>
  Logits(const Range& values, int32_t vocab_size = 0, int64_t stride = 0) noexcept
      : data(std::span(values).data()),
        dtype(detail::LogitDtype<typename decltype(std::span(values))::value_type>::value),
        vocab(vocab_size),
        row_stride(stride),
        elements(std::span(values).size()) {}

  // Anything else, device memory included.
  static Logits raw(const void* data, Dtype dtype, int64_t rows, int32_t vocab, int64_t row_stride = 0,
                    Memory memory = Memory::kHost) noexcept {
    Logits logits;
    logits.data = data;
    logits.dtype = dtype;
    logits.memory = memory;
    logits.vocab = vocab;
    logits.rows = rows;
    logits.row_stride = row_stride;
    return logits;
  }
};

// One value for all rows, or a span with one value a row; both convert implicitly.
template <class T>
struct PerRow {
  T scalar = {};
  std::optional<std::span<const T>> values;

  PerRow() = default;
  PerRow(T value) noexcept : scalar(value) {}
  template <detail::SpanOf<T> Range>
  PerRow(const Range& range) noexcept : values(range) {}
};

// Row r's entries are those from offsets[r] up to, not including, offsets[r + 1].
struct BiasLists {
  std::span<const int32_t> ids = {};
  std::span<const float> values = {};     // as many as ids
  std::span<const int64_t> offsets = {};  // rows + 1; empty: no lists
};
struct Histories {
  std::span<const int32_t> ids = {};
  std::span<const int32_t> counts = {};   // as many as ids, or empty: 1 each
  std::span<const int64_t> offsets = {};  // rows + 1; empty: no histories
};

// The whole of TokendrawBatch, made for designated initialisers:
//
//   sampler.sample({.logits = logits, .temperature = 0.8f, .top_p = top_p_of_each_row, .seed = 7, .tokens = tokens});
//
// `tokens` decides the number of rows; every other span must have the length said beside it, which sampling checks
// (the C API cannot). An empty span means "not given" or "not wanted". Fields mean what their namesakes in
// TokendrawBatch mean. With memory `kDevice` the spans hold device pointers, which this header never follows.
struct Batch {
  Logits logits = {};
  std::span<const int32_t> row_index = {};  // rows
  Memory params_memory = Memory::kHost;

  PerRow<float> temperature = 1.0f;
  PerRow<int32_t> top_k = 0;
  PerRow<float> top_p = 1.0f;
  PerRow<float> min_p = 0.0f;
  TopPBase top_p_base = TopPBase::kAfterTopK;
  int32_t invalid_token = -1;

  PerRow<uint64_t> seed = uint64_t{0};
  std::optional<PerRow<uint32_t>> stream = {};  // unset: the row's number, or 0 where `seed` has a value for each row
  PerRow<uint64_t> offset = uint64_t{0};
  std::span<const uint64_t> random_u64 = {};  // rows
  std::span<const float> random_f32 = {};     // rows

  // Masks of ceil(vocab / 32) words and dense biases of vocab floats: one for all rows, or one for each. The stride,
  // in elements, is found from the length (exactly one row: 0; more: close together) unless it is given.
  std::span<const uint32_t> mask = {};
  std::optional<int64_t> mask_row_stride = {};
  std::span<const float> bias = {};
  std::optional<int64_t> bias_row_stride = {};
  BiasLists bias_lists = {};

  Histories histories = {};
  PerRow<float> repetition_penalty = 1.0f;
  PerRow<float> frequency_penalty = 0.0f;
  PerRow<float> presence_penalty = 0.0f;

  std::span<int32_t> tokens = {};       // rows
  std::span<uint32_t> row_status = {};  // rows, as the next four
  std::span<int64_t> kept = {};
  std::span<uint64_t> kept_mass = {};
  std::span<float> logprob = {};
  std::span<int32_t> rounds = {};

  // The C struct, good as long as what the spans point to. Errors: INVALID_LOGITS for a span of logits that is too
  // short or no whole number of rows; the status of the field, or INVALID_OUTPUTS, for any other span of a wrong
  // length. Values are checked by the call that gets the struct.
  Result<TokendrawBatch> to_c() const noexcept;
};

namespace detail {

inline Error wrong_count(Status status, const char* what, size_t given, int64_t needed) noexcept {
  char text[200];
  static_cast<void>(std::snprintf(text, sizeof text, "%s: %zu elements given, %lld needed", what, given,
                                  static_cast<long long>(needed)));
  return Error(status, text);
}

// Sets pointers of the C struct from spans of one element a row, and keeps the first span of another length as error.
struct ArraySetter {
  size_t rows;
  Error error = Error();

  template <class T>
  void require(Status status, const char* name, std::span<T> values, T*& array) noexcept {
    array = values.data();
    if (values.size() != rows && error.status() == TOKENDRAW_OK)
      error = wrong_count(status, name, values.size(), static_cast<int64_t>(rows));
  }

  template <class T>
  void accept(Status status, const char* name, std::span<T> values, T*& array) noexcept {
    if (!values.empty()) require(status, name, values, array);
  }

  template <class T, class Scalar>
  void set(Status status, const char* name, const PerRow<T>& param, Scalar& scalar, const T*& array) noexcept {
    scalar = param.scalar;
    if (param.values) require(status, name, *param.values, array);
  }
};

// The stride of a mask or dense bias; false if the span is too short for it.
inline bool find_stride(size_t elements, int64_t rows, int64_t width, std::optional<int64_t> given,
                        int64_t& stride) noexcept {
  stride = given ? *given : (elements == static_cast<size_t>(width) ? 0 : width);
  return fits(elements, rows, width, stride);
}

inline Result<void> set_logits(const Logits& logits, bool indexed, int64_t rows, TokendrawBatch& c) noexcept {
  c.logits = logits.data;
  c.dtype = TokendrawDtype(logits.dtype);
  c.logits_memory = TokendrawMemory(logits.memory);
  c.vocab = logits.vocab;
  c.row_stride = logits.row_stride;
  c.logits_rows = logits.rows;
  if (!logits.elements) return {};
  const auto elements = static_cast<int64_t>(*logits.elements);
  if (c.vocab == 0) {
    const int64_t count = logits.rows != 0 ? logits.rows : rows;
    if (count > 0 && (elements % count != 0 || logits.row_stride != 0))
      return Error(TOKENDRAW_INVALID_LOGITS, "logits: the length is no whole number of rows and no vocab is given");
    if (count > 0 && elements / count > INT32_MAX) return Error(TOKENDRAW_INVALID_VOCAB, "logits: vocab is too large");
    if (count > 0) c.vocab = static_cast<int32_t>(elements / count);
    if (count == 0) c.vocab = 1;  // an empty batch is valid, but a vocabulary is not 0
  }
  const int64_t stride = c.row_stride != 0 ? c.row_stride : c.vocab;
  if (logits.rows == 0 && indexed && c.vocab > 0 && stride > 0 && elements >= c.vocab)
    c.logits_rows = (elements - c.vocab) / stride + 1;
  if (!fits(*logits.elements, c.logits_rows != 0 ? c.logits_rows : rows, c.vocab, stride))
    return Error(TOKENDRAW_INVALID_LOGITS, "logits: the span is shorter than its rows");
  return {};
}

}  // namespace detail

inline Result<TokendrawBatch> Batch::to_c() const noexcept {
  TokendrawBatch c = {};
  tokendraw_init_batch(&c);
  const size_t size = tokens.size();
  const auto rows = static_cast<int64_t>(size);
  c.rows = rows;
  c.params_memory = TokendrawMemory(params_memory);
  c.top_p_base = TokendrawTopPBase(top_p_base);
  c.invalid_token = invalid_token;
  c.tokens = tokens.data();
  if (const Result<void> set = detail::set_logits(logits, !row_index.empty(), rows, c); !set) return set.error();

  detail::ArraySetter arrays{size};
  arrays.accept(TOKENDRAW_INVALID_ROW_INDEX, "row_index", row_index, c.row_index);
  arrays.set(TOKENDRAW_INVALID_TEMPERATURE, "temperature", temperature, c.temperature, c.temperature_per_row);
  arrays.set(TOKENDRAW_INVALID_TOP_K, "top_k", top_k, c.top_k, c.top_k_per_row);
  arrays.set(TOKENDRAW_INVALID_TOP_P, "top_p", top_p, c.top_p, c.top_p_per_row);
  arrays.set(TOKENDRAW_INVALID_MIN_P, "min_p", min_p, c.min_p, c.min_p_per_row);
  arrays.set(TOKENDRAW_INVALID_SEED, "seed", seed, c.seed, c.seed_per_row);
  if (stream) arrays.set(TOKENDRAW_INVALID_STREAM, "stream", *stream, c.stream, c.stream_per_row);
  arrays.set(TOKENDRAW_INVALID_OFFSET, "offset", offset, c.offset, c.offset_per_row);
  arrays.accept(TOKENDRAW_INVALID_RANDOM, "random_u64", random_u64, c.random_u64);
  arrays.accept(TOKENDRAW_INVALID_RANDOM, "random_f32", random_f32, c.random_f32);
  arrays.set(TOKENDRAW_INVALID_REPETITION_PENALTY, "repetition_penalty", repetition_penalty, c.repetition_penalty,
             c.repetition_penalty_per_row);
  arrays.set(TOKENDRAW_INVALID_FREQUENCY_PENALTY, "frequency_penalty", frequency_penalty, c.frequency_penalty,
             c.frequency_penalty_per_row);
  arrays.set(TOKENDRAW_INVALID_PRESENCE_PENALTY, "presence_penalty", presence_penalty, c.presence_penalty,
             c.presence_penalty_per_row);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "row_status", row_status, c.row_status);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "kept", kept, c.kept);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "kept_mass", kept_mass, c.kept_mass);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "logprob", logprob, c.logprob);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "rounds", rounds, c.rounds);
  if (arrays.error.status() != TOKENDRAW_OK) return arrays.error;

  if (!mask.empty()) {
    const int64_t words = (int64_t{c.vocab} + 31) / 32;
    c.mask = mask.data();
    if (!detail::find_stride(mask.size(), rows, words, mask_row_stride, c.mask_row_stride))
      return detail::wrong_count(TOKENDRAW_INVALID_MASK, "mask", mask.size(), rows * words);
  }
  if (!bias.empty()) {
    c.bias = bias.data();
    if (!detail::find_stride(bias.size(), rows, c.vocab, bias_row_stride, c.bias_row_stride))
      return detail::wrong_count(TOKENDRAW_INVALID_BIAS, "bias", bias.size(), rows * c.vocab);
  }
  if (bias_lists.ids.size() != bias_lists.values.size() ||
      bias_lists.offsets.size() != (bias_lists.offsets.empty() && bias_lists.ids.empty() ? 0 : size + 1))
    return Error(TOKENDRAW_INVALID_BIAS_LIST, "bias_lists: ids, values and offsets do not fit together or the rows");
  c.bias_ids = bias_lists.ids.data();
  c.bias_values = bias_lists.values.data();
  c.bias_offsets = bias_lists.offsets.data();
  c.bias_entries = static_cast<int64_t>(bias_lists.ids.size());
  if ((!histories.counts.empty() && histories.counts.size() != histories.ids.size()) ||
      histories.offsets.size() != (histories.offsets.empty() && histories.ids.empty() ? 0 : size + 1))
    return Error(TOKENDRAW_INVALID_HISTORY, "histories: ids, counts and offsets do not fit together or the rows");
  c.history_ids = histories.ids.data();
  c.history_counts = histories.counts.empty() ? nullptr : histories.counts.data();
  c.history_offsets = histories.offsets.data();
  c.history_entries = static_cast<int64_t>(histories.ids.size());
  return c;
}

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_BATCH_HPP_
