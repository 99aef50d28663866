// SPDX-License-Identifier: Apache-2.0
#include "gpu/kernel_set.h"
#include "gpu/kernels/lists.h"

namespace tokendraw::gpu {

Kernel list_tables_kernel() { return make_list_tables<plan::kGpuBlockThreads>; }

}  // namespace tokendraw::gpu
