// SPDX-License-Identifier: Apache-2.0
// Enqueues what one call needs: a plan, a request and a workspace become launches.
#pragma once

#include "gpu/platform/platform.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::gpu {

// Allocates and synchronises nothing, reads no device memory. The current device is the plan's. `clusters`: it runs
// kernels with clusters; without, or where it has no room for the plan's, each row gets one block.
platform::Error run(const plan::Plan& plan, bool clusters, const request::Request& request, void* workspace,
                    platform::Stream stream);

// Whether the current device can run the kernels at all.
platform::Error probe_kernels();

// Whether the code that the current device would run was compiled with clusters.
bool has_cluster_code(int32_t wave_width);

}  // namespace tokendraw::gpu
