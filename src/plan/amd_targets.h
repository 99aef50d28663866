// SPDX-License-Identifier: Apache-2.0
// What is known of AMD GPUs by their architecture: for plans, which a device that is there refines with its own
// numbers.
#pragma once

#include <cstdint>

namespace tokendraw::plan {

struct AmdTarget {
  const char* name;
  const char* device;       // whose numbers these are: the largest of a single die or package of the architecture
  int32_t multiprocessors;  // as HIP counts them: compute units of CDNA, pairs of compute units of RDNA
  int32_t wave_width;
  int32_t shared_bytes;  // LDS, the most of a block
  int32_t
      blocks_at_once;  // blocks of kGpuBlockThreads that a multiprocessor holds, by registers and LDS of the kernels
};

// nullptr: no target of that name is known.
const AmdTarget* find_amd_target(const char* name);

}  // namespace tokendraw::plan
