// SPDX-License-Identifier: Apache-2.0
// The platform's host functions.
#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <mutex>
#include <utility>

#include "driver_state.h"
#include "gpu/platform/platform.h"
#include "shared_memory.h"

namespace tokendraw::gpu::platform {
namespace {

using simt::driver;
using simt::StreamState;
using Lock = std::lock_guard<std::mutex>;

int current() { return simt::current_device_of_thread(); }

// The stream for work of the current device, or the reason why it takes none.
int find_stream(Stream stream, SimtCall call, StreamState** found) {
  if (const int code = driver().meet_failure(call, current())) return code;
  *found = driver().find_stream(stream);
  if (*found == nullptr || (*found)->device != current()) {
    return driver().complain(SIMT_INVALID_STREAM, "not a stream of the current device");
  }
  return SIMT_SUCCESS;
}

}  // namespace

const char* Error::text() const {
  switch (code) {
    case SIMT_SUCCESS:
      return "no error";
    case SIMT_INVALID_VALUE:
      return "invalid value";
    case SIMT_OUT_OF_MEMORY:
      return "out of memory";
    case SIMT_NO_DRIVER:
      return "no driver";
    case SIMT_NO_DEVICE:
      return "no device";
    case SIMT_INVALID_DEVICE:
      return "invalid device";
    case SIMT_INVALID_STREAM:
      return "invalid stream";
    case SIMT_LAUNCH_FAILURE:
      return "launch failure";
    case SIMT_KERNEL_FAILURE:
      return "a kernel failed";
    case SIMT_DEVICE_LOST:
      return "device lost";
    case SIMT_CAPTURE_FORBIDDEN:
      return "not permitted while a stream is being captured";
    case SIMT_SHAPE_REFUSED:
      return "the clusters of a launch do not fit";
    default:
      return "unknown error";
  }
}

Error count_devices(int* count) {
  const Lock lock(driver().lock);
  *count = 0;
  // A lost device still counts.
  const int code = driver().meet_failure(SIMT_CALL_COUNT_DEVICES, -1);
  if (code != SIMT_SUCCESS && code != SIMT_INVALID_DEVICE) return {code};
  *count = driver().settings.devices;
  return {};
}

Error read_device(int device, DeviceProperties* properties) {
  const Lock lock(driver().lock);
  if (const int code = driver().meet_failure(SIMT_CALL_READ_DEVICE, device)) return {code};
  *properties = {};
  std::strcpy(properties->name, "emulated device");
  fmt::format_to_n(properties->target, sizeof properties->target - 1, "simt{}", simt::kWaves[device]);
  properties->multiprocessors = driver().settings.multiprocessors;
  properties->wave_width = static_cast<int32_t>(simt::kWaves[device]);
  properties->shared_bytes_per_block = static_cast<int32_t>(simt::kStaticSharedBytes);
  properties->memory_bytes = driver().settings.memory_bytes;
  properties->block_shared_bytes = static_cast<int32_t>(simt::kSharedBytes);
  properties->cluster_blocks = driver().settings.cluster_blocks;
  return {};
}

Error current_device(int* device) {
  *device = current();
  return {};
}

Error use_device(int device) {
  const Lock lock(driver().lock);
  if (const int code = driver().meet_failure(SIMT_CALL_USE_DEVICE, device)) return {code};
  simt::current_device_of_thread() = device;
  return {};
}

Error allocate(void** memory, size_t bytes) {
  const Lock lock(driver().lock);
  return {driver().allocate(memory, bytes, false)};
}

Error release(void* memory) {
  const Lock lock(driver().lock);
  return {driver().release(memory, false)};
}

Error allocate_pinned(void** memory, size_t bytes) {
  const Lock lock(driver().lock);
  return {driver().allocate(memory, bytes, true)};
}

Error release_pinned(void* memory) {
  const Lock lock(driver().lock);
  return {driver().release(memory, true)};
}

Error create_stream(Stream* stream) {
  const Lock lock(driver().lock);
  *stream = nullptr;
  if (const int code = driver().meet_failure(SIMT_CALL_CREATE_STREAM, current())) return {code};
  auto made = std::make_unique<StreamState>();
  made->device = current();
  *stream = made.release();
  driver().streams.insert(*stream);
  return {};
}

Error destroy_stream(Stream stream) {
  const Lock lock(driver().lock);
  if (driver().streams.erase(stream) == 0) return {driver().complain(SIMT_INVALID_STREAM, "not a stream")};
  const std::unique_ptr<StreamState> owned(stream);
  driver().finish(stream);
  return {driver().lost[owned->device]};
}

Error synchronize(Stream stream) {
  const Lock lock(driver().lock);
  StreamState* found = nullptr;
  if (const int code = find_stream(stream, SIMT_CALL_SYNCHRONIZE, &found)) return {code};
  if (found->recording != nullptr) {
    found->spoiled = true;
    return {driver().complain(SIMT_CAPTURE_FORBIDDEN, "a stream was synchronised while it is being captured")};
  }
  driver().finish(found);
  return {driver().lost[found->device]};
}

Error copy_async(void* to, const void* from, size_t bytes, CopyKind kind, Stream stream) {
  const Lock lock(driver().lock);
  StreamState* found = nullptr;
  if (const int code = find_stream(stream, SIMT_CALL_COPY, &found)) return {code};
  if (bytes == 0) return {};
  const bool from_device = kind != CopyKind::kHostToDevice;
  const bool to_device = kind != CopyKind::kDeviceToHost;
  if (from_device ? !driver().is_on_device(from, bytes) : driver().touches_device(from, bytes)) {
    return {driver().complain(SIMT_INVALID_VALUE, fmt::format("copy: {} bytes at the source {} are not {} memory",
                                                              bytes, from, from_device ? "device" : "host"))};
  }
  if (to_device ? !driver().is_on_device(to, bytes) : driver().touches_device(to, bytes)) {
    return {driver().complain(SIMT_INVALID_VALUE, fmt::format("copy: {} bytes at the destination {} are not {} memory",
                                                              bytes, to, to_device ? "device" : "host"))};
  }
  if (!to_device && found->recording != nullptr) {
    found->spoiled = true;
    return {driver().complain(SIMT_CAPTURE_FORBIDDEN, "copied to the host while the stream is being captured")};
  }
  // Pageable memory is read before the call returns, pinned memory at any time until the stream has come that far.
  std::shared_ptr<std::string> staged;
  if (!from_device && found->recording == nullptr && !driver().is_pinned(from)) {
    staged = std::make_shared<std::string>(static_cast<const char*>(from), bytes);
  }
  if (!to_device && driver().settings.deferred) simt::fill_with_garbage(to, bytes, bytes);
  const int device = found->device;
  driver().enqueue(found, [=] {
    if (driver().lost[device] == 0) std::memmove(to, staged != nullptr ? staged->data() : from, bytes);
  });
  return {};
}

Error fill_async(void* to, int byte, size_t bytes, Stream stream) {
  const Lock lock(driver().lock);
  StreamState* found = nullptr;
  if (const int code = find_stream(stream, SIMT_CALL_FILL, &found)) return {code};
  if (bytes == 0) return {};
  if (!driver().is_on_device(to, bytes)) {
    return {
        driver().complain(SIMT_INVALID_VALUE, fmt::format("fill: {} bytes at {} are not device memory", bytes, to))};
  }
  const int device = found->device;
  driver().enqueue(found, [=] {
    if (driver().lost[device] == 0) std::memset(to, byte, bytes);
  });
  return {};
}

Error is_capturing(Stream stream, bool* capturing) {
  const Lock lock(driver().lock);
  *capturing = false;
  if (driver().settings.devices <= 0) return {driver().settings.devices < 0 ? SIMT_NO_DRIVER : SIMT_NO_DEVICE};
  if (const int code = driver().lost[current()]) return {code};
  const StreamState* found = driver().find_stream(stream);
  if (found == nullptr) return {driver().complain(SIMT_INVALID_STREAM, "not a stream")};
  *capturing = found->recording != nullptr;
  return {};
}

static_assert(simt::kShapeRefused == SIMT_SHAPE_REFUSED);

Error simt::launch_function(const GridShape& shape, Stream stream, std::function<void()> kernel) {
  const Lock lock(driver().lock);
  StreamState* found = nullptr;
  if (const int code = find_stream(stream, SIMT_CALL_LAUNCH, &found)) return {code};
  const bool fits = shape.grid_x > 0 && shape.grid_x < (1u << 31) && shape.grid_y > 0 && shape.grid_y < (1u << 16) &&
                    shape.threads > 0 && shape.threads <= kMaxThreads && shape.threads % kWaves[found->device] == 0 &&
                    shape.cluster_blocks > 0 && shape.cluster_blocks <= kMaxClusterBlocks &&
                    shape.grid_x % shape.cluster_blocks == 0 && shape.dynamic_shared_bytes <= kSharedBytes;
  if (!fits) {
    return {driver().complain(
        SIMT_INVALID_VALUE,
        fmt::format("launch: no grid of {} x {} blocks of {} threads in clusters of {} with {} dynamic bytes",
                    shape.grid_x, shape.grid_y, shape.threads, shape.cluster_blocks, shape.dynamic_shared_bytes))};
  }
  const int device = found->device;
  driver().enqueue(found, [=, kernel = std::move(kernel)] { driver().execute(device, shape, kernel); });
  return {};
}

}  // namespace tokendraw::gpu::platform
