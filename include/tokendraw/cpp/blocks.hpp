// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: the building blocks, whose meaning is in tokendraw.h. Each is a struct of spans, and
//
//   tokendraw::compute(sampler, tokendraw::Softmax{.logits = logits, .output = probabilities});
//
// computes it in host memory (tokendraw_compute_..._host), compute_on(sampler, block, stream) where the sampler works
// (tokendraw_compute_...). Both come as try_... too, which are noexcept and return a Result. None of them allocates.
#ifndef TOKENDRAW_CPP_BLOCKS_HPP_
#define TOKENDRAW_CPP_BLOCKS_HPP_

#include <tokendraw/cpp/batch.hpp>
#include <tokendraw/cpp/sampler.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>

namespace tokendraw {

// Where rows of results go, not owned.
struct Values {
  void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  int64_t row_stride = 0;          // elements; 0: close together
  std::optional<size_t> elements;  // what `data` points to, to be checked; unset: unknown

  Values() = default;

  // A vector, array or span of float, F16 or Bf16 that can be written to, converted implicitly.
  template <class Range>
  requires detail::LogitRange<Range> &&
      (!std::is_const_v<std::remove_pointer_t<decltype(std::span(std::declval<Range&>()).data())>>)
          Values(Range& values, int64_t stride = 0) noexcept
      : data(std::span(values).data()),
        dtype(detail::LogitDtype<typename decltype(std::span(values))::value_type>::value),
        row_stride(stride),
        elements(std::span(values).size()) {}

  // Anything else, device memory included.
  static Values raw(void* data, Dtype dtype, int64_t row_stride = 0) noexcept {
    Values values;
    values.data = data;
    values.dtype = dtype;
    values.row_stride = row_stride;
    return values;
  }
};

// As TokendrawSoftmax. Of `logits`, rows 0 means all that its elements hold, and vocab 0 that they are one row; its
// memory is that of every array.
struct Softmax {
  Logits logits = {};
  PerRow<float> temperature = 1.0f;
  bool log = false;
  Values output = {};
  std::span<uint32_t> row_status = {};  // rows, or empty: not wanted

  // The C struct, good as long as what the spans point to. Errors: INVALID_INPUT, INVALID_OUTPUT, INVALID_TEMPERATURE
  // or INVALID_OUTPUTS for spans whose length does not fit.
  Result<TokendrawSoftmax> to_c() const noexcept;
};

// As TokendrawPrefixSum of F32. `input` is float; its rows, vocab and memory are as for Softmax.
struct PrefixSum {
  Logits input = {};
  bool exclusive = false;
  Values output = {};                   // of float
  std::span<uint32_t> row_status = {};  // rows, or empty: not wanted

  Result<TokendrawPrefixSum> to_c() const noexcept;  // errors: as for Softmax, INVALID_NUMBER for another dtype
};

// The same of U64.
struct PrefixSumU64 {
  std::span<const uint64_t> input = {};
  int32_t vocab = 0;  // 0: one row
  bool exclusive = false;
  std::span<uint64_t> output = {};  // as many as input; may be input
  Memory memory = Memory::kHost;

  Result<TokendrawPrefixSum> to_c() const noexcept;
};

enum class Generator : int32_t { kPhilox = TOKENDRAW_GENERATOR_PHILOX, kXorwow = TOKENDRAW_GENERATOR_XORWOW };

// As TokendrawRandom of one row, into a span whose element says the kind: uint32_t, uint64_t, or float, in [0, 1) or,
// if positive, in (0, 1].
template <class T>
requires std::is_same_v<T, uint32_t> || std::is_same_v<T, uint64_t> || std::is_same_v<T, float>
struct Random {
  std::span<T> output = {};
  Generator generator = Generator::kPhilox;
  uint64_t seed = 0;
  int64_t subsequence = 0;
  uint64_t offset = 0;
  bool positive = false;
  Memory memory = Memory::kHost;

  Result<TokendrawRandom> to_c() const noexcept {
    TokendrawRandom c = {};
    tokendraw_init_random(&c);
    c.generator = TokendrawGenerator(generator);
    c.kind = std::is_same_v<T, uint32_t>   ? TOKENDRAW_RANDOM_U32
             : std::is_same_v<T, uint64_t> ? TOKENDRAW_RANDOM_U64
             : positive                    ? TOKENDRAW_RANDOM_F32_POSITIVE
                                           : TOKENDRAW_RANDOM_F32;
    c.memory = TokendrawMemory(memory);
    c.rows = output.empty() ? 0 : 1;
    c.count = output.empty() ? 1 : static_cast<int64_t>(output.size());
    c.seed = seed;
    c.subsequence = subsequence;
    c.offset = offset;
    c.output = output.data();
    return c;
  }
};

enum class Form : int32_t { kLogits = TOKENDRAW_FORM_LOGITS, kProbabilities = TOKENDRAW_FORM_PROBABILITIES };

// As TokendrawFilter. `input` as for Softmax. Every output may be empty: not wanted.
struct Filter {
  Logits input = {};
  Form form = Form::kLogits;
  PerRow<float> temperature = 1.0f;
  PerRow<int32_t> top_k = 0;
  PerRow<float> top_p = 1.0f;
  PerRow<float> min_p = 0.0f;
  TopPBase top_p_base = TopPBase::kAfterTopK;
  bool masking = false;
  std::optional<Values> output = {};  // of float
  std::span<int32_t> tokens = {};     // rows, as all below
  int32_t invalid_token = -1;
  PerRow<uint64_t> seed = uint64_t{0};
  std::optional<PerRow<uint32_t>> stream = {};  // unset: the row's number, or 0 where `seed` has a value for each row
  PerRow<uint64_t> offset = uint64_t{0};
  std::span<const uint64_t> random_u64 = {};
  std::span<uint32_t> row_status = {};
  std::span<int64_t> kept = {};
  std::span<uint64_t> kept_mass = {};

  // Errors: INVALID_INPUT, INVALID_OUTPUT, INVALID_OUTPUT_DTYPE for an output that is not float, or the status of the
  // field for any other span of a wrong length.
  Result<TokendrawFilter> to_c() const noexcept;
};

namespace detail {

// Rows, vocab and stride of an input.
template <class C>
Result<void> set_input(const Logits& in, C& c) noexcept {
  c.input = in.data;
  c.memory = TokendrawMemory(in.memory);
  c.vocab = in.vocab;
  c.rows = in.rows;
  c.input_stride = in.row_stride;
  if (!in.elements) return {};
  const auto elements = static_cast<int64_t>(*in.elements);
  if (c.vocab == 0 && c.rows > 1 && c.input_stride == 0 && elements % c.rows == 0 && elements / c.rows <= INT32_MAX)
    c.vocab = static_cast<int32_t>(elements / c.rows);
  if (c.vocab == 0 && c.rows <= 1 && elements <= INT32_MAX) c.vocab = static_cast<int32_t>(elements);
  if (c.vocab <= 0) return Error(TOKENDRAW_INVALID_INPUT, "input: the length is no whole number of rows");
  const int64_t stride = c.input_stride != 0 ? c.input_stride : c.vocab;
  if (c.rows == 0 && stride > 0 && elements >= c.vocab) c.rows = (elements - c.vocab) / stride + 1;
  if (elements < c.vocab || !fits(*in.elements, c.rows, c.vocab, stride))
    return Error(TOKENDRAW_INVALID_INPUT, "input: the span is shorter than its rows");
  return {};
}

// After set_input.
template <class C>
Result<void> set_output(const Values& out, C& c) noexcept {
  c.output = static_cast<decltype(c.output)>(out.data);
  c.output_stride = out.row_stride;
  if (out.elements && !fits(*out.elements, c.rows, c.vocab, out.row_stride != 0 ? out.row_stride : c.vocab))
    return wrong_count(TOKENDRAW_INVALID_OUTPUT, "output", *out.elements, c.rows * c.vocab);
  return {};
}

// The C functions of a block.
inline Status compute_host(TokendrawSampler* sampler, const TokendrawSoftmax& c) noexcept {
  return tokendraw_compute_softmax_host(sampler, &c);
}
inline Status compute_on(TokendrawSampler* sampler, const TokendrawSoftmax& c, void* stream) noexcept {
  return tokendraw_compute_softmax(sampler, &c, stream);
}

inline Status compute_host(TokendrawSampler* sampler, const TokendrawPrefixSum& c) noexcept {
  return tokendraw_compute_prefix_sum_host(sampler, &c);
}
inline Status compute_on(TokendrawSampler* sampler, const TokendrawPrefixSum& c, void* stream) noexcept {
  return tokendraw_compute_prefix_sum(sampler, &c, stream);
}

inline Status compute_host(TokendrawSampler* sampler, const TokendrawRandom& c) noexcept {
  return tokendraw_fill_random_host(sampler, &c);
}
inline Status compute_on(TokendrawSampler* sampler, const TokendrawRandom& c, void* stream) noexcept {
  return tokendraw_fill_random(sampler, &c, stream);
}

inline Status compute_host(TokendrawSampler* sampler, const TokendrawFilter& c) noexcept {
  return tokendraw_apply_filter_host(sampler, &c);
}
inline Status compute_on(TokendrawSampler* sampler, const TokendrawFilter& c, void* stream) noexcept {
  return tokendraw_apply_filter(sampler, &c, stream);
}

}  // namespace detail

inline Result<TokendrawFilter> Filter::to_c() const noexcept {
  TokendrawFilter c = {};
  tokendraw_init_filter(&c);
  if (const Result<void> set = detail::set_input(input, c); !set) return set.error();
  if (output && output->dtype != Dtype::kF32)
    return Error(TOKENDRAW_INVALID_OUTPUT_DTYPE, "the output of a filter is of float");
  if (output) {
    if (const Result<void> set = detail::set_output(*output, c); !set) return set.error();
  }
  c.form = TokendrawForm(form);
  c.dtype = TokendrawDtype(input.dtype);
  c.top_p_base = TokendrawTopPBase(top_p_base);
  c.masking = masking ? 1 : 0;
  c.invalid_token = invalid_token;
  detail::ArraySetter arrays{static_cast<size_t>(c.rows)};
  arrays.set(TOKENDRAW_INVALID_TEMPERATURE, "temperature", temperature, c.temperature, c.temperature_per_row);
  arrays.set(TOKENDRAW_INVALID_TOP_K, "top_k", top_k, c.top_k, c.top_k_per_row);
  arrays.set(TOKENDRAW_INVALID_TOP_P, "top_p", top_p, c.top_p, c.top_p_per_row);
  arrays.set(TOKENDRAW_INVALID_MIN_P, "min_p", min_p, c.min_p, c.min_p_per_row);
  arrays.set(TOKENDRAW_INVALID_SEED, "seed", seed, c.seed, c.seed_per_row);
  if (stream) arrays.set(TOKENDRAW_INVALID_STREAM, "stream", *stream, c.stream, c.stream_per_row);
  arrays.set(TOKENDRAW_INVALID_OFFSET, "offset", offset, c.offset, c.offset_per_row);
  arrays.accept(TOKENDRAW_INVALID_RANDOM, "random_u64", random_u64, c.random_u64);
  arrays.accept(TOKENDRAW_INVALID_TOKENS, "tokens", tokens, c.tokens);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "row_status", row_status, c.row_status);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "kept", kept, c.kept);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "kept_mass", kept_mass, c.kept_mass);
  if (arrays.error.status() != TOKENDRAW_OK) return arrays.error;
  return c;
}

inline Result<TokendrawPrefixSum> PrefixSum::to_c() const noexcept {
  TokendrawPrefixSum c = {};
  tokendraw_init_prefix_sum(&c);
  if (input.dtype != Dtype::kF32 || output.dtype != Dtype::kF32)
    return Error(TOKENDRAW_INVALID_NUMBER, "prefix sums are of float or uint64_t");
  if (const Result<void> set = detail::set_input(input, c); !set) return set.error();
  if (const Result<void> set = detail::set_output(output, c); !set) return set.error();
  c.exclusive = exclusive ? 1 : 0;
  detail::ArraySetter arrays{static_cast<size_t>(c.rows)};
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "row_status", row_status, c.row_status);
  if (arrays.error.status() != TOKENDRAW_OK) return arrays.error;
  return c;
}

inline Result<TokendrawPrefixSum> PrefixSumU64::to_c() const noexcept {
  TokendrawPrefixSum c = {};
  tokendraw_init_prefix_sum(&c);
  if (vocab < 0 || (vocab > 0 && input.size() % static_cast<size_t>(vocab) != 0) ||
      (vocab == 0 && input.size() > INT32_MAX))
    return Error(TOKENDRAW_INVALID_INPUT, "input: the length is no whole number of rows");
  if (output.size() != input.size())
    return detail::wrong_count(TOKENDRAW_INVALID_OUTPUT, "output", output.size(), static_cast<int64_t>(input.size()));
  c.input = input.data();
  c.number = TOKENDRAW_NUMBER_U64;
  c.memory = TokendrawMemory(memory);
  c.vocab = vocab != 0 ? vocab : static_cast<int32_t>(input.size());
  c.rows = c.vocab > 0 ? static_cast<int64_t>(input.size()) / c.vocab : 0;
  c.exclusive = exclusive ? 1 : 0;
  c.output = output.data();
  return c;
}

inline Result<TokendrawSoftmax> Softmax::to_c() const noexcept {
  TokendrawSoftmax c = {};
  tokendraw_init_softmax(&c);
  if (const Result<void> set = detail::set_input(logits, c); !set) return set.error();
  if (const Result<void> set = detail::set_output(output, c); !set) return set.error();
  c.dtype = TokendrawDtype(logits.dtype);
  c.output_dtype = TokendrawDtype(output.dtype);
  c.log = log ? 1 : 0;
  detail::ArraySetter arrays{static_cast<size_t>(c.rows)};
  arrays.set(TOKENDRAW_INVALID_TEMPERATURE, "temperature", temperature, c.temperature, c.temperature_per_row);
  arrays.accept(TOKENDRAW_INVALID_OUTPUTS, "row_status", row_status, c.row_status);
  if (arrays.error.status() != TOKENDRAW_OK) return arrays.error;
  return c;
}

// A struct of this header that has a C struct.
template <class T>
concept Block = requires(const T& block, TokendrawSampler* sampler) {
  detail::compute_host(sampler, *block.to_c());
};

// Host memory, finished on return. Errors: those of to_c and of the C function. The status of a success may be
// TOKENDRAW_OK_CPU_FALLBACK.
template <Block T>
Result<void> try_compute(Sampler& sampler, const T& block) noexcept {
  const auto c = block.to_c();
  if (!c) return c.error();
  return detail::last_error(detail::compute_host(sampler.get(), *c));
}

// Memory of the sampler's device; on a GPU enqueued on the caller's stream. Errors: likewise.
template <Block T>
Result<void> try_compute_on(Sampler& sampler, const T& block, void* stream = nullptr) noexcept {
  const auto c = block.to_c();
  if (!c) return c.error();
  return detail::last_error(detail::compute_on(sampler.get(), *c, stream));
}

#if TOKENDRAW_CPP_EXCEPTIONS
template <Block T>
void compute(Sampler& sampler, const T& block) {
  try_compute(sampler, block).value();
}
template <Block T>
void compute_on(Sampler& sampler, const T& block, void* stream = nullptr) {
  try_compute_on(sampler, block, stream).value();
}
#endif

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_BLOCKS_HPP_
