// SPDX-License-Identifier: Apache-2.0
// What the tests on a real GPU share.
#pragma once

#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <array>
#include <vector>

#include "support/cuda_batch.h"
#include "support/cuda_memory.h"
#include "support/samplers.h"

namespace tokendraw::test {

inline constexpr std::array<TokendrawAlgorithm, 3> kGpuAlgorithms = {
    TOKENDRAW_ALGORITHM_AUTO, TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE};

inline Variant on_cuda(TokendrawAlgorithm algorithm = TOKENDRAW_ALGORITHM_AUTO,
                       TokendrawGpuWay way = TOKENDRAW_GPU_WAY_AUTO) {
  return {algorithm, "", 1, TOKENDRAW_BACKEND_CUDA, 0, way};
}

// The CPU as the measure: its fastest algorithm, on every core.
inline Variant measure() { return {TOKENDRAW_ALGORITHM_AUTO, "", 0, TOKENDRAW_BACKEND_CPU, 0}; }

// The same for rejection, whose tokens are others.
inline Variant measure_of_rejection() { return {TOKENDRAW_ALGORITHM_REJECTION, "", 0, TOKENDRAW_BACKEND_CPU, 0}; }

// Skips where there is no device.
class CudaTest : public testing::Test {
 protected:
  void SetUp() override {
    const char* reason = why_no_cuda_device();
    if (reason[0] != '\0') GTEST_SKIP() << "no CUDA device: " << reason;
  }
};

inline std::vector<RowResult> run_on_device(TokendrawSampler* sampler, PackedBatch& packed) {
  packed.clear_outputs();
  sample_on_device(sampler, packed.batch);
  return packed.results();
}

inline std::vector<RowResult> run_on_device(const Variant& variant, const BatchSpec& spec, const Layout& layout = {}) {
  PackedBatch packed(spec, layout);
  return run_on_device(sampler_for(variant), packed);
}

}  // namespace tokendraw::test
