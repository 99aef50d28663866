// SPDX-License-Identifier: Apache-2.0
#include "gpu/instances/make_kernel_set.h"
#include "gpu/wave_widths.h"

namespace tokendraw::gpu {

#define TOKENDRAW_INSTANCE(wave) template KernelSet kernel_set<request::Dtype::kF16, wave>(bool edited);
TOKENDRAW_FOR_WAVE_WIDTHS(TOKENDRAW_INSTANCE)

}  // namespace tokendraw::gpu
