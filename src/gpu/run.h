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

// Makes the kernels with clusters ready on the current device. Not usable: it has none, or its code was compiled
// without.
platform::Error prepare_clusters(const platform::DeviceProperties& properties, bool* usable);

}  // namespace tokendraw::gpu
