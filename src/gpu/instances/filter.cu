// SPDX-License-Identifier: Apache-2.0
#include "gpu/kernels/filter_rows.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {

template <int kWave>
OperationKernel filter_kernel(request::Dtype dtype, bool of_probabilities) {
  if (of_probabilities) return filter_rows<request::Dtype::kF32, true, kWave>;
  if (dtype == request::Dtype::kF32) return filter_rows<request::Dtype::kF32, false, kWave>;
  if (dtype == request::Dtype::kF16) return filter_rows<request::Dtype::kF16, false, kWave>;
  return filter_rows<request::Dtype::kBf16, false, kWave>;
}

template <int kWave>
ResidentKernel filter_resident_kernel(request::Dtype dtype, bool of_probabilities) {
  if (of_probabilities) return filter_resident<request::Dtype::kF32, true, kWave>;
  if (dtype == request::Dtype::kF32) return filter_resident<request::Dtype::kF32, false, kWave>;
  if (dtype == request::Dtype::kF16) return filter_resident<request::Dtype::kF16, false, kWave>;
  return filter_resident<request::Dtype::kBf16, false, kWave>;
}

#define TOKENDRAW_INSTANCE(wave)                                      \
  template OperationKernel filter_kernel<wave>(request::Dtype, bool); \
  template ResidentKernel filter_resident_kernel<wave>(request::Dtype, bool);
TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_INSTANCE)

}  // namespace tokendraw::gpu
