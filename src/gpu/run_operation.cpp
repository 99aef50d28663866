// SPDX-License-Identifier: Apache-2.0
#include "gpu/run_operation.h"

#include "gpu/operation_kernels.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {
namespace {

template <int kWave>
OperationKernel kernel_for_wave(const request::Operation& operation) {
  switch (operation.kind) {
    case request::OperationKind::kSoftmax:
      return softmax_kernel<kWave>(operation.softmax.dtype, operation.softmax.output_dtype);
    case request::OperationKind::kPrefixSum:
      return prefix_sum_kernel<kWave>(operation.prefix_sum.number);
    case request::OperationKind::kFillRandom:
      return random_kernel(operation.random.generator, operation.random.kind);
    case request::OperationKind::kFilter:
      return filter_kernel<kWave>(operation.filter.dtype, operation.filter.of_probabilities);
  }
  return nullptr;
}

OperationKernel kernel_for(const request::Operation& operation, int wave_width) {
#define TOKENDRAW_CASE(wave) \
  if (wave_width == (wave)) return kernel_for_wave<wave>(operation);
  TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_CASE)
#undef TOKENDRAW_CASE
  return nullptr;
}

// Blocks that share a row.
uint32_t parts_of(const request::Operation& operation) {
  if (operation.kind != request::OperationKind::kFillRandom) return 1;
  constexpr int64_t kMost = 1024;
  const bool xorwow = operation.random.generator == request::Generator::kXorwow;
  const int64_t each = kOperationThreads * (xorwow ? kXorwowStretch : 16);
  const int64_t parts = (operation.columns + each - 1) / each;
  return static_cast<uint32_t>(parts < kMost ? parts : kMost);
}

}  // namespace

platform::Error run_operation(const request::Operation& operation, int wave_width, platform::Stream stream) {
  const auto rows = static_cast<uint32_t>(operation.rows);
  return platform::launch(kernel_for(operation, wave_width), {rows, parts_of(operation)}, kOperationThreads, stream,
                          operation);
}

}  // namespace tokendraw::gpu
