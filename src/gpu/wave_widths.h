// SPDX-License-Identifier: Apache-2.0
// The wave widths that a platform has kernels for.
#pragma once

#include "gpu/platform/platform.h"

#if defined(TOKENDRAW_PLATFORM_SIMT) || defined(__HIPCC__) || defined(__HIP__)
#define TOKENDRAW_FOR_WAVE_WIDTHS(apply) apply(32) apply(64)
#else
#define TOKENDRAW_FOR_WAVE_WIDTHS(apply) apply(32)
#endif
