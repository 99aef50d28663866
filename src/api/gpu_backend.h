// SPDX-License-Identifier: Apache-2.0
// The GPU backends by their public names.
#pragma once

#include <cstdint>

#include "api/error.h"
#include "backend/loader.h"
#include "tokendraw/tokendraw.h"

namespace tokendraw::api {

// backend is CUDA or HIP.
inline const backend::Loaded& load_gpu_backend(TokendrawBackend backend) {
  return backend::load(backend == TOKENDRAW_BACKEND_CUDA ? plan::Backend::kCuda : plan::Backend::kHip);
}

inline TokendrawStatus report_no_device(TokendrawBackend backend, int32_t device, int32_t device_count) {
  const char* name = tokendraw_backend_name(backend);
  if (device_count == 1) {
    return report(TOKENDRAW_INVALID_DEVICE, "device is %d; the %s backend has device 0 only", device, name);
  }
  return report(TOKENDRAW_INVALID_DEVICE, "device is %d; the %s backend has devices 0 to %d", device, name,
                device_count - 1);
}

}  // namespace tokendraw::api
