// SPDX-License-Identifier: Apache-2.0
#include "control.h"

#include <array>
#include <memory>
#include <mutex>

#include "driver_state.h"
#include "gpu/platform/platform.h"

namespace platform = tokendraw::gpu::platform;
using platform::simt::driver;
using Lock = std::lock_guard<std::mutex>;

void simt_reset(void) {
  const Lock lock(driver().lock);
  driver().reset();
}

void simt_set_seed(uint64_t seed) {
  const Lock lock(driver().lock);
  driver().settings.seed = seed;
  driver().launches = 0;
}

void simt_set_resident_blocks(uint32_t blocks) {
  const Lock lock(driver().lock);
  driver().settings.resident_blocks = blocks;
}

void simt_set_step_limit(uint64_t steps) {
  const Lock lock(driver().lock);
  driver().settings.step_limit = steps;
}

void simt_set_deferred(int deferred) {
  const Lock lock(driver().lock);
  driver().settings.deferred = deferred != 0;
}

void simt_set_multiprocessors(int32_t multiprocessors) {
  const Lock lock(driver().lock);
  driver().settings.multiprocessors = multiprocessors;
}

void simt_set_cluster_blocks(int32_t blocks) {
  const Lock lock(driver().lock);
  driver().settings.cluster_blocks = blocks;
}

void simt_set_list_limit(uint32_t keys) {
  const Lock lock(driver().lock);
  platform::simt::machine.list_limit = keys;
}

void simt_set_memory_bytes(uint64_t bytes) {
  const Lock lock(driver().lock);
  driver().settings.memory_bytes = bytes;
}

void simt_set_devices(int devices) {
  const Lock lock(driver().lock);
  driver().settings.devices = devices > platform::simt::kDevices ? platform::simt::kDevices : devices;
}

void simt_fail_next(int call, uint32_t after, int code) {
  const Lock lock(driver().lock);
  if (call >= 0 && call < SIMT_CALLS) driver().failures[static_cast<size_t>(call)] = {true, after, code};
}

const char* simt_last_report(void) {
  thread_local std::array<char, 1024> copy;
  const Lock lock(driver().lock);
  copy[driver().report.copy(copy.data(), copy.size() - 1)] = '\0';
  return copy.data();
}

uint64_t simt_count_launches(void) {
  const Lock lock(driver().lock);
  return driver().launches;
}

uint64_t simt_count_switches(void) {
  const Lock lock(driver().lock);
  return platform::simt::machine.switches;
}

uint64_t simt_count_allocations(void) {
  const Lock lock(driver().lock);
  return driver().allocations.size();
}

uint64_t simt_count_calls(int call) {
  const Lock lock(driver().lock);
  return call >= 0 && call < SIMT_CALLS ? driver().calls[static_cast<size_t>(call)] : 0;
}

int simt_begin_capture(void* stream) {
  const Lock lock(driver().lock);
  platform::simt::StreamState* found =
      stream == nullptr ? nullptr : driver().find_stream(static_cast<platform::Stream>(stream));
  if (found == nullptr) return SIMT_INVALID_STREAM;
  if (found->recording != nullptr) return SIMT_INVALID_VALUE;
  driver().finish(found);
  found->recording = std::make_unique<platform::simt::Graph>();
  found->spoiled = false;
  return SIMT_SUCCESS;
}

void* simt_end_capture(void* stream) {
  const Lock lock(driver().lock);
  platform::simt::StreamState* found =
      stream == nullptr ? nullptr : driver().find_stream(static_cast<platform::Stream>(stream));
  if (found == nullptr || found->recording == nullptr) return nullptr;
  const std::unique_ptr<platform::simt::Graph> recorded = std::move(found->recording);
  return found->spoiled ? nullptr : new platform::simt::Graph(*recorded);
}

int simt_replay(void* graph, void* stream) {
  const Lock lock(driver().lock);
  platform::simt::StreamState* found = driver().find_stream(static_cast<platform::Stream>(stream));
  if (found == nullptr || found->recording != nullptr) return SIMT_INVALID_STREAM;
  if (graph == nullptr) return SIMT_INVALID_VALUE;
  if (const int code = driver().lost[found->device]) return code;
  for (const platform::simt::Work& work : static_cast<platform::simt::Graph*>(graph)->work)
    driver().enqueue(found, work);
  return SIMT_SUCCESS;
}

void simt_destroy_graph(void* graph) { delete static_cast<platform::simt::Graph*>(graph); }

int simt_use_device(int device) { return platform::use_device(device).code; }
int simt_allocate(void** memory, size_t bytes) { return platform::allocate(memory, bytes).code; }
int simt_release(void* memory) { return platform::release(memory).code; }
int simt_copy(void* to, const void* from, size_t bytes, int kind, void* stream) {
  if (kind < 0 || kind > 2) return SIMT_INVALID_VALUE;
  const auto known = static_cast<platform::CopyKind>(kind);
  return platform::copy_async(to, from, bytes, known, static_cast<platform::Stream>(stream)).code;
}
int simt_create_stream(void** stream) {
  platform::Stream made = nullptr;
  const int code = platform::create_stream(&made).code;
  *stream = made;
  return code;
}
int simt_destroy_stream(void* stream) { return platform::destroy_stream(static_cast<platform::Stream>(stream)).code; }
int simt_synchronize(void* stream) { return platform::synchronize(static_cast<platform::Stream>(stream)).code; }
