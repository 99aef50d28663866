// SPDX-License-Identifier: Apache-2.0
// Enqueues a building block: one launch, no workspace.
#pragma once

#include "gpu/platform/platform.h"
#include "plan/plan.h"
#include "request/operation.h"

namespace tokendraw::gpu {

// Allocates and synchronises nothing, reads no device memory. The current device is that of the facts. `clusters`: it
// runs kernels with clusters.
platform::Error run_operation(const request::Operation& operation, const plan::DeviceFacts& facts, bool clusters,
                              platform::Stream stream);

// Makes the building blocks' kernels with clusters ready on the current device. *usable becomes false if one was
// compiled without.
platform::Error prepare_resident_operations(const platform::DeviceProperties& properties, bool* usable);

}  // namespace tokendraw::gpu
