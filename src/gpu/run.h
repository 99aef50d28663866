// SPDX-License-Identifier: Apache-2.0
// Enqueues what one call needs: a plan, a request and a workspace become launches.
#pragma once

#include "gpu/platform/platform.h"
#include "plan/plan.h"
#include "request/request.h"

namespace tokendraw::gpu {

// Allocates and synchronises nothing, reads no device memory. The current device is the plan's.
platform::Error run(const plan::Plan& plan, const request::Request& request, void* workspace, platform::Stream stream);

// Whether the current device can run the kernels at all.
platform::Error probe_kernels();

}  // namespace tokendraw::gpu
