// SPDX-License-Identifier: Apache-2.0
// Enqueues a building block: one launch, no workspace.
#pragma once

#include "gpu/platform/platform.h"
#include "request/operation.h"

namespace tokendraw::gpu {

// Allocates and synchronises nothing, reads no device memory. The current device has warps of `wave_width` lanes.
platform::Error run_operation(const request::Operation& operation, int wave_width, platform::Stream stream);

}  // namespace tokendraw::gpu
