// SPDX-License-Identifier: Apache-2.0
// The table that the library asks a GPU backend for (backend/table.h), in terms of the platform.
#include "backend/table.h"

#include <cstdio>
#include <mutex>
#include <new>

#include "gpu/run.h"
#include "gpu/run_operation.h"

#if defined(_WIN32)
#define TOKENDRAW_BACKEND_EXPORT __declspec(dllexport)
#else
#define TOKENDRAW_BACKEND_EXPORT __attribute__((visibility("default")))
#endif

namespace tokendraw::backend {

struct Device {
  int index;
  bool clusters;            // the sampler's kernels have them
  bool operation_clusters;  // those of the building blocks do
  plan::DeviceFacts facts;
};

}  // namespace tokendraw::backend

namespace tokendraw::gpu {
namespace {

using backend::Device;
using backend::Failure;

Failure failure(TokendrawStatus status, const char* what, platform::Error error) {
  Failure failed;
  failed.status = status;
  std::snprintf(failed.message, sizeof failed.message, "%s: %s (error %d)", what, error.text(), error.code);
  return failed;
}

Failure failure_of(const char* what, platform::Error error) {
  if (!error) return {};
  return failure(TOKENDRAW_ERROR_BACKEND_FAILED, what, error);
}

// Makes a device the calling thread's current one, and afterwards the one that was.
class UseDevice {
 public:
  explicit UseDevice(int device) {
    error_ = platform::current_device(&before_);
    if (error_ || before_ == device) return;
    error_ = platform::use_device(device);
    changed_ = !error_;
  }
  ~UseDevice() {
    if (changed_) (void)platform::use_device(before_);
  }
  UseDevice(const UseDevice&) = delete;
  UseDevice& operator=(const UseDevice&) = delete;
  platform::Error error() const { return error_; }

 private:
  int before_ = 0;
  bool changed_ = false;
  platform::Error error_;
};

// Calls body() with the device current; its Error becomes a Failure that begins with `what`.
template <typename Body>
Failure on_device(const Device* device, const char* what, const Body& body) {
  const UseDevice use(device->index);
  return failure_of(what, use.error() ? use.error() : body());
}

Failure count_devices(int32_t* count) {
  int found = 0;
  const platform::Error error = platform::count_devices(&found);
  *count = error ? 0 : found;
  if (error) return failure(TOKENDRAW_ERROR_BACKEND_UNAVAILABLE, "looking for devices", error);
  if (found > 0) return {};
  Failure none;
  none.status = TOKENDRAW_ERROR_BACKEND_UNAVAILABLE;
  std::snprintf(none.message, sizeof none.message, "the driver knows no device");
  return none;
}

// Names of architectures live as long as the process: a plan keeps a pointer. Each is written once, so that who has the
// pointer may read it while other threads call.
const char* kept_target(int32_t device, const char* target) {
  constexpr int kMaxDevices = 64;
  static std::mutex writing;
  static char kept[kMaxDevices][32];
  if (device >= kMaxDevices) return platform::name();
  const std::lock_guard<std::mutex> lock(writing);
  if (kept[device][0] == '\0') std::snprintf(kept[device], sizeof kept[device], "%s", target);
  return kept[device];
}

plan::DeviceFacts facts_of(int32_t device, const platform::DeviceProperties& properties) {
  plan::DeviceFacts facts = {};
  facts.backend = platform::kBackend;
  facts.target = kept_target(device, properties.target);
  facts.compute_units = properties.multiprocessors;
  facts.wave_width = properties.wave_width;
  facts.cluster_blocks = properties.cluster_blocks;
  facts.block_shared_bytes = properties.block_shared_bytes;
  return facts;
}

Failure describe_device(int32_t device, backend::DeviceDescription* description) {
  platform::DeviceProperties properties = {};
  const platform::Error error = platform::read_device(device, &properties);
  if (error) return failure_of("reading the device's properties", error);
  *description = {};
  std::snprintf(description->name, sizeof description->name, "%s", properties.name);
  description->facts = facts_of(device, properties);
  description->memory_bytes = properties.memory_bytes;
  return {};
}

Failure open(int32_t device, Device** opened) {
  *opened = nullptr;
  const UseDevice use(device);
  if (use.error()) return failure_of("choosing the device", use.error());
  // The first call of a device sets it up; a device that refuses kernels is found out here and not in the first batch.
  const platform::Error error = probe_kernels();
  if (error) return failure(TOKENDRAW_ERROR_UNSUPPORTED, "the device cannot run this library's kernels", error);
  platform::DeviceProperties properties = {};
  bool clusters = false;
  platform::Error unprepared = platform::read_device(device, &properties);
  if (!unprepared) unprepared = prepare_clusters(properties, &clusters);
  bool operation_clusters = clusters;
  if (!unprepared) unprepared = prepare_resident_operations(properties, &operation_clusters);
  if (unprepared) return failure_of("preparing the kernels", unprepared);
  *opened = new (std::nothrow) Device{device, clusters, operation_clusters, facts_of(device, properties)};
  if (*opened != nullptr) return {};
  Failure failed;
  failed.status = TOKENDRAW_ERROR_OUT_OF_MEMORY;
  std::snprintf(failed.message, sizeof failed.message, "out of host memory");
  return failed;
}

void close(Device* device) { delete device; }

Failure run_batch(Device* device, const plan::Plan* plan, const request::Request* request, void* workspace,
                  void* stream) {
  return on_device(device, "launching the kernels", [&] {
    return run(*plan, device->clusters, *request, workspace, static_cast<platform::Stream>(stream));
  });
}

Failure run_block(Device* device, const request::Operation* operation, void* stream) {
  return on_device(device, "launching the kernels", [&] {
    return run_operation(*operation, device->facts, device->operation_clusters, static_cast<platform::Stream>(stream));
  });
}

Failure allocate(Device* device, size_t bytes, void** memory) {
  *memory = nullptr;
  Failure failed = on_device(device, "allocating device memory", [&] { return platform::allocate(memory, bytes); });
  if (failed) failed.status = TOKENDRAW_ERROR_OUT_OF_MEMORY;
  return failed;
}

void release(Device* device, void* memory) {
  if (memory != nullptr) (void)on_device(device, "", [&] { return platform::release(memory); });
}

Failure copy(Device* device, void* to, const void* from, size_t bytes, backend::CopyKind kind, void* stream) {
  const auto platform_kind =
      kind == backend::CopyKind::kToDevice ? platform::CopyKind::kHostToDevice : platform::CopyKind::kDeviceToHost;
  return on_device(device, "copying", [&] {
    return platform::copy_async(to, from, bytes, platform_kind, static_cast<platform::Stream>(stream));
  });
}

Failure synchronize(Device* device, void* stream) {
  return on_device(device, "waiting for the device",
                   [&] { return platform::synchronize(static_cast<platform::Stream>(stream)); });
}

Failure is_capturing(Device* device, void* stream, bool* capturing) {
  *capturing = false;
  return on_device(device, "asking the stream",
                   [&] { return platform::is_capturing(static_cast<platform::Stream>(stream), capturing); });
}

Failure create_stream(Device* device, void** stream) {
  platform::Stream created = {};
  const Failure failed = on_device(device, "creating a stream", [&] { return platform::create_stream(&created); });
  *stream = created;
  return failed;
}

void destroy_stream(Device* device, void* stream) {
  (void)on_device(device, "", [&] { return platform::destroy_stream(static_cast<platform::Stream>(stream)); });
}

constexpr backend::Table kTable = {
    backend::kAbi,
    TOKENDRAW_VERSION_MAJOR * 10000 + TOKENDRAW_VERSION_MINOR * 100 + TOKENDRAW_VERSION_PATCH,
    sizeof(request::Request),
    sizeof(plan::Plan),
    sizeof(request::Operation),
    count_devices,
    describe_device,
    open,
    close,
    run_batch,
    run_block,
    allocate,
    release,
    copy,
    synchronize,
    is_capturing,
    create_stream,
    destroy_stream,
};

}  // namespace
}  // namespace tokendraw::gpu

extern "C" TOKENDRAW_BACKEND_EXPORT const tokendraw::backend::Table* tokendraw_backend_table() {
  return &tokendraw::gpu::kTable;
}
