// SPDX-License-Identifier: Apache-2.0
#include "gpu/kernels/prefix_sum_resident.h"
#include "gpu/kernels/prefix_sum_rows.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {

template <int kWave>
OperationKernel prefix_sum_kernel(request::Number number) {
  return number == request::Number::kU64 ? sum_rows_of_u64<kWave> : sum_rows_of_probabilities<kWave>;
}

template <int kWave>
ResidentKernel prefix_sum_resident_kernel(request::Number number) {
  return number == request::Number::kU64 ? nullptr : sum_resident<kWave>;
}

#define TOKENDRAW_INSTANCE(wave)                                     \
  template OperationKernel prefix_sum_kernel<wave>(request::Number); \
  template ResidentKernel prefix_sum_resident_kernel<wave>(request::Number);
TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_INSTANCE)

}  // namespace tokendraw::gpu
