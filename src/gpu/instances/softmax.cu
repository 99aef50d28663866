// SPDX-License-Identifier: Apache-2.0
#include "gpu/kernels/softmax_resident.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {

template <int kWave>
OperationKernel softmax_kernel(request::Dtype dtype, request::Dtype output_dtype) {
  if (dtype == request::Dtype::kF32) return softmax_kernel_of<request::Dtype::kF32, kWave>(output_dtype);
  if (dtype == request::Dtype::kF16) return softmax_kernel_of<request::Dtype::kF16, kWave>(output_dtype);
  return softmax_kernel_of<request::Dtype::kBf16, kWave>(output_dtype);
}

template <int kWave>
ResidentKernel softmax_resident_kernel(request::Dtype dtype, request::Dtype output_dtype) {
  if (dtype == request::Dtype::kF32) return softmax_resident_kernel_of<request::Dtype::kF32, kWave>(output_dtype);
  if (dtype == request::Dtype::kF16) return softmax_resident_kernel_of<request::Dtype::kF16, kWave>(output_dtype);
  return softmax_resident_kernel_of<request::Dtype::kBf16, kWave>(output_dtype);
}

#define TOKENDRAW_INSTANCE(wave)                                                 \
  template OperationKernel softmax_kernel<wave>(request::Dtype, request::Dtype); \
  template ResidentKernel softmax_resident_kernel<wave>(request::Dtype, request::Dtype);
TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_INSTANCE)

}  // namespace tokendraw::gpu
