// SPDX-License-Identifier: Apache-2.0
// The building blocks' refusals: every field's, each with its own status and a message that names it.
#include <gtest/gtest.h>

#include <cstddef>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "support/samplers.h"

namespace tokendraw::test {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

TokendrawSampler* cpu() { return sampler_for({}); }

template <typename T>
T* odd(T* pointer) {
  return reinterpret_cast<T*>(reinterpret_cast<uintptr_t>(pointer) + 1);
}

template <typename Struct>
struct Refused {
  std::function<void(Struct&)> spoil;
  TokendrawStatus status;
  const char* named;  // in the message
};

// Each change of a good call alone is refused with its status, by both functions, and nothing is written.
template <typename Struct, typename Compute, typename ComputeHost>
void expect_refusals(const Struct& good, const std::vector<Refused<Struct>>& list, const Compute& compute,
                     const ComputeHost& compute_host) {
  ASSERT_EQ(compute(cpu(), &good, nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
  ASSERT_EQ(compute_host(cpu(), &good), TOKENDRAW_OK) << tokendraw_last_error_message();
  EXPECT_EQ(compute(nullptr, &good, nullptr), TOKENDRAW_INVALID_SAMPLER);
  EXPECT_EQ(compute_host(nullptr, &good), TOKENDRAW_INVALID_SAMPLER);
  EXPECT_EQ(compute(cpu(), nullptr, nullptr), TOKENDRAW_INVALID_OPERATION);
  for (size_t i = 0; i < list.size(); ++i) {
    Struct bad = good;
    list[i].spoil(bad);
    EXPECT_EQ(compute(cpu(), &bad, nullptr), list[i].status) << i << ": " << list[i].named;
    EXPECT_NE(std::string(tokendraw_last_error_message()).find(list[i].named), std::string::npos)
        << i << ": " << tokendraw_last_error_message();
    EXPECT_EQ(compute_host(cpu(), &bad), list[i].status) << i << ": " << list[i].named;
  }
}

TEST(OperationApi, SoftmaxRefuses) {
  std::vector<float> in(64, 1.0f), out(64), temperatures(4, 1.0f);
  std::vector<uint32_t> status(5);
  TokendrawSoftmax good;
  tokendraw_init_softmax(&good);
  EXPECT_EQ(good.struct_size, sizeof good);
  EXPECT_EQ(good.temperature, 1.0f);
  tokendraw_init_softmax(nullptr);
  good.input = in.data();
  good.output = out.data();
  good.rows = 4;
  good.vocab = 8;
  const std::vector<Refused<TokendrawSoftmax>> list = {
      {[](auto& s) { s.struct_size = 0; }, TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size is 0"},
      {[](auto& s) { s.struct_size += 8; }, TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size"},
      {[](auto& s) { s.memory = TOKENDRAW_MEMORY_DEVICE; }, TOKENDRAW_INVALID_MEMORY, "memory is device"},
      {[](auto& s) { s.memory = static_cast<TokendrawMemory>(7); }, TOKENDRAW_INVALID_MEMORY, "memory is 7"},
      {[](auto& s) { s.rows = -1; }, TOKENDRAW_INVALID_ROWS, "rows is -1"},
      {[](auto& s) { s.rows = int64_t{1} << 31; }, TOKENDRAW_INVALID_ROWS, "rows"},
      {[](auto& s) { s.vocab = 0; }, TOKENDRAW_INVALID_VOCAB, "vocab is 0"},
      {[](auto& s) { s.vocab = (1 << 21) + 1; }, TOKENDRAW_INVALID_VOCAB, "vocab"},
      {[](auto& s) { s.dtype = static_cast<TokendrawDtype>(3); }, TOKENDRAW_INVALID_DTYPE, "dtype is 3"},
      {[](auto& s) { s.output_dtype = static_cast<TokendrawDtype>(-1); }, TOKENDRAW_INVALID_OUTPUT_DTYPE,
       "output_dtype is -1"},
      {[](auto& s) { s.log = 2; }, TOKENDRAW_INVALID_LOG, "log is 2"},
      {[](auto& s) { s.temperature = kNan; }, TOKENDRAW_INVALID_TEMPERATURE, "temperature"},
      {[](auto& s) { s.temperature = -0.5f; }, TOKENDRAW_INVALID_TEMPERATURE, "temperature is -0.5"},
      {[&](auto& s) { s.temperature_per_row = odd(temperatures.data()); }, TOKENDRAW_INVALID_TEMPERATURE,
       "temperature_per_row"},
      {[&](auto& s) { s.row_status = odd(status.data()); }, TOKENDRAW_INVALID_OUTPUTS, "row_status"},
      {[](auto& s) { s.input = nullptr; }, TOKENDRAW_INVALID_INPUT, "input is NULL"},
      {[&](auto& s) { s.input = odd(in.data()); }, TOKENDRAW_INVALID_INPUT, "input is not aligned"},
      {[](auto& s) { s.input_stride = 7; }, TOKENDRAW_INVALID_INPUT_STRIDE, "input_stride is 7"},
      {[](auto& s) { s.input_stride = -8; }, TOKENDRAW_INVALID_INPUT_STRIDE, "input_stride is -8"},
      {[](auto& s) { s.input_stride = INT64_MAX; }, TOKENDRAW_INVALID_INPUT_STRIDE, "address space"},
      {[](auto& s) { s.output = nullptr; }, TOKENDRAW_INVALID_OUTPUT, "output is NULL"},
      {[&](auto& s) { s.output = odd(out.data()); }, TOKENDRAW_INVALID_OUTPUT, "output is not aligned"},
      {[](auto& s) { s.output_stride = 1; }, TOKENDRAW_INVALID_OUTPUT_STRIDE, "output_stride is 1"},
      {[](auto& s) { s.output_stride = INT64_MAX / 4; }, TOKENDRAW_INVALID_OUTPUT_STRIDE, "address space"},
      {[](auto& s) {
         s.output = const_cast<void*>(s.input);
         s.output_dtype = TOKENDRAW_DTYPE_F16;
       },
       TOKENDRAW_INVALID_OUTPUT, "output is input"},
      {[](auto& s) {
         s.output = const_cast<void*>(s.input);
         s.output_stride = 9;
       },
       TOKENDRAW_INVALID_OUTPUT, "output is input"},
  };
  expect_refusals(good, list, tokendraw_compute_softmax, tokendraw_compute_softmax_host);
  // Without rows no array is looked at.
  TokendrawSoftmax none;
  tokendraw_init_softmax(&none);
  none.vocab = 5;
  EXPECT_EQ(tokendraw_compute_softmax(cpu(), &none, nullptr), TOKENDRAW_OK) << tokendraw_last_error_message();
}

TEST(OperationApi, PrefixSumRefuses) {
  std::vector<float> in(64, 0.125f), out(64);
  TokendrawPrefixSum good;
  tokendraw_init_prefix_sum(&good);
  EXPECT_EQ(good.struct_size, sizeof good);
  tokendraw_init_prefix_sum(nullptr);
  good.input = in.data();
  good.output = out.data();
  good.rows = 4;
  good.vocab = 8;
  const std::vector<Refused<TokendrawPrefixSum>> list = {
      {[](auto& s) { s.struct_size = 8; }, TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size is 8"},
      {[](auto& s) { s.memory = TOKENDRAW_MEMORY_DEVICE; }, TOKENDRAW_INVALID_MEMORY, "memory is device"},
      {[](auto& s) { s.rows = -2; }, TOKENDRAW_INVALID_ROWS, "rows is -2"},
      {[](auto& s) { s.vocab = -1; }, TOKENDRAW_INVALID_VOCAB, "vocab is -1"},
      {[](auto& s) { s.number = static_cast<TokendrawNumber>(2); }, TOKENDRAW_INVALID_NUMBER, "number is 2"},
      {[](auto& s) { s.exclusive = -1; }, TOKENDRAW_INVALID_EXCLUSIVE, "exclusive is -1"},
      {[](auto& s) { s.row_status = reinterpret_cast<uint32_t*>(2); }, TOKENDRAW_INVALID_OUTPUTS, "row_status"},
      {[](auto& s) { s.input = nullptr; }, TOKENDRAW_INVALID_INPUT, "input is NULL"},
      {[&](auto& s) {
         s.number = TOKENDRAW_NUMBER_U64;
         s.input = in.data() + (reinterpret_cast<uintptr_t>(in.data()) % 8 == 0 ? 1 : 0);
       },
       TOKENDRAW_INVALID_INPUT, "multiple of 8"},
      {[](auto& s) { s.input_stride = 3; }, TOKENDRAW_INVALID_INPUT_STRIDE, "input_stride is 3"},
      {[](auto& s) { s.output = nullptr; }, TOKENDRAW_INVALID_OUTPUT, "output is NULL"},
      {[](auto& s) { s.output_stride = 7; }, TOKENDRAW_INVALID_OUTPUT_STRIDE, "output_stride is 7"},
      {[](auto& s) {
         s.output = const_cast<void*>(s.input);
         s.output_stride = 10;
       },
       TOKENDRAW_INVALID_OUTPUT, "output is input"},
  };
  expect_refusals(good, list, tokendraw_compute_prefix_sum, tokendraw_compute_prefix_sum_host);
}

TEST(OperationApi, RandomRefuses) {
  std::vector<uint64_t> out(64), numbers(8);
  TokendrawRandom good;
  tokendraw_init_random(&good);
  EXPECT_EQ(good.struct_size, sizeof good);
  EXPECT_EQ(good.subsequence, -1);
  tokendraw_init_random(nullptr);
  good.output = out.data();
  good.rows = 4;
  good.count = 8;
  const std::vector<Refused<TokendrawRandom>> list = {
      {[](auto& s) { s.struct_size -= 8; }, TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size"},
      {[](auto& s) { s.memory = TOKENDRAW_MEMORY_DEVICE; }, TOKENDRAW_INVALID_MEMORY, "memory is device"},
      {[](auto& s) { s.rows = -1; }, TOKENDRAW_INVALID_ROWS, "rows is -1"},
      {[](auto& s) { s.generator = static_cast<TokendrawGenerator>(2); }, TOKENDRAW_INVALID_GENERATOR,
       "generator is 2"},
      {[](auto& s) { s.kind = static_cast<TokendrawRandomKind>(4); }, TOKENDRAW_INVALID_KIND, "kind is 4"},
      {[](auto& s) { s.count = 0; }, TOKENDRAW_INVALID_COUNT, "count is 0"},
      {[](auto& s) { s.count = (int64_t{1} << 40) + 1; }, TOKENDRAW_INVALID_COUNT, "count"},
      {[&](auto& s) { s.seed_per_row = odd(numbers.data()); }, TOKENDRAW_INVALID_SEED, "seed_per_row"},
      {[&](auto& s) { s.offset_per_row = odd(numbers.data()); }, TOKENDRAW_INVALID_OFFSET, "offset_per_row"},
      {[&](auto& s) { s.subsequence_per_row = odd(numbers.data()); }, TOKENDRAW_INVALID_SUBSEQUENCE,
       "subsequence_per_row"},
      {[](auto& s) { s.subsequence = -2; }, TOKENDRAW_INVALID_SUBSEQUENCE, "subsequence is -2"},
      {[](auto& s) {
         s.generator = TOKENDRAW_GENERATOR_XORWOW;
         s.subsequence = 1;
       },
       TOKENDRAW_INVALID_SUBSEQUENCE, "xorwow"},
      {[](auto& s) { s.output = nullptr; }, TOKENDRAW_INVALID_OUTPUT, "output is NULL"},
      {[&](auto& s) {
         s.kind = TOKENDRAW_RANDOM_U64;
         s.output = reinterpret_cast<uint32_t*>(out.data()) + 1;
       },
       TOKENDRAW_INVALID_OUTPUT, "multiple of 8"},
      {[](auto& s) { s.output_stride = 7; }, TOKENDRAW_INVALID_OUTPUT_STRIDE, "output_stride is 7"},
      {[](auto& s) { s.output_stride = INT64_MAX / 8; }, TOKENDRAW_INVALID_OUTPUT_STRIDE, "address space"},
  };
  expect_refusals(good, list, tokendraw_fill_random, tokendraw_fill_random_host);
}

TEST(OperationApi, FilterRefuses) {
  std::vector<float> in(64, 0.125f), out(64);
  std::vector<uint64_t> numbers(8);
  TokendrawFilter good;
  tokendraw_init_filter(&good);
  EXPECT_EQ(good.struct_size, sizeof good);
  EXPECT_TRUE(good.temperature == 1.0f && good.top_p == 1.0f && good.stream == -1 && good.invalid_token == -1);
  tokendraw_init_filter(nullptr);
  good.input = in.data();
  good.output = out.data();
  good.rows = 4;
  good.vocab = 8;
  auto* const bad4 = reinterpret_cast<float*>(2);
  auto* const bad8 = odd(numbers.data());
  const std::vector<Refused<TokendrawFilter>> list = {
      {[](auto& s) { s.struct_size = 1; }, TOKENDRAW_INVALID_STRUCT_SIZE, "struct_size is 1"},
      {[](auto& s) { s.memory = TOKENDRAW_MEMORY_DEVICE; }, TOKENDRAW_INVALID_MEMORY, "memory is device"},
      {[](auto& s) { s.rows = -1; }, TOKENDRAW_INVALID_ROWS, "rows is -1"},
      {[](auto& s) { s.vocab = 0; }, TOKENDRAW_INVALID_VOCAB, "vocab is 0"},
      {[](auto& s) { s.form = static_cast<TokendrawForm>(2); }, TOKENDRAW_INVALID_FORM, "form is 2"},
      {[](auto& s) { s.masking = 3; }, TOKENDRAW_INVALID_MASKING, "masking is 3"},
      {[](auto& s) { s.dtype = static_cast<TokendrawDtype>(9); }, TOKENDRAW_INVALID_DTYPE, "dtype is 9"},
      {[](auto& s) {
         s.form = TOKENDRAW_FORM_PROBABILITIES;
         s.dtype = TOKENDRAW_DTYPE_BF16;
       },
       TOKENDRAW_INVALID_DTYPE, "probabilities are f32"},
      {[](auto& s) {
         s.form = TOKENDRAW_FORM_PROBABILITIES;
         s.temperature = 0.5f;
       },
       TOKENDRAW_INVALID_TEMPERATURE, "temperature"},
      {[](auto& s) { s.temperature = -1.0f; }, TOKENDRAW_INVALID_TEMPERATURE, "temperature is -1"},
      {[&](auto& s) { s.temperature_per_row = bad4; }, TOKENDRAW_INVALID_TEMPERATURE, "temperature_per_row"},
      {[&](auto& s) { s.top_k_per_row = reinterpret_cast<int32_t*>(bad4); }, TOKENDRAW_INVALID_TOP_K, "top_k_per_row"},
      {[](auto& s) { s.top_p = kNan; }, TOKENDRAW_INVALID_TOP_P, "top_p is NaN"},
      {[&](auto& s) { s.top_p_per_row = bad4; }, TOKENDRAW_INVALID_TOP_P, "top_p_per_row"},
      {[](auto& s) { s.min_p = 1.5f; }, TOKENDRAW_INVALID_MIN_P, "min_p is 1.5"},
      {[&](auto& s) { s.min_p_per_row = bad4; }, TOKENDRAW_INVALID_MIN_P, "min_p_per_row"},
      {[](auto& s) { s.top_p_base = static_cast<TokendrawTopPBase>(3); }, TOKENDRAW_INVALID_TOP_P_BASE,
       "top_p_base is 3"},
      {[&](auto& s) { s.seed_per_row = bad8; }, TOKENDRAW_INVALID_SEED, "seed_per_row"},
      {[](auto& s) { s.stream = -2; }, TOKENDRAW_INVALID_STREAM, "stream is -2"},
      {[](auto& s) { s.stream = int64_t{1} << 32; }, TOKENDRAW_INVALID_STREAM, "stream"},
      {[&](auto& s) { s.stream_per_row = reinterpret_cast<uint32_t*>(bad4); }, TOKENDRAW_INVALID_STREAM,
       "stream_per_row"},
      {[&](auto& s) { s.offset_per_row = bad8; }, TOKENDRAW_INVALID_OFFSET, "offset_per_row"},
      {[&](auto& s) { s.random_u64 = bad8; }, TOKENDRAW_INVALID_RANDOM, "random_u64"},
      {[&](auto& s) { s.tokens = reinterpret_cast<int32_t*>(bad4); }, TOKENDRAW_INVALID_TOKENS, "tokens"},
      {[&](auto& s) { s.kept_mass = bad8; }, TOKENDRAW_INVALID_OUTPUTS, "kept_mass"},
      {[](auto& s) { s.input = nullptr; }, TOKENDRAW_INVALID_INPUT, "input is NULL"},
      {[](auto& s) { s.input_stride = 7; }, TOKENDRAW_INVALID_INPUT_STRIDE, "input_stride is 7"},
      {[&](auto& s) { s.output = bad4; }, TOKENDRAW_INVALID_OUTPUT, "output is not aligned"},
      {[](auto& s) { s.output_stride = 7; }, TOKENDRAW_INVALID_OUTPUT_STRIDE, "output_stride is 7"},
      {[&](auto& s) {
         s.dtype = TOKENDRAW_DTYPE_F16;
         s.output = in.data();
       },
       TOKENDRAW_INVALID_OUTPUT, "output is input"},
  };
  expect_refusals(good, list, tokendraw_apply_filter, tokendraw_apply_filter_host);
}

}  // namespace
}  // namespace tokendraw::test
