// SPDX-License-Identifier: Apache-2.0
#include "request/operation.h"

#include "request/refuse.h"

namespace tokendraw::request {
namespace {

constexpr int64_t kMaxBytes = INT64_MAX / 2;
constexpr int64_t kMaxRandomCount = int64_t{1} << 40;

// The caller's struct as this version knows it.
template <typename Public>
Refusal read_versioned(const char* name, const Public* given, Public* known) {
  if (given == nullptr) return refuse(TOKENDRAW_INVALID_OPERATION, "%s is NULL", name);
  if (given->struct_size != sizeof *known) {
    return refuse(TOKENDRAW_INVALID_STRUCT_SIZE,
                  "%s->struct_size is %zu, but this version's struct has %zu bytes; use its init function", name,
                  given->struct_size, sizeof *known);
  }
  *known = *given;
  return {};
}

Refusal check_memory(TokendrawMemory memory) {
  if (memory == TOKENDRAW_MEMORY_HOST || memory == TOKENDRAW_MEMORY_DEVICE) return {};
  return refuse(TOKENDRAW_INVALID_MEMORY, "memory is %d, which is no TokendrawMemory", static_cast<int>(memory));
}

Refusal check_rows(int64_t rows) {
  if (rows >= 0 && rows <= kMaxRows) return {};
  return refuse(TOKENDRAW_INVALID_ROWS, "rows is %lld; it must be 0 to 2147483647", static_cast<long long>(rows));
}

Refusal check_vocab(int32_t vocab) {
  if (vocab >= 1 && vocab <= kMaxVocab) return {};
  return refuse(TOKENDRAW_INVALID_VOCAB, "vocab is %d; it must be 1 to %d", vocab, kMaxVocab);
}

Refusal check_dtype(TokendrawStatus status, const char* name, TokendrawDtype dtype) {
  if (dtype == TOKENDRAW_DTYPE_F32 || dtype == TOKENDRAW_DTYPE_F16 || dtype == TOKENDRAW_DTYPE_BF16) return {};
  return refuse(status, "%s is %d, which is no TokendrawDtype", name, static_cast<int>(dtype));
}

Refusal check_row_status(const uint32_t* row_status) {
  if (!misaligned(row_status, 4)) return {};
  return refuse(TOKENDRAW_INVALID_OUTPUTS, "row_status is not aligned to 4 bytes");
}

// What names a matrix's arguments in messages, and their statuses.
struct MatrixNames {
  const char* data;
  const char* stride;
  TokendrawStatus bad_data;
  TokendrawStatus bad_stride;
};
constexpr MatrixNames kInput = {"input", "input_stride", TOKENDRAW_INVALID_INPUT, TOKENDRAW_INVALID_INPUT_STRIDE};
constexpr MatrixNames kOutput = {"output", "output_stride", TOKENDRAW_INVALID_OUTPUT, TOKENDRAW_INVALID_OUTPUT_STRIDE};

// rows and columns of *operation are known.
Refusal set_matrix(const MatrixNames& names, const void* data, int64_t element_bytes, int64_t stride,
                   const Operation& operation, Matrix* matrix) {
  const int64_t columns = operation.columns;
  const int64_t rows = operation.rows;
  if (stride != 0 && stride < columns) {
    return refuse(names.bad_stride, "%s is %lld elements; it must be 0 or at least the row's length, %lld",
                  names.stride, static_cast<long long>(stride), static_cast<long long>(columns));
  }
  const int64_t resolved = stride != 0 ? stride : columns;
  if (rows > 1 && resolved > (kMaxBytes / element_bytes - columns) / (rows - 1)) {
    return refuse(names.bad_stride, "%s is %lld elements: %lld rows exceed the address space", names.stride,
                  static_cast<long long>(stride), static_cast<long long>(rows));
  }
  if (rows > 0 && data == nullptr) return refuse(names.bad_data, "%s is NULL", names.data);
  if (rows > 0 && misaligned(data, static_cast<size_t>(element_bytes))) {
    return refuse(names.bad_data, "%s is not aligned for its type: an address must be a multiple of %lld", names.data,
                  static_cast<long long>(element_bytes));
  }
  *matrix = {const_cast<void*>(data), resolved, static_cast<int32_t>(element_bytes)};
  return {};
}

// In place or apart: an output that begins where the input does has elements of the same size at the same places.
Refusal check_in_place(const Operation& operation) {
  const Matrix& in = operation.input;
  const Matrix& out = operation.output;
  if (in.data != out.data || in.data == nullptr) return {};
  if (in.element_bytes == out.element_bytes && (in.stride == out.stride || operation.rows <= 1)) return {};
  return refuse(TOKENDRAW_INVALID_OUTPUT,
                "output is input, but their elements or strides differ (%d and %d bytes, %lld and %lld elements)",
                in.element_bytes, out.element_bytes, static_cast<long long>(in.stride),
                static_cast<long long>(out.stride));
}

Refusal check_temperature(float temperature, const float* per_row) {
  if (misaligned(per_row, 4)) {
    return refuse(TOKENDRAW_INVALID_TEMPERATURE, "temperature_per_row is not aligned to 4 bytes");
  }
  if (per_row == nullptr && !(temperature >= 0.0f)) {
    return refuse(TOKENDRAW_INVALID_TEMPERATURE, "temperature is %g; it must be 0 or larger",
                  static_cast<double>(temperature));
  }
  return {};
}

Refusal check_random_arrays(const TokendrawRandom& r) {
  if (misaligned(r.seed_per_row, 8)) return refuse(TOKENDRAW_INVALID_SEED, "seed_per_row is not aligned to 8 bytes");
  if (misaligned(r.offset_per_row, 8)) {
    return refuse(TOKENDRAW_INVALID_OFFSET, "offset_per_row is not aligned to 8 bytes");
  }
  if (misaligned(r.subsequence_per_row, 8)) {
    return refuse(TOKENDRAW_INVALID_SUBSEQUENCE, "subsequence_per_row is not aligned to 8 bytes");
  }
  if (r.subsequence_per_row == nullptr && r.subsequence < -1) {
    return refuse(TOKENDRAW_INVALID_SUBSEQUENCE, "subsequence is %lld; it must be -1 (the default) or larger",
                  static_cast<long long>(r.subsequence));
  }
  if (r.generator == TOKENDRAW_GENERATOR_XORWOW && (r.subsequence > 0 || r.subsequence_per_row != nullptr)) {
    return refuse(TOKENDRAW_INVALID_SUBSEQUENCE, "subsequence is given, but the generator xorwow has no other than 0");
  }
  return {};
}

Refusal check_filter_form(const TokendrawFilter& f) {
  if (f.form != TOKENDRAW_FORM_LOGITS && f.form != TOKENDRAW_FORM_PROBABILITIES) {
    return refuse(TOKENDRAW_INVALID_FORM, "form is %d, which is no TokendrawForm", static_cast<int>(f.form));
  }
  if (f.masking != 0 && f.masking != 1) {
    return refuse(TOKENDRAW_INVALID_MASKING, "masking is %d; it must be 0 or 1", f.masking);
  }
  if (f.form == TOKENDRAW_FORM_LOGITS) return check_dtype(TOKENDRAW_INVALID_DTYPE, "dtype", f.dtype);
  if (f.dtype != TOKENDRAW_DTYPE_F32) {
    return refuse(TOKENDRAW_INVALID_DTYPE, "dtype is %d, but probabilities are f32", static_cast<int>(f.dtype));
  }
  if (f.temperature != 1.0f || f.temperature_per_row != nullptr) {
    return refuse(TOKENDRAW_INVALID_TEMPERATURE, "temperature is given, but of probabilities it must stay 1");
  }
  return {};
}

Refusal check_filter_values(const TokendrawFilter& f) {
  if (misaligned(f.top_k_per_row, 4)) return refuse(TOKENDRAW_INVALID_TOP_K, "top_k_per_row is not aligned to 4 bytes");
  if (misaligned(f.top_p_per_row, 4)) return refuse(TOKENDRAW_INVALID_TOP_P, "top_p_per_row is not aligned to 4 bytes");
  if (f.top_p_per_row == nullptr && draw::is_nan(f.top_p)) return refuse(TOKENDRAW_INVALID_TOP_P, "top_p is NaN");
  if (misaligned(f.min_p_per_row, 4)) return refuse(TOKENDRAW_INVALID_MIN_P, "min_p_per_row is not aligned to 4 bytes");
  if (f.min_p_per_row == nullptr && !(f.min_p <= 1.0f)) {
    return refuse(TOKENDRAW_INVALID_MIN_P, "min_p is %g; it must be at most 1", static_cast<double>(f.min_p));
  }
  if (f.top_p_base < TOKENDRAW_TOP_P_AFTER_TOP_K || f.top_p_base > TOKENDRAW_TOP_P_AFTER_ALL) {
    return refuse(TOKENDRAW_INVALID_TOP_P_BASE, "top_p_base is %d, which is no TokendrawTopPBase",
                  static_cast<int>(f.top_p_base));
  }
  return {};
}

Refusal check_filter_random(const TokendrawFilter& f) {
  if (misaligned(f.seed_per_row, 8)) return refuse(TOKENDRAW_INVALID_SEED, "seed_per_row is not aligned to 8 bytes");
  if (misaligned(f.stream_per_row, 4)) {
    return refuse(TOKENDRAW_INVALID_STREAM, "stream_per_row is not aligned to 4 bytes");
  }
  if (f.stream_per_row == nullptr && (f.stream < -1 || f.stream > static_cast<int64_t>(UINT32_MAX))) {
    return refuse(TOKENDRAW_INVALID_STREAM, "stream is %lld; it must be -1 (the default) or 0 to 4294967295",
                  static_cast<long long>(f.stream));
  }
  if (misaligned(f.offset_per_row, 8)) {
    return refuse(TOKENDRAW_INVALID_OFFSET, "offset_per_row is not aligned to 8 bytes");
  }
  if (misaligned(f.random_u64, 8)) return refuse(TOKENDRAW_INVALID_RANDOM, "random_u64 is not aligned to 8 bytes");
  return {};
}

// Precondition: every check passed.
Filter resolve_filter(const TokendrawFilter& f) {
  const bool default_stream = f.stream_per_row == nullptr && f.stream < 0;
  Filter r = {};
  r.dtype = static_cast<Dtype>(f.dtype);
  r.of_probabilities = f.form == TOKENDRAW_FORM_PROBABILITIES;
  r.mask = f.masking != 0;
  r.stream_is_row = default_stream && f.seed_per_row == nullptr;
  r.top_p_base = static_cast<draw::TopPBase>(f.top_p_base);
  r.invalid_token = f.invalid_token;
  r.temperature = {f.temperature, f.temperature_per_row};
  r.top_k = {f.top_k, f.top_k_per_row};
  r.top_p = {f.top_p, f.top_p_per_row};
  r.min_p = {f.min_p, f.min_p_per_row};
  r.seed = {f.seed, f.seed_per_row};
  r.stream = {default_stream ? 0 : static_cast<uint32_t>(f.stream), f.stream_per_row};
  r.offset = {f.offset, f.offset_per_row};
  r.random_u64 = f.random_u64;
  r.tokens = f.tokens;
  r.kept = f.kept;
  r.kept_mass = f.kept_mass;
  return r;
}

// Calls the checks in turn up to the first refusal.
template <typename... Checks>
Refusal first_refusal(const Checks&... checks) {
  Refusal refusal;
  (void)((refusal = checks(), !refusal) && ...);
  return refusal;
}

}  // namespace

void set_defaults(TokendrawSoftmax* softmax) {
  *softmax = {};
  softmax->struct_size = sizeof *softmax;
  softmax->temperature = 1.0f;
}

Refusal make_operation(const TokendrawSoftmax* softmax, Operation* operation) {
  TokendrawSoftmax s = {};
  Operation o = {};
  const Refusal refusal = first_refusal(
      [&] { return read_versioned("softmax", softmax, &s); }, [&] { return check_memory(s.memory); },
      [&] { return check_rows(s.rows); }, [&] { return check_vocab(s.vocab); },
      [&] { return check_dtype(TOKENDRAW_INVALID_DTYPE, "dtype", s.dtype); },
      [&] { return check_dtype(TOKENDRAW_INVALID_OUTPUT_DTYPE, "output_dtype", s.output_dtype); },
      [&] {
        if (s.log == 0 || s.log == 1) return Refusal{};
        return refuse(TOKENDRAW_INVALID_LOG, "log is %d; it must be 0 or 1", s.log);
      },
      [&] { return check_temperature(s.temperature, s.temperature_per_row); },
      [&] { return check_row_status(s.row_status); },
      [&] {
        o.kind = OperationKind::kSoftmax;
        o.memory = static_cast<Memory>(s.memory);
        o.rows = s.rows;
        o.columns = s.vocab;
        o.row_status = s.row_status;
        o.softmax = {static_cast<Dtype>(s.dtype),
                     static_cast<Dtype>(s.output_dtype),
                     s.log != 0,
                     {s.temperature, s.temperature_per_row}};
        return set_matrix(kInput, s.input, dtype_bytes(o.softmax.dtype), s.input_stride, o, &o.input);
      },
      [&] { return set_matrix(kOutput, s.output, dtype_bytes(o.softmax.output_dtype), s.output_stride, o, &o.output); },
      [&] { return check_in_place(o); });
  if (!refusal) *operation = o;
  return refusal;
}

void set_defaults(TokendrawPrefixSum* sum) {
  *sum = {};
  sum->struct_size = sizeof *sum;
}

Refusal make_operation(const TokendrawPrefixSum* sum, Operation* operation) {
  TokendrawPrefixSum s = {};
  Operation o = {};
  const Refusal refusal = first_refusal(
      [&] { return read_versioned("sum", sum, &s); }, [&] { return check_memory(s.memory); },
      [&] { return check_rows(s.rows); }, [&] { return check_vocab(s.vocab); },
      [&] {
        if (s.number == TOKENDRAW_NUMBER_F32 || s.number == TOKENDRAW_NUMBER_U64) return Refusal{};
        return refuse(TOKENDRAW_INVALID_NUMBER, "number is %d, which is no TokendrawNumber",
                      static_cast<int>(s.number));
      },
      [&] {
        if (s.exclusive == 0 || s.exclusive == 1) return Refusal{};
        return refuse(TOKENDRAW_INVALID_EXCLUSIVE, "exclusive is %d; it must be 0 or 1", s.exclusive);
      },
      [&] { return check_row_status(s.row_status); },
      [&] {
        o.kind = OperationKind::kPrefixSum;
        o.memory = static_cast<Memory>(s.memory);
        o.rows = s.rows;
        o.columns = s.vocab;
        o.row_status = s.row_status;
        o.prefix_sum = {static_cast<Number>(s.number), s.exclusive != 0};
        return set_matrix(kInput, s.input, s.number == TOKENDRAW_NUMBER_U64 ? 8 : 4, s.input_stride, o, &o.input);
      },
      [&] { return set_matrix(kOutput, s.output, o.input.element_bytes, s.output_stride, o, &o.output); },
      [&] { return check_in_place(o); });
  if (!refusal) *operation = o;
  return refusal;
}

void set_defaults(TokendrawRandom* random) {
  *random = {};
  random->struct_size = sizeof *random;
  random->subsequence = -1;
}

Refusal make_operation(const TokendrawRandom* random, Operation* operation) {
  TokendrawRandom r = {};
  Operation o = {};
  const Refusal refusal = first_refusal(
      [&] { return read_versioned("random", random, &r); }, [&] { return check_memory(r.memory); },
      [&] { return check_rows(r.rows); },
      [&] {
        if (r.generator == TOKENDRAW_GENERATOR_PHILOX || r.generator == TOKENDRAW_GENERATOR_XORWOW) return Refusal{};
        return refuse(TOKENDRAW_INVALID_GENERATOR, "generator is %d, which is no TokendrawGenerator",
                      static_cast<int>(r.generator));
      },
      [&] {
        if (r.kind >= TOKENDRAW_RANDOM_U32 && r.kind <= TOKENDRAW_RANDOM_F32_POSITIVE) return Refusal{};
        return refuse(TOKENDRAW_INVALID_KIND, "kind is %d, which is no TokendrawRandomKind", static_cast<int>(r.kind));
      },
      [&] {
        if (r.count >= 1 && r.count <= kMaxRandomCount) return Refusal{};
        return refuse(TOKENDRAW_INVALID_COUNT, "count is %lld; it must be 1 to 2^40", static_cast<long long>(r.count));
      },
      [&] { return check_random_arrays(r); },
      [&] {
        const bool one_sequence = r.generator == TOKENDRAW_GENERATOR_XORWOW;
        const bool by_default = r.subsequence < 0 && r.subsequence_per_row == nullptr;
        o.kind = OperationKind::kFillRandom;
        o.memory = static_cast<Memory>(r.memory);
        o.rows = r.rows;
        o.columns = r.count;
        o.random = {static_cast<Generator>(r.generator),
                    static_cast<RandomKind>(r.kind),
                    by_default && r.seed_per_row == nullptr && !one_sequence,
                    {r.seed, r.seed_per_row},
                    {by_default ? 0 : static_cast<uint64_t>(r.subsequence), r.subsequence_per_row},
                    {r.offset, r.offset_per_row}};
        return set_matrix(kOutput, r.output, r.kind == TOKENDRAW_RANDOM_U64 ? 8 : 4, r.output_stride, o, &o.output);
      });
  if (!refusal) *operation = o;
  return refusal;
}

void set_defaults(TokendrawFilter* filter) {
  *filter = {};
  filter->struct_size = sizeof *filter;
  filter->temperature = 1.0f;
  filter->top_p = 1.0f;
  filter->invalid_token = -1;
  filter->stream = -1;
}

Refusal make_operation(const TokendrawFilter* filter, Operation* operation) {
  TokendrawFilter f = {};
  Operation o = {};
  const Refusal refusal = first_refusal(
      [&] { return read_versioned("filter", filter, &f); }, [&] { return check_memory(f.memory); },
      [&] { return check_rows(f.rows); }, [&] { return check_vocab(f.vocab); }, [&] { return check_filter_form(f); },
      [&] { return check_temperature(f.temperature, f.temperature_per_row); }, [&] { return check_filter_values(f); },
      [&] { return check_filter_random(f); },
      [&] {
        if (!misaligned(f.tokens, 4)) return Refusal{};
        return refuse(TOKENDRAW_INVALID_TOKENS, "tokens is not aligned to 4 bytes");
      },
      [&] {
        if (!misaligned(f.row_status, 4) && !misaligned(f.kept, 8) && !misaligned(f.kept_mass, 8)) return Refusal{};
        return refuse(TOKENDRAW_INVALID_OUTPUTS,
                      "row_status, kept or kept_mass is not aligned for its type (4, 8 and 8 bytes)");
      },
      [&] {
        o.kind = OperationKind::kFilter;
        o.memory = static_cast<Memory>(f.memory);
        o.rows = f.rows;
        o.columns = f.vocab;
        o.row_status = f.row_status;
        o.filter = resolve_filter(f);
        return set_matrix(kInput, f.input, dtype_bytes(o.filter.dtype), f.input_stride, o, &o.input);
      },
      [&] {
        if (f.output == nullptr) return Refusal{};
        return set_matrix(kOutput, f.output, 4, f.output_stride, o, &o.output);
      },
      [&] { return check_in_place(o); });
  if (!refusal) *operation = o;
  return refusal;
}

}  // namespace tokendraw::request
