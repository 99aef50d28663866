// SPDX-License-Identifier: Apache-2.0
#include "fake_backend/device_batch.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>

namespace tokendraw::test {
namespace {

fake::Controls& find_controls(const char* file) {
  void* object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  void* symbol = object != nullptr ? dlsym(object, fake::kControlsFunction) : nullptr;
  if (symbol == nullptr) {
    ADD_FAILURE() << file << " is not the fake backend: run this test with ctest, which sets LD_LIBRARY_PATH";
    std::abort();
  }
  fake::ControlsFunction get = nullptr;
  std::memcpy(&get, &symbol, sizeof get);
  return *get();
}

template <typename T>
bool same_bytes(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

}  // namespace

fake::Controls& cuda() {
  static fake::Controls& controls = find_controls("libtokendraw_cuda.so.0");
  return controls;
}

fake::Controls& hip() {
  static fake::Controls& controls = find_controls("libtokendraw_hip.so.0");
  return controls;
}

DeviceBytes allocate_on_device(size_t bytes) {
  return DeviceBytes(static_cast<unsigned char*>(cuda().allocate(bytes)));
}

template <typename T>
void DeviceBatch::move_input(const T*& array, int64_t count, size_t element_bytes) {
  if (array == nullptr) return;
  const size_t bytes = static_cast<size_t>(count) * element_bytes;
  memory_.push_back(allocate_on_device(bytes));
  cuda().copy(memory_.back().get(), array, bytes);
  array = reinterpret_cast<const T*>(memory_.back().get());
}

template <typename T>
void DeviceBatch::move_output(T*& array, std::vector<T>& host) {
  const T* input = array;
  move_input(input, static_cast<int64_t>(host.size()));
  array = const_cast<T*>(input);
}

DeviceBatch::DeviceBatch(const cases::CaseBatch& from, Arrays arrays) {
  batch = from.batch(output_);
  TokendrawBatch& b = batch;
  const auto elements = [](int64_t rows, int64_t length, int64_t stride) { return (rows - 1) * stride + length; };
  b.logits_memory = TOKENDRAW_MEMORY_DEVICE;
  move_input(b.logits,
             elements(b.logits_rows != 0 ? b.logits_rows : b.rows, b.vocab, b.row_stride != 0 ? b.row_stride : b.vocab),
             b.dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2);
  if (arrays == Arrays::kLogits) return;
  b.params_memory = TOKENDRAW_MEMORY_DEVICE;
  move_input(b.row_index, b.rows);
  move_input(b.temperature_per_row, b.rows);
  move_input(b.top_k_per_row, b.rows);
  move_input(b.top_p_per_row, b.rows);
  move_input(b.min_p_per_row, b.rows);
  move_input(b.seed_per_row, b.rows);
  move_input(b.stream_per_row, b.rows);
  move_input(b.offset_per_row, b.rows);
  move_input(b.random_u64, b.rows);
  move_input(b.random_f32, b.rows);
  move_input(b.mask, elements(b.rows, (b.vocab + 31) / 32, b.mask_row_stride));
  move_input(b.bias, elements(b.rows, b.vocab, b.bias_row_stride));
  move_input(b.bias_ids, b.bias_entries);
  move_input(b.bias_values, b.bias_entries);
  move_input(b.bias_offsets, b.rows + 1);
  move_input(b.history_ids, b.history_entries);
  move_input(b.history_counts, b.history_entries);
  move_input(b.history_offsets, b.rows + 1);
  move_input(b.repetition_penalty_per_row, b.rows);
  move_input(b.frequency_penalty_per_row, b.rows);
  move_input(b.presence_penalty_per_row, b.rows);
  move_output(b.tokens, output_.tokens);
  move_output(b.row_status, output_.row_status);
  move_output(b.kept, output_.kept);
  move_output(b.kept_mass, output_.kept_mass);
  move_output(b.logprob, output_.logprob);
  move_output(b.rounds, output_.rounds);
}

const cases::CaseOutput& DeviceBatch::output() {
  if (batch.params_memory == TOKENDRAW_MEMORY_HOST) return output_;
  const auto rows = static_cast<size_t>(batch.rows);
  cuda().copy(output_.tokens.data(), batch.tokens, rows * sizeof(int32_t));
  cuda().copy(output_.row_status.data(), batch.row_status, rows * sizeof(uint32_t));
  cuda().copy(output_.kept.data(), batch.kept, rows * sizeof(int64_t));
  cuda().copy(output_.kept_mass.data(), batch.kept_mass, rows * sizeof(uint64_t));
  cuda().copy(output_.logprob.data(), batch.logprob, rows * sizeof(float));
  cuda().copy(output_.rounds.data(), batch.rounds, rows * sizeof(int32_t));
  return output_;
}

TokendrawSamplerOptions cuda_options(TokendrawOnGpuFailure on_gpu_failure) {
  TokendrawSamplerOptions options;
  tokendraw_init_sampler_options(&options);
  options.backend = TOKENDRAW_BACKEND_CUDA;
  options.threads = 2;
  options.on_gpu_failure = on_gpu_failure;
  return options;
}

SamplerPointer make_sampler(const TokendrawSamplerOptions& options) {
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK) << tokendraw_last_error_message();
  return SamplerPointer(sampler);
}

Failing::Failing(fake::Function function, TokendrawStatus status, int32_t works_first)
    : fault_(cuda().faults[function]) {
  fault_.works_first = works_first;
  fault_.status = status;
}

Failing::~Failing() { fault_.status = TOKENDRAW_OK; }

testing::AssertionResult message_has(const std::string& part) {
  const std::string message = tokendraw_last_error_message();
  if (message.find(part) != std::string::npos) return testing::AssertionSuccess();
  return testing::AssertionFailure() << "'" << part << "' is not in '" << message << "'";
}

bool same_output(const cases::CaseOutput& a, const cases::CaseOutput& b) {
  return same_bytes(a.tokens, b.tokens) && same_bytes(a.row_status, b.row_status) && same_bytes(a.kept, b.kept) &&
         same_bytes(a.kept_mass, b.kept_mass) && same_bytes(a.logprob, b.logprob) && same_bytes(a.rounds, b.rounds);
}

cases::CaseOutput cpu_output(const cases::CaseBatch& batch) {
  cases::CaseOutput output;
  const TokendrawBatch raw = batch.batch(output);
  EXPECT_EQ(tokendraw_sample_host(sampler_for({TOKENDRAW_ALGORITHM_AUTO, "", 1}), &raw), TOKENDRAW_OK)
      << tokendraw_last_error_message();
  return output;
}

std::vector<cases::Case> some_cases() {
  std::vector<cases::Case> chosen;
  const std::vector<cases::Case> all = cases::list_cases({true, 0, 300});
  for (size_t i = 0; i < all.size(); i += 3) chosen.push_back(all[i]);
  return chosen;
}

}  // namespace tokendraw::test
