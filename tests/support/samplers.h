// SPDX-License-Identifier: Apache-2.0
// Samplers of every algorithm and SIMD target, and checked calls of them.
#pragma once

#include <tokendraw/tokendraw.h>

#include <memory>
#include <string>
#include <vector>

#include "support/batch_spec.h"

namespace tokendraw::test {

struct SamplerDeleter {
  void operator()(TokendrawSampler* sampler) const { tokendraw_destroy_sampler(sampler); }
};
using SamplerPointer = std::unique_ptr<TokendrawSampler, SamplerDeleter>;

// One way to answer a batch.
struct Variant {
  TokendrawAlgorithm algorithm = TOKENDRAW_ALGORITHM_AUTO;
  std::string cpu_target;  // "": the best
  int32_t threads = 1;
  TokendrawBackend backend = TOKENDRAW_BACKEND_CPU;
  int32_t device = 0;
  TokendrawGpuWay gpu_way = TOKENDRAW_GPU_WAY_AUTO;
};

std::string to_text(const Variant& variant);  // "candidates/AVX2/1 thread(s)", "refine/cuda device 0"

std::vector<std::string> cpu_targets();  // best first

// Algorithms of a GPU, the exact ones, on every device of the CUDA backend; none unless TOKENDRAW_TEST_CUDA is set.
// With TOKENDRAW_TEST_CUDA=1 the tests hand over device memory where they know the CUDA runtime (TOKENDRAW_CUDA=ON),
// with TOKENDRAW_TEST_CUDA=host always host memory, which also does for the emulated GPU; with TOKENDRAW_TEST_CUDA=only
// the CPU's algorithms are left out. Fails the test if it is set and there is no device.
std::vector<Variant> gpu_variants(const std::vector<TokendrawAlgorithm>& algorithms = {TOKENDRAW_ALGORITHM_CANDIDATES,
                                                                                       TOKENDRAW_ALGORITHM_REFINE});
// How many devices the CUDA backend has, 0 if it is not there.
int32_t cuda_device_count();
// Whether it may run on the emulated GPU, which is so slow that a test should give it few rows.
bool may_be_emulated(const Variant& variant);
// Those of `variants` that run on the CPU. For tests of what concerns host memory and threads.
std::vector<Variant> on_cpu(const std::vector<Variant>& variants);

// In all but `every_algorithm` the GPU's come last.
// Every algorithm that must return the oracle's token, on every SIMD target; the reference, which uses none, once.
std::vector<Variant> exact_variants(int32_t threads = 1);
// The same on the best target only.
std::vector<Variant> exact_algorithms(int32_t threads = 1);
// Those and, before them, rejection.
std::vector<Variant> every_algorithm(int32_t threads = 1);
// Rejection on the best target and on GPUs; and the same with the least SIMD target too.
std::vector<Variant> rejection_algorithms(int32_t threads = 1);
std::vector<Variant> rejection_variants(int32_t threads = 1);

// Fails the test and returns null if there is none to be had.
SamplerPointer make_sampler(const Variant& variant);
// The same, made once and kept until the last test has ended. For tests in one thread.
TokendrawSampler* sampler_for(const Variant& variant);

// Calls tokendraw_sample with a workspace of exactly the size asked for, full of garbage, at an odd address, and fails
// the test if the call does not return TOKENDRAW_OK or writes beside workspace or outputs. A GPU gets a copy of the
// arrays in device memory, or tokendraw_sample_host is called.
std::vector<RowResult> run(TokendrawSampler* sampler, PackedBatch& packed);
std::vector<RowResult> run(const Variant& variant, const BatchSpec& spec, const Layout& layout = {});

// The value of "key: value" in the sampler's description of its plan for a batch; "" if the key is not there.
std::string plan_value(const TokendrawSampler* sampler, const TokendrawBatch& batch, const std::string& key);

}  // namespace tokendraw::test
