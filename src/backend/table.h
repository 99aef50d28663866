// SPDX-License-Identifier: Apache-2.0
// What a GPU backend, a shared object of its own, gives to the library that loads it: one function,
// tokendraw_backend_table, and the table it returns. Library and backend are built from the same sources and refuse
// each other otherwise (abi, version, sizes), so requests and plans pass through as they are.
#pragma once

#include <cstddef>
#include <cstdint>

#include "plan/plan.h"
#include "request/operation.h"
#include "request/request.h"

namespace tokendraw::backend {

inline constexpr uint32_t kAbi = 2;
inline constexpr const char* kTableFunction = "tokendraw_backend_table";

// Why something failed. status is one of the TOKENDRAW_ERROR_... values.
struct Failure {
  TokendrawStatus status = TOKENDRAW_OK;
  char message[240] = "";
  explicit operator bool() const { return status != TOKENDRAW_OK; }
};

struct DeviceDescription {
  char name[128];
  plan::DeviceFacts facts;
  uint64_t memory_bytes;
};

// A device that is open: opaque to the library.
struct Device;

enum class CopyKind : int32_t { kToDevice = 0, kToHost = 1 };

// No function throws. `stream` is the vendor's handle as the caller passed it; nullptr is the default stream. Functions
// that take a Device may be called by several threads at once and leave the calling thread's current device as it was.
struct Table {
  uint32_t abi;
  uint32_t library_version;  // tokendraw_version() of the sources
  size_t request_bytes;
  size_t plan_bytes;
  size_t operation_bytes;

  // Counts the devices that this backend can use; where there is none, says why.
  Failure (*count_devices)(int32_t* count);
  Failure (*describe_device)(int32_t device, DeviceDescription* description);

  Failure (*open)(int32_t device, Device** opened);
  void (*close)(Device* device);  // nullptr is ignored

  // Enqueues the kernels of a batch on the stream and returns. Allocates and synchronises nothing and reads no device
  // memory. plan was made by plan::make_plan with this device's facts; workspace holds plan::gpu_workspace_bytes(plan)
  // bytes of device memory at any alignment.
  Failure (*run)(Device* device, const plan::Plan* plan, const request::Request* request, void* workspace,
                 void* stream);

  // The same for a building block, whose arrays lie in device memory and which needs no workspace.
  Failure (*run_operation)(Device* device, const request::Operation* operation, void* stream);

  // Device memory and transfers, for the calls that move data between host and device.
  Failure (*allocate)(Device* device, size_t bytes, void** memory);
  void (*release)(Device* device, void* memory);  // nullptr is ignored
  Failure (*copy)(Device* device, void* to, const void* from, size_t bytes, CopyKind kind, void* stream);  // enqueues
  Failure (*synchronize)(Device* device, void* stream);
  Failure (*is_capturing)(Device* device, void* stream, bool* capturing);
  Failure (*create_stream)(Device* device, void** stream);
  void (*destroy_stream)(Device* device, void* stream);
};

using TableFunction = const Table* (*)();

}  // namespace tokendraw::backend
