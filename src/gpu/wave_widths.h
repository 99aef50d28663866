// SPDX-License-Identifier: Apache-2.0
// The wave widths that a platform has kernels for.
#pragma once

#include "gpu/platform/platform.h"

#if defined(__HIP_DEVICE_COMPILE__)  // a target has one width; launches name kernels of that one only
#if defined(__GFX9__)
#define TOKENDRAW_FOR_WAVE_WIDTHS(apply) apply(64)
#else
#define TOKENDRAW_FOR_WAVE_WIDTHS(apply) apply(32)
#endif
#elif defined(TOKENDRAW_PLATFORM_SIMT) || defined(TOKENDRAW_PLATFORM_HIP)
#define TOKENDRAW_FOR_WAVE_WIDTHS(apply) apply(32) apply(64)
#else
#define TOKENDRAW_FOR_WAVE_WIDTHS(apply) apply(32)
#endif
