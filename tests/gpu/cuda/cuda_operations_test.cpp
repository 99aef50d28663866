// SPDX-License-Identifier: Apache-2.0
// The building blocks on a real GPU: device memory in and out on a stream, the CPU's bits.
#include <filter_case.h>
#include <prefix_sum_case.h>
#include <random_case.h>
#include <softmax_case.h>

#include <cstring>

#include "gpu/cuda/cuda_fixture.h"
#include "gpu/cuda/curand_words.h"

namespace tokendraw::test {
namespace {

using CudaOperations = CudaTest;

TokendrawSampler* cpu() { return sampler_for({TOKENDRAW_ALGORITHM_AUTO, "", 0, TOKENDRAW_BACKEND_CPU, 0}); }

TEST_F(CudaOperations, Softmax) {
  const Stream stream;
  std::vector<cases::SoftmaxCase> list = cases::softmax_cases({1, 2, 31, 517, 4099, 32000, 128256, 151937});
  list.push_back({});
  list.back().vocab = 1 << 21;  // no cluster holds such a row
  for (const cases::SoftmaxCase& c : list) {
    cases::SoftmaxCall expected(c);
    ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &expected.softmax), TOKENDRAW_OK);
    cases::SoftmaxCall call(c);
    const DeviceArray<unsigned char> input(call.input);
    const DeviceArray<unsigned char> output(call.output);
    const DeviceArray<float> temperatures(call.temperatures);
    const DeviceArray<uint32_t> status(call.status);
    TokendrawSoftmax softmax = call.softmax;
    softmax.memory = TOKENDRAW_MEMORY_DEVICE;
    softmax.input = input.get() + (static_cast<const unsigned char*>(call.softmax.input) - call.input.data());
    softmax.output = c.in_place
                         ? const_cast<void*>(softmax.input)
                         : output.get() + (static_cast<unsigned char*>(call.softmax.output) - call.output.data());
    softmax.temperature_per_row = temperatures.get();
    softmax.row_status = status.get();
    ASSERT_EQ(tokendraw_compute_softmax(sampler_for(on_cuda()), &softmax, stream.get()), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    stream.synchronize();
    EXPECT_EQ(status.read(), expected.status) << c.text();
    EXPECT_TRUE(output.read() == expected.output) << c.text();
    EXPECT_TRUE(input.read() == expected.input) << c.text();
  }
}

TEST_F(CudaOperations, SoftmaxFromHostMemory) {
  for (const cases::SoftmaxCase& c : cases::softmax_cases({999, 50257})) {
    cases::SoftmaxCall expected(c);
    cases::SoftmaxCall found(c);
    ASSERT_EQ(tokendraw_compute_softmax_host(cpu(), &expected.softmax), TOKENDRAW_OK);
    ASSERT_EQ(tokendraw_compute_softmax_host(sampler_for(on_cuda()), &found.softmax), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    EXPECT_EQ(found.status, expected.status) << c.text();
    EXPECT_TRUE(found.output == expected.output && found.input == expected.input) << c.text();
  }
}

TEST_F(CudaOperations, PrefixSum) {
  const Stream stream;
  for (const cases::PrefixSumCase& c : cases::prefix_sum_cases({1, 31, 2049, 128256, 151937, 1 << 21})) {
    cases::PrefixSumCall expected(c);
    ASSERT_EQ(tokendraw_compute_prefix_sum_host(cpu(), &expected.sum), TOKENDRAW_OK);
    cases::PrefixSumCall call(c);
    const DeviceArray<unsigned char> input(call.input);
    const DeviceArray<unsigned char> output(call.output);
    const DeviceArray<uint32_t> status(call.status);
    TokendrawPrefixSum sum = call.sum;
    sum.memory = TOKENDRAW_MEMORY_DEVICE;
    sum.input = input.get() + (static_cast<const unsigned char*>(call.sum.input) - call.input.data());
    sum.output = c.in_place ? const_cast<void*>(sum.input)
                            : output.get() + (static_cast<unsigned char*>(call.sum.output) - call.output.data());
    sum.row_status = status.get();
    ASSERT_EQ(tokendraw_compute_prefix_sum(sampler_for(on_cuda()), &sum, stream.get()), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    stream.synchronize();
    EXPECT_EQ(status.read(), expected.status) << c.text();
    EXPECT_TRUE(output.read() == expected.output && input.read() == expected.input) << c.text();
  }
}

// Long rows in few cases, for the CPU takes its time; no cluster holds the longest.
std::vector<cases::FilterCase> filters_of_rows_to_the_longest() {
  std::vector<cases::FilterCase> list = cases::filter_cases({2, 700, 32000});
  size_t turn = 0;
  for (const cases::FilterCase& c : cases::filter_cases({128256, 300001})) {
    if (++turn % 9 == 4) list.push_back(c);
  }
  for (const cases::FilterCase& c : cases::filter_cases({1 << 21})) {
    if (++turn % 33 == 5) list.push_back(c);
  }
  return list;
}

TEST_F(CudaOperations, Filter) {
  const Stream stream;
  for (const cases::FilterCase& c : filters_of_rows_to_the_longest()) {
    cases::FilterCall expected(c);
    ASSERT_EQ(tokendraw_apply_filter_host(cpu(), &expected.filter), TOKENDRAW_OK);
    cases::FilterCall call(c);
    const DeviceArray<unsigned char> input(call.input);
    const DeviceArray<float> output(call.output), temperatures(call.temperatures), top_ps(call.top_ps),
        min_ps(call.min_ps);
    const DeviceArray<int32_t> top_ks(call.top_ks), tokens(call.tokens);
    const DeviceArray<uint64_t> seeds(call.seeds), kept_mass(call.kept_mass);
    const DeviceArray<uint32_t> status(call.status);
    const DeviceArray<int64_t> kept(call.kept);
    TokendrawFilter filter = call.filter;
    filter.memory = TOKENDRAW_MEMORY_DEVICE;
    filter.input = input.get();
    filter.output = c.in_place ? reinterpret_cast<float*>(input.get()) : output.get();
    if (filter.temperature_per_row != nullptr) filter.temperature_per_row = temperatures.get();
    if (filter.top_k_per_row != nullptr) filter.top_k_per_row = top_ks.get();
    if (filter.top_p_per_row != nullptr) filter.top_p_per_row = top_ps.get();
    if (filter.min_p_per_row != nullptr) filter.min_p_per_row = min_ps.get();
    if (filter.seed_per_row != nullptr) filter.seed_per_row = seeds.get();
    filter.tokens = tokens.get();
    filter.row_status = status.get();
    filter.kept = kept.get();
    filter.kept_mass = kept_mass.get();
    ASSERT_EQ(tokendraw_apply_filter(sampler_for(on_cuda()), &filter, stream.get()), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    stream.synchronize();
    call.input = input.read();
    call.output = output.read();
    call.tokens = tokens.read();
    call.status = status.read();
    call.kept = kept.read();
    call.kept_mass = kept_mass.read();
    EXPECT_TRUE(call == expected) << c.text();
  }
}

TEST_F(CudaOperations, Random) {
  const Stream stream;
  for (const cases::RandomCase& c : cases::random_cases({1, 5, 1000, 300001})) {
    cases::RandomCall expected(c);
    ASSERT_EQ(tokendraw_fill_random_host(cpu(), &expected.random), TOKENDRAW_OK);
    cases::RandomCall call(c);
    const DeviceArray<unsigned char> output(call.output);
    const DeviceArray<uint64_t> seeds(call.seeds), subsequences(call.subsequences), offsets(call.offsets);
    TokendrawRandom random = call.random;
    random.memory = TOKENDRAW_MEMORY_DEVICE;
    random.output = output.get() + (static_cast<unsigned char*>(call.random.output) - call.output.data());
    if (random.seed_per_row != nullptr) random.seed_per_row = seeds.get();
    if (random.subsequence_per_row != nullptr) random.subsequence_per_row = subsequences.get();
    if (random.offset_per_row != nullptr) random.offset_per_row = offsets.get();
    ASSERT_EQ(tokendraw_fill_random(sampler_for(on_cuda()), &random, stream.get()), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    stream.synchronize();
    EXPECT_TRUE(output.read() == expected.output) << c.text();
  }
}

TEST_F(CudaOperations, RandomWordsAreThoseOfCurand) {
#if defined(TOKENDRAW_TEST_HAS_CURAND)
  constexpr int64_t kWords = 1003;
  const DeviceArray<uint32_t> device_words(kWords);
  std::vector<uint32_t> words(kWords);
  for (const bool xorwow : {false, true}) {
    for (const uint64_t seed : {uint64_t{0}, uint64_t{42}, uint64_t{0x123456789abcdef}, ~uint64_t{0}}) {
      for (const uint64_t subsequence : {uint64_t{0}, uint64_t{7}, uint64_t{0x100000002}}) {
        for (const uint64_t offset : {uint64_t{0}, uint64_t{3}, uint64_t{1000003}, uint64_t{1} << 40}) {
          if (xorwow && subsequence != 0) continue;
          ASSERT_TRUE(write_curand_words(xorwow, seed, subsequence, offset, kWords, device_words.get()));
          TokendrawRandom random;
          tokendraw_init_random(&random);
          random.generator = xorwow ? TOKENDRAW_GENERATOR_XORWOW : TOKENDRAW_GENERATOR_PHILOX;
          random.rows = 1;
          random.count = kWords;
          random.seed = seed;
          random.subsequence = static_cast<int64_t>(subsequence);
          random.offset = offset;
          random.output = words.data();
          ASSERT_EQ(tokendraw_fill_random_host(sampler_for(on_cuda()), &random), TOKENDRAW_OK)
              << tokendraw_last_error_message();
          EXPECT_EQ(words, device_words.read()) << xorwow << " " << seed << " " << subsequence << " " << offset;
        }
      }
    }
  }
#else
  GTEST_SKIP() << "built without curand_kernel.h";
#endif
}

}  // namespace
}  // namespace tokendraw::test
