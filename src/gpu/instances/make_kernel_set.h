// SPDX-License-Identifier: Apache-2.0
// Included by the instances, each of which compiles the kernels of one dtype.
#pragma once

#include "gpu/kernel_set.h"
#include "gpu/kernels/sample_rejection.h"
#include "gpu/kernels/sample_resident.h"
#include "gpu/kernels/sample_rows.h"

namespace tokendraw::gpu {

template <request::Dtype kDtype, bool kEdited, int kWave>
KernelSet make_kernel_set() {
  Kernel small_blocks = nullptr;
  if constexpr (platform::kHasSmallBlocks) {
    small_blocks = sample_row<kDtype, kEdited, kWave, plan::kGpuSmallBlockThreads>;
  }
  return {sample_row<kDtype, kEdited, kWave, plan::kGpuBlockThreads>,
          small_blocks,
          split_maxima<kDtype, kEdited, kWave>,
          split_masses<kDtype, kEdited, kWave>,
          split_search<kDtype, kEdited, kWave>,
          split_finish<kDtype, kEdited, kWave>,
          sample_resident<kDtype, kEdited, kWave>,
          sample_rejection<kDtype, kEdited, kWave>};
}

template <request::Dtype kDtype, int kWave>
KernelSet kernel_set(bool edited) {
  return edited ? make_kernel_set<kDtype, true, kWave>() : make_kernel_set<kDtype, false, kWave>();
}

}  // namespace tokendraw::gpu
