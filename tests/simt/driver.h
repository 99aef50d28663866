// SPDX-License-Identifier: Apache-2.0
// The host side of the emulator: devices, memory, streams. control.h has what tests change in it.
// Comes in through gpu/platform/platform.h, whose types it uses.
#pragma once

#include <functional>

#include "machine.h"
#include "plan/plan.h"

namespace tokendraw::gpu::platform {

struct Error {
  int code = 0;
  explicit operator bool() const { return code != 0; }
  const char* text() const;
};

namespace simt {
struct StreamState;
}
using Stream = simt::StreamState*;

#if defined(TOKENDRAW_SIMT_AS_HIP)
inline constexpr plan::Backend kBackend = plan::Backend::kHip;
#else
inline constexpr plan::Backend kBackend = plan::Backend::kCuda;  // the place it takes
#endif
inline const char* name() { return "emulator"; }
Error count_devices(int* count);
Error read_device(int device, DeviceProperties* properties);
Error current_device(int* device);
Error use_device(int device);
Error allocate(void** memory, size_t bytes);
Error release(void* memory);
Error allocate_pinned(void** memory, size_t bytes);
Error release_pinned(void* memory);
Error create_stream(Stream* stream);
Error destroy_stream(Stream stream);
Error synchronize(Stream stream);
Error copy_async(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream);
Error fill_async(void* to, int byte, size_t bytes, Stream stream);
Error is_capturing(Stream stream, bool* capturing);

namespace simt {
inline constexpr int kShapeRefused = 11;  // SIMT_SHAPE_REFUSED
Error launch_function(const GridShape& shape, Stream stream, std::function<void()> kernel);
}  // namespace simt

}  // namespace tokendraw::gpu::platform
