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

}  // namespace

platform::Error run_operation(const request::Operation& operation, int wave_width, platform::Stream stream) {
  const auto rows = static_cast<uint32_t>(operation.rows);
  return platform::launch(kernel_for(operation, wave_width), {rows, 1}, kOperationThreads, stream, operation);
}

}  // namespace tokendraw::gpu
