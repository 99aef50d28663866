// SPDX-License-Identifier: Apache-2.0
#include "driver_state.h"

#include <fmt/format.h>

#include <cstdlib>
#include <utility>

#include "shared_memory.h"

namespace tokendraw::gpu::platform::simt {
namespace {

uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

uint64_t number_from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): while the driver starts, or under its lock
  return text != nullptr ? std::strtoull(text, nullptr, 10) : otherwise;
}

bool stays(int code) { return code == SIMT_DEVICE_LOST || code == SIMT_KERNEL_FAILURE; }

}  // namespace

Driver& driver() {
  static Driver only;
  return only;
}

int& current_device_of_thread() {
  thread_local int device = 0;
  return device;
}

Driver::Driver() {
  for (int device = 0; device < kDevices; device++) default_streams[device].device = device;
  reset();
}

void Driver::reset() {
  settings = {};
  settings.seed = number_from_environment("TOKENDRAW_SIMT_SEED", settings.seed);
  machine.list_limit = static_cast<uint32_t>(number_from_environment("TOKENDRAW_SIMT_LIST_LIMIT", 0));
  report.clear();
  calls = {};
  failures = {};
  lost = {};
  launches = 0;
  state_ = mix(settings.seed);
  for (StreamState& stream : default_streams) stream.waiting.clear();
  for (StreamState* stream : streams) stream->waiting.clear();
}

int Driver::meet_failure(SimtCall call, int device) {
  calls[call]++;
  if (settings.devices < 0) return SIMT_NO_DRIVER;
  if (settings.devices == 0) return SIMT_NO_DEVICE;
  const bool known = device >= 0 && device < settings.devices;
  if (known && lost[device] != 0) return lost[device];
  PlantedFailure& failure = failures[call];
  if (failure.planted && failure.after-- == 0) {
    failure.planted = false;
    if (known && stays(failure.code)) lost[device] = failure.code;
    return complain(failure.code, "a failure that the test asked for");
  }
  return known ? SIMT_SUCCESS : SIMT_INVALID_DEVICE;
}

StreamState* Driver::find_stream(Stream stream) {
  if (stream == nullptr) return &default_streams[current_device_of_thread()];
  return streams.count(stream) != 0 ? stream : nullptr;
}

bool Driver::is_any_capturing() const {
  for (const StreamState* stream : streams) {
    if (stream->recording != nullptr) return true;
  }
  return false;
}

int Driver::allocate(void** memory, size_t bytes, bool pinned) {
  *memory = nullptr;
  const int device = current_device_of_thread();
  if (const int code = meet_failure(SIMT_CALL_ALLOCATE, device)) return code;
  if (is_any_capturing()) {
    for (StreamState* stream : streams) stream->spoiled = true;
    return complain(SIMT_CAPTURE_FORBIDDEN, "memory was allocated while a stream is being captured");
  }
  if (bytes == 0) return SIMT_SUCCESS;
  uint64_t used = 0;
  for (const auto& [address, allocation] : allocations) {
    if (allocation.device == device && !allocation.pinned) used += allocation.bytes;
  }
  if (!pinned && (bytes > settings.memory_bytes || used > settings.memory_bytes - bytes)) return SIMT_OUT_OF_MEMORY;
  void* made = nullptr;
  if (posix_memalign(&made, 256, bytes) != 0) return SIMT_OUT_OF_MEMORY;
  fill_with_garbage(made, bytes, mix(state_ += bytes));
  allocations[reinterpret_cast<uintptr_t>(made)] = {bytes, device, pinned};
  *memory = made;
  return SIMT_SUCCESS;
}

// Memory of a lost device is given back too, since a test that goes on must not leak.
int Driver::release(void* memory, bool pinned) {
  if (settings.devices <= 0) return settings.devices < 0 ? SIMT_NO_DRIVER : SIMT_NO_DEVICE;
  const int lost_code = lost[current_device_of_thread()];
  if (memory == nullptr) return lost_code;
  const auto found = allocations.find(reinterpret_cast<uintptr_t>(memory));
  if (found == allocations.end() || found->second.pinned != pinned) {
    return complain(SIMT_INVALID_VALUE, "memory was released that is not allocated");
  }
  if (is_any_capturing()) {
    for (StreamState* stream : streams) stream->spoiled = true;
    return complain(SIMT_CAPTURE_FORBIDDEN, "memory was released while a stream is being captured");
  }
  finish_device(found->second.device);
  allocations.erase(found);
  std::free(memory);
  return lost_code;
}

std::map<uintptr_t, Allocation>::const_iterator Driver::find_allocation(uintptr_t address) const {
  auto next = allocations.upper_bound(address);
  if (next == allocations.begin()) return allocations.end();
  --next;
  return address - next->first < next->second.bytes ? next : allocations.end();
}

bool Driver::is_on_device(const void* memory, size_t bytes) const {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const auto found = find_allocation(address);
  return found != allocations.end() && !found->second.pinned && bytes <= found->second.bytes - (address - found->first);
}

bool Driver::touches_device(const void* memory, size_t bytes) const {
  const auto address = reinterpret_cast<uintptr_t>(memory);
  const auto end = allocations.lower_bound(address + bytes);
  for (auto each = allocations.begin(); each != end; ++each) {
    if (!each->second.pinned && each->first + each->second.bytes > address) return true;
  }
  return false;
}

bool Driver::is_pinned(const void* memory) const {
  const auto found = find_allocation(reinterpret_cast<uintptr_t>(memory));
  return found != allocations.end() && found->second.pinned;
}

void Driver::enqueue(StreamState* stream, Work work) {
  if (stream->recording != nullptr) {
    stream->recording->work.push_back(std::move(work));
    return;
  }
  stream->waiting.push_back(std::move(work));
  if (settings.deferred) {
    work_a_little();
  } else {
    finish(stream);
  }
}

// Sometimes does some of what waits, on any stream.
void Driver::work_a_little() {
  std::vector<StreamState*> busy;
  for (StreamState& stream : default_streams) busy.push_back(&stream);
  for (StreamState* stream : streams) busy.push_back(stream);
  state_ = mix(state_);
  if (state_ % 4 != 0) return;
  StreamState* stream = busy[(state_ >> 8) % busy.size()];
  for (uint64_t i = 0; i < (state_ >> 32) % 4 && !stream->waiting.empty(); i++) {
    const Work work = std::move(stream->waiting.front());
    stream->waiting.pop_front();
    work();
  }
}

void Driver::finish(StreamState* stream) {
  while (!stream->waiting.empty()) {
    const Work work = std::move(stream->waiting.front());
    stream->waiting.pop_front();
    work();
    if (settings.deferred) work_a_little();
  }
}

void Driver::finish_device(int device) {
  finish(&default_streams[device]);
  for (StreamState* stream : streams) {
    if (stream->device == device) finish(stream);
  }
}

void Driver::execute(int device, const GridShape& shape, const std::function<void()>& kernel) {
  if (lost[device] != 0) return;
  launches++;
  if (const int code = meet_failure(SIMT_CALL_EXECUTE, device)) {
    lost[device] = code;
    return;
  }
  const auto find_range = [&](uintptr_t address) -> Range {
    const auto found = find_allocation(address);
    if (found == allocations.end() || found->second.device != device || found->second.pinned) return {};
    return {found->first, found->second.bytes};
  };
  Schedule schedule;
  schedule.seed = mix(settings.seed * 1000003 + launches);
  schedule.resident_units = settings.resident_blocks;
  schedule.idle_step_limit = settings.step_limit;
  std::string why;
  if (!run_grid(shape, kWaves[device], kernel, schedule, find_range, &why)) {
    lost[device] = complain(SIMT_KERNEL_FAILURE, fmt::format("kernel {} of seed {}: {}", launches, settings.seed, why));
  }
}

}  // namespace tokendraw::gpu::platform::simt
