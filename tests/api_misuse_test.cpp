// SPDX-License-Identifier: Apache-2.0
// Every refusal that the header documents for a batch: the status, a message that names the argument, nothing written,
// no crash.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>
#include <type_traits>

#include "support/case_rows.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

// Four valid rows with every array that a batch may have but those that exclude each other; a test spoils one of them.
class BatchRefusals : public testing::Test {
 protected:
  static constexpr int32_t kVocab = 40;
  static constexpr int64_t kRows = 4;

  BatchRefusals() : packed(spec()), batch(packed.batch), sampler(make_sampler({})) {}

  static BatchSpec spec() {
    RowSpec row = filtered(1.0f, 10, 0.9f, 0.01f);
    row.mask = mask_without(kVocab, {7});
    row.history = {{3, 1}};
    BatchSpec spec = one_row_many_parameters(std::vector<float>(kVocab, 1.0f), std::vector<RowSpec>(kRows, row));
    return spec;
  }

  // Parameters as scalars, so that they can be out of range.
  void use_scalars() {
    batch.temperature_per_row = batch.top_p_per_row = batch.min_p_per_row = nullptr;
    batch.repetition_penalty_per_row = batch.frequency_penalty_per_row = batch.presence_penalty_per_row = nullptr;
    batch.top_k_per_row = nullptr;
    batch.seed_per_row = batch.offset_per_row = nullptr;
    batch.stream_per_row = nullptr;
  }

  // All four functions that take a batch refuse it alike, and write nothing.
  void expect_refused(TokendrawStatus expected, const std::string& named) {
    const auto check = [&](const char* function, TokendrawStatus status) {
      EXPECT_EQ(tokendraw_status_name(status), std::string(tokendraw_status_name(expected))) << function;
      const std::string message = tokendraw_last_error_message();
      EXPECT_NE(message.find(named), std::string::npos) << function << ": \"" << message << "\" names no " << named;
    };
    size_t bytes = 12345;
    check("tokendraw_get_workspace_bytes", tokendraw_get_workspace_bytes(sampler.get(), &batch, &bytes));
    EXPECT_EQ(bytes, 12345u);
    std::vector<unsigned char> workspace(1 << 20, 0x11);
    check("tokendraw_sample", tokendraw_sample(sampler.get(), &batch, workspace.data(), workspace.size(), nullptr));
    check("tokendraw_sample_host", tokendraw_sample_host(sampler.get(), &batch));
    char text[64] = "untouched";
    check("tokendraw_describe_plan", tokendraw_describe_plan(sampler.get(), &batch, text, sizeof text, nullptr));
    EXPECT_STREQ(text, "untouched");
    EXPECT_EQ(std::count(workspace.begin(), workspace.end(), 0x11), static_cast<std::ptrdiff_t>(workspace.size()));
    for (const RowResult& result : packed.results()) EXPECT_EQ(result.token, packed.guard_token());
  }

  void expect_accepted() {
    EXPECT_EQ(tokendraw_sample_host(sampler.get(), &batch), TOKENDRAW_OK) << tokendraw_last_error_message();
    for (const RowResult& result : packed.results()) EXPECT_NE(result.token, packed.guard_token());
  }

  PackedBatch packed;
  TokendrawBatch& batch;
  SamplerPointer sampler;
};

TEST_F(BatchRefusals, TheBatchIsValidBeforeItIsSpoilt) { expect_accepted(); }

TEST_F(BatchRefusals, NullBatchAndNullSampler) {
  size_t bytes = 0;
  EXPECT_EQ(tokendraw_get_workspace_bytes(sampler.get(), nullptr, &bytes), TOKENDRAW_INVALID_BATCH);
  EXPECT_EQ(tokendraw_sample(sampler.get(), nullptr, &bytes, sizeof bytes, nullptr), TOKENDRAW_INVALID_BATCH);
  EXPECT_EQ(tokendraw_sample_host(sampler.get(), nullptr), TOKENDRAW_INVALID_BATCH);
  EXPECT_EQ(tokendraw_describe_plan(sampler.get(), nullptr, nullptr, 0, &bytes), TOKENDRAW_INVALID_BATCH);
  EXPECT_NE(std::string(tokendraw_last_error_message()).find("batch"), std::string::npos);
  sampler.reset();
  expect_refused(TOKENDRAW_INVALID_SAMPLER, "sampler");
}

TEST_F(BatchRefusals, NullOutputPointers) {
  EXPECT_EQ(tokendraw_get_workspace_bytes(sampler.get(), &batch, nullptr), TOKENDRAW_INVALID_OUTPUT_POINTER);
  EXPECT_NE(std::string(tokendraw_last_error_message()).find("bytes"), std::string::npos);
  EXPECT_EQ(tokendraw_describe_plan(sampler.get(), &batch, nullptr, 10, nullptr), TOKENDRAW_INVALID_OUTPUT_POINTER);
  EXPECT_NE(std::string(tokendraw_last_error_message()).find("text"), std::string::npos);
  EXPECT_EQ(tokendraw_describe_plan(sampler.get(), &batch, nullptr, 0, nullptr), TOKENDRAW_OK);
}

// The sizes of no version: too small, larger than this library knows, and those that end inside a field, whose value
// would be half the caller's and half nothing.
TEST_F(BatchRefusals, StructSize) {
  const size_t whole = sizeof(TokendrawBatch);
  const size_t ends_in_a_field[] = {whole - 1,
                                    whole - 4,
                                    offsetof(TokendrawBatch, kept) + 3,
                                    offsetof(TokendrawBatch, kept_mass) + 4,
                                    offsetof(TokendrawBatch, row_status) + 1,
                                    offsetof(TokendrawBatch, rounds) - 4,
                                    offsetof(TokendrawBatch, rounds) + 4};
  for (const size_t size : {size_t{0}, size_t{1}, sizeof(size_t), whole / 2, offsetof(TokendrawBatch, tokens),
                            whole + 1, whole + 8, ~size_t{0}}) {
    batch.struct_size = size;
    expect_refused(TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size");
  }
  for (const size_t size : ends_in_a_field) {
    batch.struct_size = size;
    SCOPED_TRACE(size);
    expect_refused(TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size");
  }
}

TEST_F(BatchRefusals, Shape) {
  for (const int32_t vocab : {0, -1, (1 << 21) + 1, kMinInt, kMaxInt}) {
    batch.vocab = vocab;
    expect_refused(TOKENDRAW_INVALID_VOCAB, "vocab");
  }
  batch.vocab = kVocab;
  for (const int64_t rows : {int64_t{-1}, int64_t{1} << 31, INT64_MAX, INT64_MIN}) {
    batch.rows = rows;
    expect_refused(TOKENDRAW_INVALID_ROWS, "rows");
  }
  batch.rows = kRows;
  for (const int64_t rows : {int64_t{-1}, int64_t{1} << 31, INT64_MAX, INT64_MIN}) {
    batch.logits_rows = rows;
    expect_refused(TOKENDRAW_INVALID_LOGITS_ROWS, "logits_rows");
  }
  batch.logits_rows = kRows - 1;  // fewer than rows, and no row_index to say which
  batch.row_index = nullptr;
  expect_refused(TOKENDRAW_INVALID_LOGITS_ROWS, "logits_rows");
}

TEST_F(BatchRefusals, RowStride) {
  for (const int64_t stride : {int64_t{kVocab - 1}, int64_t{1}, int64_t{-1}, int64_t{-kVocab}, INT64_MIN}) {
    batch.row_stride = stride;
    expect_refused(TOKENDRAW_INVALID_ROW_STRIDE, "row_stride");
  }
  batch.logits_rows = 2;
  for (const int64_t stride :
       {INT64_MAX, INT64_MAX / 2, INT64_MAX / 4}) {  // the second row lies past the address space
    batch.row_stride = stride;
    expect_refused(TOKENDRAW_INVALID_ROW_STRIDE, "row_stride");
  }
}

TEST_F(BatchRefusals, Pointers) {
  const auto* const logits = static_cast<const unsigned char*>(batch.logits);
  batch.logits = nullptr;
  expect_refused(TOKENDRAW_INVALID_LOGITS, "logits");
  batch.logits = logits + 2;
  expect_refused(TOKENDRAW_INVALID_LOGITS, "logits");
  batch.dtype = TOKENDRAW_DTYPE_F16;
  batch.logits = logits + 1;
  expect_refused(TOKENDRAW_INVALID_LOGITS, "logits");
  batch.logits = logits;
  batch.dtype = TOKENDRAW_DTYPE_F32;
  int32_t* const tokens = batch.tokens;
  batch.tokens = nullptr;
  expect_refused(TOKENDRAW_INVALID_TOKENS, "tokens");
  batch.tokens = tokens;
  expect_accepted();
}

TEST_F(BatchRefusals, EnumsOutOfRange) {
  for (const int32_t value : {-1, 3, 99, kMinInt, kMaxInt}) {
    batch.dtype = static_cast<TokendrawDtype>(value);
    expect_refused(TOKENDRAW_INVALID_DTYPE, "dtype");
    batch.dtype = TOKENDRAW_DTYPE_F32;
    batch.logits_memory = static_cast<TokendrawMemory>(value);
    expect_refused(TOKENDRAW_INVALID_LOGITS_MEMORY, "logits_memory");
    batch.logits_memory = TOKENDRAW_MEMORY_HOST;
    batch.params_memory = static_cast<TokendrawMemory>(value);
    expect_refused(TOKENDRAW_INVALID_PARAMS_MEMORY, "params_memory");
    batch.params_memory = TOKENDRAW_MEMORY_HOST;
    batch.top_p_base = static_cast<TokendrawTopPBase>(value);
    expect_refused(TOKENDRAW_INVALID_TOP_P_BASE, "top_p_base");
    batch.top_p_base = TOKENDRAW_TOP_P_ALL;
  }
}

TEST_F(BatchRefusals, DeviceMemoryOnTheCpu) {
  batch.logits_memory = TOKENDRAW_MEMORY_DEVICE;
  expect_refused(TOKENDRAW_INVALID_LOGITS_MEMORY, "logits_memory");
  batch.logits_memory = TOKENDRAW_MEMORY_HOST;
  batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
  expect_refused(TOKENDRAW_INVALID_PARAMS_MEMORY, "params_memory");
}

TEST_F(BatchRefusals, ScalarParameters) {
  use_scalars();
  expect_accepted();
  packed.clear_outputs();
  struct Scalar {
    float TokendrawBatch::*field;
    TokendrawStatus status;
    const char* name;
    float valid;
    std::vector<float> bad;
  };
  const std::vector<Scalar> scalars = {
      {&TokendrawBatch::temperature,
       TOKENDRAW_INVALID_TEMPERATURE,
       "temperature",
       1.0f,
       {kNan, -kTiny, -1.0f, -kInfinity}},
      {&TokendrawBatch::top_p, TOKENDRAW_INVALID_TOP_P, "top_p", 1.0f, {kNan, -kNan}},
      {&TokendrawBatch::min_p, TOKENDRAW_INVALID_MIN_P, "min_p", 0.0f, {kNan, 1.0000001f, kInfinity}},
      {&TokendrawBatch::repetition_penalty,
       TOKENDRAW_INVALID_REPETITION_PENALTY,
       "repetition_penalty",
       1.0f,
       {kNan, 0.0f, -0.0f, -1.0f, kInfinity, -kInfinity}},
      {&TokendrawBatch::frequency_penalty,
       TOKENDRAW_INVALID_FREQUENCY_PENALTY,
       "frequency_penalty",
       0.0f,
       {kNan, kInfinity, -kInfinity}},
      {&TokendrawBatch::presence_penalty,
       TOKENDRAW_INVALID_PRESENCE_PENALTY,
       "presence_penalty",
       0.0f,
       {kNan, kInfinity, -kInfinity}},
  };
  for (const Scalar& scalar : scalars) {
    for (const float bad : scalar.bad) {
      batch.*scalar.field = bad;
      SCOPED_TRACE(bad);
      expect_refused(scalar.status, scalar.name);
    }
    batch.*scalar.field = scalar.valid;
  }
  for (const int64_t stream : {int64_t{-2}, int64_t{1} << 32, INT64_MIN, INT64_MAX}) {
    batch.stream = stream;
    expect_refused(TOKENDRAW_INVALID_STREAM, "stream");
  }
  batch.stream = -1;
  expect_accepted();
}

TEST_F(BatchRefusals, MasksAndBiases) {
  for (const int64_t stride : {int64_t{1}, int64_t{-2}, INT64_MIN}) {  // 40 tokens need two words
    batch.mask_row_stride = stride;
    expect_refused(TOKENDRAW_INVALID_MASK_STRIDE, "mask_row_stride");
  }
  batch.mask_row_stride = 2;
  const std::vector<float> bias(kVocab * kRows, 0.0f);
  batch.bias = bias.data();
  for (const int64_t stride : {int64_t{1}, int64_t{kVocab - 1}, int64_t{-kVocab}, INT64_MIN}) {
    batch.bias_row_stride = stride;
    expect_refused(TOKENDRAW_INVALID_BIAS_STRIDE, "bias_row_stride");
  }
  batch.bias_row_stride = kVocab;
  const std::vector<int64_t> offsets(kRows + 1, 0);
  batch.bias_offsets = offsets.data();
  expect_refused(TOKENDRAW_INVALID_BIAS, "bias");  // dense and sparse
  batch.bias = nullptr;
  expect_accepted();  // a sparse bias without entries
}

TEST_F(BatchRefusals, Lists) {
  const std::vector<int32_t> ids(2, 1);
  const std::vector<float> values(2, 1.0f);
  const std::vector<int64_t> offsets = {0, 1, 2, 2, 2};
  batch.bias_offsets = offsets.data();
  batch.bias_entries = -1;
  expect_refused(TOKENDRAW_INVALID_BIAS_LIST, "bias_entries");
  batch.bias_entries = 2;
  batch.bias_values = values.data();
  expect_refused(TOKENDRAW_INVALID_BIAS_LIST, "bias_ids");
  batch.bias_ids = ids.data();
  batch.bias_values = nullptr;
  expect_refused(TOKENDRAW_INVALID_BIAS_LIST, "bias_values");
  batch.bias_values = values.data();
  expect_accepted();
  packed.clear_outputs();
  batch.history_entries = -1;
  expect_refused(TOKENDRAW_INVALID_HISTORY, "history_entries");
  batch.history_entries = 4;
  batch.history_ids = nullptr;
  expect_refused(TOKENDRAW_INVALID_HISTORY, "history_ids");
  batch.history_offsets = nullptr;  // no history at all: the other fields are not read
  batch.history_entries = -1;
  expect_accepted();
}

TEST_F(BatchRefusals, RandomNumbersOfBothKinds) {
  const std::vector<uint64_t> integers(kRows, 1);
  const std::vector<float> floats(kRows, 0.5f);
  batch.random_u64 = integers.data();
  batch.random_f32 = floats.data();
  expect_refused(TOKENDRAW_INVALID_RANDOM, "random_");
}

TEST_F(BatchRefusals, MisalignedArrays) {
  const std::vector<int64_t> wide(64, 0);  // zeros, aligned to 8 bytes, that a misaligned pointer may point into
  const auto* const one_off = reinterpret_cast<const unsigned char*>(wide.data()) + 4;
  const auto try_field = [&](auto TokendrawBatch::*field, TokendrawStatus status, const char* name) {
    const auto valid = batch.*field;
    using Pointer = std::remove_const_t<decltype(valid)>;
    using Element = std::remove_cv_t<std::remove_pointer_t<Pointer>>;
    const auto* const bytes = sizeof(Element) == 8 ? one_off : one_off + 1;
    batch.*field = reinterpret_cast<Pointer>(const_cast<unsigned char*>(bytes));
    SCOPED_TRACE(name);
    expect_refused(status, name);
    batch.*field = valid;
  };
  try_field(&TokendrawBatch::row_index, TOKENDRAW_INVALID_ROW_INDEX, "row_index");
  try_field(&TokendrawBatch::temperature_per_row, TOKENDRAW_INVALID_TEMPERATURE, "temperature_per_row");
  try_field(&TokendrawBatch::top_k_per_row, TOKENDRAW_INVALID_TOP_K, "top_k_per_row");
  try_field(&TokendrawBatch::top_p_per_row, TOKENDRAW_INVALID_TOP_P, "top_p_per_row");
  try_field(&TokendrawBatch::min_p_per_row, TOKENDRAW_INVALID_MIN_P, "min_p_per_row");
  try_field(&TokendrawBatch::seed_per_row, TOKENDRAW_INVALID_SEED, "seed_per_row");
  try_field(&TokendrawBatch::stream_per_row, TOKENDRAW_INVALID_STREAM, "stream_per_row");
  try_field(&TokendrawBatch::offset_per_row, TOKENDRAW_INVALID_OFFSET, "offset_per_row");
  try_field(&TokendrawBatch::random_u64, TOKENDRAW_INVALID_RANDOM, "random_u64");
  try_field(&TokendrawBatch::random_f32, TOKENDRAW_INVALID_RANDOM, "random_f32");
  try_field(&TokendrawBatch::mask, TOKENDRAW_INVALID_MASK, "mask");
  try_field(&TokendrawBatch::bias, TOKENDRAW_INVALID_BIAS, "bias");
  try_field(&TokendrawBatch::bias_offsets, TOKENDRAW_INVALID_BIAS_LIST, "bias_offsets");
  try_field(&TokendrawBatch::history_ids, TOKENDRAW_INVALID_HISTORY, "history_ids");
  try_field(&TokendrawBatch::history_counts, TOKENDRAW_INVALID_HISTORY, "history_counts");
  try_field(&TokendrawBatch::history_offsets, TOKENDRAW_INVALID_HISTORY, "history_offsets");
  try_field(&TokendrawBatch::repetition_penalty_per_row, TOKENDRAW_INVALID_REPETITION_PENALTY,
            "repetition_penalty_per_row");
  try_field(&TokendrawBatch::frequency_penalty_per_row, TOKENDRAW_INVALID_FREQUENCY_PENALTY,
            "frequency_penalty_per_row");
  try_field(&TokendrawBatch::presence_penalty_per_row, TOKENDRAW_INVALID_PRESENCE_PENALTY, "presence_penalty_per_row");
  try_field(&TokendrawBatch::tokens, TOKENDRAW_INVALID_TOKENS, "tokens");
  try_field(&TokendrawBatch::row_status, TOKENDRAW_INVALID_OUTPUTS, "row_status");
  try_field(&TokendrawBatch::kept, TOKENDRAW_INVALID_OUTPUTS, "kept");
  try_field(&TokendrawBatch::kept_mass, TOKENDRAW_INVALID_OUTPUTS, "kept_mass");
  try_field(&TokendrawBatch::logprob, TOKENDRAW_INVALID_OUTPUTS, "logprob");
  try_field(&TokendrawBatch::rounds, TOKENDRAW_INVALID_OUTPUTS, "rounds");
}

TEST_F(BatchRefusals, Workspace) {
  for (const auto algorithm :
       {TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_REFERENCE, TOKENDRAW_ALGORITHM_REJECTION}) {
    sampler = make_sampler({algorithm, "", 2});
    size_t bytes = 0;
    ASSERT_EQ(tokendraw_get_workspace_bytes(sampler.get(), &batch, &bytes), TOKENDRAW_OK);
    ASSERT_GT(bytes, 0u);
    std::vector<unsigned char> workspace(bytes);
    const auto sample = [&](void* memory, size_t size) {
      return tokendraw_sample(sampler.get(), &batch, memory, size, nullptr);
    };
    packed.clear_outputs();
    EXPECT_EQ(sample(nullptr, bytes), TOKENDRAW_INVALID_WORKSPACE);
    EXPECT_NE(std::string(tokendraw_last_error_message()).find("workspace"), std::string::npos);
    for (const size_t size : {bytes - 1, size_t{0}}) {
      EXPECT_EQ(sample(workspace.data(), size), TOKENDRAW_INVALID_WORKSPACE_BYTES);
      const std::string message = tokendraw_last_error_message();
      EXPECT_NE(message.find("workspace_bytes"), std::string::npos) << message;
      EXPECT_NE(message.find(std::to_string(bytes)), std::string::npos) << message;  // what is needed
    }
    for (const RowResult& result : packed.results()) EXPECT_EQ(result.token, packed.guard_token());
    EXPECT_EQ(sample(workspace.data(), bytes), TOKENDRAW_OK);
  }
}

}  // namespace
}  // namespace tokendraw::test
