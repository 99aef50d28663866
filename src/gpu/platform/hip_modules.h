// SPDX-License-Identifier: Apache-2.0
// The code objects of this library's kernels, one for each target, and which of them a device gets.
//
// They are kept back from the HIP runtime until a device is opened. The runtime would otherwise look through them at
// its first call, for all GPUs of the machine: where one of those is of another architecture, older versions (ROCm 5)
// end the process, and newer ones may refuse the GPUs that could run them.
#pragma once

#include <hip/hip_runtime_api.h>

namespace tokendraw::gpu::platform::hip {

// The function of a kernel, given by its address on the host, on the current device. The first call on a device loads
// all kernels there. hipErrorNoBinaryForGpu: there is no code for its architecture. Thread-safe.
hipError_t find_function(const void* kernel, hipFunction_t* function);

}  // namespace tokendraw::gpu::platform::hip
