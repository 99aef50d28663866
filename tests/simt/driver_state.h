// SPDX-License-Identifier: Apache-2.0
// What the emulated driver knows. Everything is read and changed under one lock, kernels included.
#pragma once

#include <array>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "control.h"
#include "gpu/platform/platform.h"

namespace tokendraw::gpu::platform::simt {

inline constexpr int kDevices = 2;
inline constexpr uint32_t kWaves[kDevices] = {32, 64};

using Work = std::function<void()>;

struct Allocation {
  size_t bytes;
  int device;
  bool pinned;
};

struct Graph {
  std::vector<Work> work;
};

struct StreamState {
  int device = 0;
  std::deque<Work> waiting;
  std::unique_ptr<Graph> recording;
  bool spoiled = false;  // something forbidden was tried while recording
};

struct PlantedFailure {
  bool planted = false;
  uint32_t after = 0;
  int code = 0;
};

struct Settings {
  uint64_t seed = 1;
  uint32_t resident_blocks = 0;
  uint64_t step_limit = Schedule{}.idle_step_limit;
  bool deferred = false;
  int32_t multiprocessors = 4;
  int32_t cluster_blocks = kMaxClusterBlocks;
  uint64_t memory_bytes = uint64_t{1} << 30;
  int devices = kDevices;
};

class Driver {
 public:
  Driver();

  std::mutex lock;
  Settings settings;
  std::string report;
  std::array<uint64_t, SIMT_CALLS> calls = {};
  std::array<PlantedFailure, SIMT_CALLS> failures = {};
  std::array<int, kDevices> lost = {};  // the code that every call returns, or 0
  std::array<StreamState, kDevices> default_streams = {};
  std::set<StreamState*> streams;
  std::map<uintptr_t, Allocation> allocations;
  uint64_t launches = 0;

  void reset();
  // Counts the call; the code of the failure that it meets, or 0. A call on a device without driver, with a planted
  // failure and so on.
  int meet_failure(SimtCall call, int device);
  // The stream's state, nullptr if there is no such stream. nullptr is the default stream of the current device.
  StreamState* find_stream(Stream stream);
  bool is_any_capturing() const;

  int allocate(void** memory, size_t bytes, bool pinned);
  int release(void* memory, bool pinned);
  // The piece of memory around an address, or the end.
  std::map<uintptr_t, Allocation>::const_iterator find_allocation(uintptr_t address) const;
  bool is_on_device(const void* memory, size_t bytes) const;  // all of it in one live piece
  bool touches_device(const void* memory, size_t bytes) const;
  bool is_pinned(const void* memory) const;

  // Does the work now, later, or records it.
  void enqueue(StreamState* stream, Work work);
  void finish(StreamState* stream);
  void finish_device(int device);
  void execute(int device, const GridShape& shape, const std::function<void()>& kernel);

  int complain(int code, std::string what) {
    report = std::move(what);
    return code;
  }

 private:
  void work_a_little();

  uint64_t state_ = 1;  // of the order of deferred work
};

Driver& driver();
int& current_device_of_thread();

}  // namespace tokendraw::gpu::platform::simt
