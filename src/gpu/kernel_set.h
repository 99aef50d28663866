// SPDX-License-Identifier: Apache-2.0
// The kernels as run.cpp launches them, and where run-time values become template arguments: dtype and wave width by
// the file in instances/ that is called, `edited` inside it.
#pragma once

#include "gpu/kernels/arguments.h"

namespace tokendraw::gpu {

using Kernel = void (*)(Arguments);

struct KernelSet {
  Kernel sample_row;
  Kernel sample_row_small;  // by smaller blocks, more of which are under way; nullptr where no plan asks for them
  Kernel split_maxima;
  Kernel split_masses;
  Kernel split_search;
  Kernel split_finish;
  Kernel sample_resident;
  Kernel sample_rejection;
};

template <request::Dtype kDtype, int kWave>
KernelSet kernel_set(bool edited);

Kernel list_tables_kernel();

}  // namespace tokendraw::gpu
