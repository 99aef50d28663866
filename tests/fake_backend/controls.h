// SPDX-License-Identifier: Apache-2.0
// How the tests steer and watch the backend of fake_backend.cpp, which the library under test has loaded.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace tokendraw::fake {

enum Function : int32_t {
  kCountDevices,
  kDescribeDevice,
  kOpen,
  kRun,
  kAllocate,
  kCopyToDevice,
  kCopyToHost,
  kSynchronize,
  kIsCapturing,
  kCreateStream,
  kFunctionCount
};

// What is wrong with the table that the backend gives.
enum class TableFault : int32_t {
  kNone,
  kNoTable,
  kAbi,
  kVersion,
  kRequestBytes,
  kPlanBytes,
  kOperationBytes,
  kMissingFunction
};

struct Fault {
  std::atomic<int32_t> status{0};       // what the function fails with; 0: it works
  std::atomic<int32_t> works_first{0};  // so many calls still succeed
};

struct Controls {
  // Before the library looks for the backend
  std::atomic<TableFault> table_fault{TableFault::kNone};
  std::atomic<int32_t> device_count{2};

  // At any time
  Fault faults[kFunctionCount];
  std::atomic<bool> device_lost{false};   // every function but close and release fails
  std::atomic<bool> capturing{false};     // every stream
  std::atomic<int32_t> spoiled_token{0};  // xor-ed to the last row's token

  // To be looked at
  std::atomic<int64_t> calls[kFunctionCount] = {};
  std::atomic<int64_t> live_allocations{0};
  std::atomic<int64_t> open_devices{0};
  std::atomic<int64_t> live_streams{0};  // those that the library made
  // Uses of memory or streams that a real device would not survive; each is also printed.
  std::atomic<int64_t> misuses{0};

  // What a program would ask the vendor's runtime for. Work on a stream is done when it is finished, not before.
  void* (*allocate)(size_t bytes);
  void (*release)(void* memory);
  void (*copy)(void* to, const void* from, size_t bytes);
  void* (*create_stream)();
  void (*finish)(void* stream);
};

using ControlsFunction = Controls* (*)();
inline constexpr const char* kControlsFunction = "fake_backend_controls";

}  // namespace tokendraw::fake
