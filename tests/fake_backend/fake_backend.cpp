// SPDX-License-Identifier: Apache-2.0
// A GPU backend without a GPU: "device memory" comes from the heap and is kept account of, "kernels" are the CPU
// engine, and a stream does its work when someone waits for it, so that a missing wait shows. It follows the rules that
// backend/table.h states and counts what breaks them.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "backend/table.h"
#include "cpu/engine.h"
#include "cpu/run_operation.h"
#include "cpu/workspace.h"
#include "fake_backend/controls.h"
#include "plan/gpu_plan.h"

#define FAKE_EXPORT __attribute__((visibility("default")))

struct tokendraw::backend::Device {
  int32_t index;
};

namespace tokendraw::fake {
namespace {

using backend::CopyKind;
using backend::Device;
using backend::Failure;
using request::Request;

#if defined(TOKENDRAW_FAKE_HIP)
constexpr plan::Backend kBackend = plan::Backend::kHip;
constexpr const char* kTarget = "gfx000";
constexpr int32_t kWaveWidth = 64;
#else
constexpr plan::Backend kBackend = plan::Backend::kCuda;
constexpr const char* kTarget = "sm_00";
constexpr int32_t kWaveWidth = 32;
#endif
constexpr int32_t kComputeUnits = 7;
constexpr uint64_t kMemoryBytes = uint64_t{1} << 33;

Controls controls;

struct Stream {
  std::vector<std::function<void()>> work;
};

// Guards everything below it.
std::mutex mutex;
std::map<const unsigned char*, size_t> allocations;
std::map<Stream*, std::unique_ptr<Stream>> streams;
Stream default_stream;

void misuse(const char* what) {
  controls.misuses.fetch_add(1);
  std::fprintf(stderr, "fake backend: %s\n", what);
}

Failure fail(TokendrawStatus status, const char* what) {
  Failure failure;
  failure.status = status;
  std::snprintf(failure.message, sizeof failure.message, "%s", what);
  return failure;
}

// Counts the call; a failure where the tests want one.
Failure enter(Function function) {
  static const char* const names[] = {
      "the driver",         "describing the device", "opening the device",  "the launch",
      "allocating",         "copying to the device", "copying to the host", "waiting",
      "asking for capture", "creating a stream"};
  controls.calls[function].fetch_add(1);
  if (controls.device_lost) return fail(TOKENDRAW_ERROR_BACKEND_FAILED, "the device is lost");
  Fault& fault = controls.faults[function];
  const int32_t status = fault.status;
  if (status == TOKENDRAW_OK || fault.works_first.fetch_sub(1) > 0) return {};
  return fail(static_cast<TokendrawStatus>(status), (std::string(names[function]) + " failed").c_str());
}

// Whether [pointer, pointer + bytes) lies in one live allocation. The mutex is held.
bool on_device(const void* pointer, size_t bytes) {
  const auto* begin = static_cast<const unsigned char*>(pointer);
  auto next = allocations.upper_bound(begin);
  if (next == allocations.begin()) return false;
  --next;
  return begin >= next->first && begin + bytes <= next->first + next->second;
}

void* allocate_memory(size_t bytes) {
  auto* memory = static_cast<unsigned char*>(std::malloc(bytes));
  if (memory == nullptr) return nullptr;
  std::memset(memory, 0xa5, bytes);
  const std::lock_guard<std::mutex> lock(mutex);
  allocations[memory] = bytes;
  controls.live_allocations.fetch_add(1);
  return memory;
}

void release_memory(void* memory) {
  if (memory == nullptr) return;
  const std::lock_guard<std::mutex> lock(mutex);
  if (allocations.erase(static_cast<unsigned char*>(memory)) == 0) return misuse("released what was not allocated");
  controls.live_allocations.fetch_sub(1);
  std::free(memory);
}

Stream* stream_of(void* handle) {
  if (handle == nullptr) return &default_stream;
  const auto found = streams.find(static_cast<Stream*>(handle));
  if (found == streams.end()) misuse("no such stream");
  return found != streams.end() ? found->second.get() : &default_stream;
}

void enqueue(void* handle, std::function<void()> work) { stream_of(handle)->work.push_back(std::move(work)); }

void finish(void* handle) {
  std::vector<std::function<void()>> work;
  {
    const std::lock_guard<std::mutex> lock(mutex);
    work.swap(stream_of(handle)->work);
  }
  for (const auto& step : work) step();
}

void* make_stream() {
  const std::lock_guard<std::mutex> lock(mutex);
  auto stream = std::make_unique<Stream>();
  Stream* handle = stream.get();
  streams[handle] = std::move(stream);
  return handle;
}

// ---- The kernels ------------------------------------------------------------------------------------------------

void require_array(const void* array, int64_t count, size_t element_bytes, const char* name) {
  if (array == nullptr || count == 0) return;
  if (!on_device(array, static_cast<size_t>(count) * element_bytes)) misuse(name);
}

int64_t elements_of(int64_t rows, int64_t length, int64_t stride) { return (rows - 1) * stride + length; }

// Every array of the request must lie in device memory, whole. The mutex is held.
void require_arrays(const Request& r) {
  require_array(r.logits, elements_of(r.logits_rows, r.vocab, r.row_stride),
                static_cast<size_t>(request::dtype_bytes(r.dtype)), "logits are not in device memory");
  const std::pair<const void*, const char*> four_bytes[] = {
      {r.row_index, "row_index is not in device memory"},
      {r.temperature.per_row, "temperatures are not in device memory"},
      {r.top_k.per_row, "top_k is not in device memory"},
      {r.top_p.per_row, "top_p is not in device memory"},
      {r.min_p.per_row, "min_p is not in device memory"},
      {r.stream.per_row, "streams are not in device memory"},
      {r.random_f32, "random_f32 is not in device memory"},
      {r.repetition_penalty.per_row, "repetition penalties are not in device memory"},
      {r.frequency_penalty.per_row, "frequency penalties are not in device memory"},
      {r.presence_penalty.per_row, "presence penalties are not in device memory"},
      {r.tokens, "tokens are not in device memory"},
      {r.row_status, "row_status is not in device memory"},
      {r.logprob, "logprob is not in device memory"},
      {r.rounds, "rounds are not in device memory"}};
  for (const auto& [array, name] : four_bytes) require_array(array, r.rows, 4, name);
  const std::pair<const void*, const char*> eight_bytes[] = {{r.seed.per_row, "seeds are not in device memory"},
                                                             {r.offset.per_row, "offsets are not in device memory"},
                                                             {r.random_u64, "random_u64 is not in device memory"},
                                                             {r.kept, "kept is not in device memory"},
                                                             {r.kept_mass, "kept_mass is not in device memory"}};
  for (const auto& [array, name] : eight_bytes) require_array(array, r.rows, 8, name);
  require_array(r.mask, elements_of(r.rows, (r.vocab + 31) / 32, r.mask_row_stride), 4,
                "masks are not in device memory");
  require_array(r.bias, elements_of(r.rows, r.vocab, r.bias_row_stride), 4, "biases are not in device memory");
  require_array(r.bias_list.offsets, r.rows + 1, 8, "bias offsets are not in device memory");
  require_array(r.history.offsets, r.rows + 1, 8, "history offsets are not in device memory");
  if (r.bias_list.offsets != nullptr) {
    require_array(r.bias_list.ids, r.bias_list.entries, 4, "bias ids are not in device memory");
    require_array(r.bias_values, r.bias_list.entries, 4, "bias values are not in device memory");
  }
  if (r.history.offsets != nullptr) {
    require_array(r.history.ids, r.history.entries, 4, "history ids are not in device memory");
    require_array(r.history_counts, r.history.entries, 4, "history counts are not in device memory");
  }
}

void run_kernels(plan::Algorithm algorithm, const Request& request, void* workspace, size_t workspace_bytes) {
  if (workspace_bytes > 0) std::memset(workspace, 0x5a, workspace_bytes);
  cpu::Engine engine(1, cpu::find_chunk_kernels(nullptr));
  const TokendrawAlgorithm same = algorithm == plan::Algorithm::kRejection ? TOKENDRAW_ALGORITHM_REJECTION
                                  : algorithm == plan::Algorithm::kRefine  ? TOKENDRAW_ALGORITHM_REFINE
                                                                           : TOKENDRAW_ALGORITHM_CANDIDATES;
  const plan::Plan plan = plan::make_plan(plan::shape_of(request), {same, 1, TOKENDRAW_GPU_WAY_AUTO}, engine.facts());
  std::vector<unsigned char> memory(cpu::workspace_bytes(plan));
  engine.run(plan, request, memory.data());
  request.tokens[request.rows - 1] ^= controls.spoiled_token;
}

// ---- The table --------------------------------------------------------------------------------------------------

Failure count_devices(int32_t* count) {
  const Failure failure = enter(kCountDevices);
  if (!failure) *count = controls.device_count;
  return failure;
}

Failure describe_device(int32_t device, backend::DeviceDescription* description) {
  const Failure failure = enter(kDescribeDevice);
  if (failure) return failure;
  if (device < 0 || device >= controls.device_count) misuse("asked for a device that is not there");
  *description = {};
  std::snprintf(description->name, sizeof description->name, "Fake device %d", device);
  description->facts.backend = kBackend;
  description->facts.target = kTarget;
  description->facts.compute_units = kComputeUnits;
  description->facts.wave_width = kWaveWidth;
  description->memory_bytes = kMemoryBytes;
  return {};
}

Failure open(int32_t device, Device** opened) {
  const Failure failure = enter(kOpen);
  if (failure) return failure;
  if (device < 0 || device >= controls.device_count) misuse("opened a device that is not there");
  *opened = new Device{device};
  controls.open_devices.fetch_add(1);
  return {};
}

void close(Device* device) {
  if (device != nullptr) controls.open_devices.fetch_sub(1);
  delete device;
}

Failure run(Device* device, const plan::Plan* plan, const Request* request, void* workspace, void* stream) {
  const Failure failure = enter(kRun);
  if (failure) return failure;
  if (device == nullptr) misuse("ran without a device");
  if (plan->backend != kBackend || std::strcmp(plan->target, kTarget) != 0) misuse("ran another backend's plan");
  const size_t bytes = plan::gpu_workspace_bytes(*plan);
  const std::lock_guard<std::mutex> lock(mutex);
  require_arrays(*request);
  if (bytes > 0 && !on_device(workspace, bytes)) {
    misuse("the workspace is not in device memory");
    return {};
  }
  enqueue(stream, [algorithm = plan->algorithm, request = *request, workspace, bytes] {
    run_kernels(algorithm, request, workspace, bytes);
  });
  return {};
}

Failure run_operation(Device* device, const request::Operation* operation, void* stream) {
  const Failure failure = enter(kRun);
  if (failure) return failure;
  if (device == nullptr) misuse("ran without a device");
  const std::lock_guard<std::mutex> lock(mutex);
  request::Operation listed = *operation;
  for (const request::OperationArray& array : request::list_arrays(&listed)) {
    const int64_t elements = array.rows == 0 ? 0 : elements_of(array.rows, array.columns, array.stride);
    require_array(array.data, elements, static_cast<size_t>(array.element_bytes), "an array is not in device memory");
  }
  enqueue(stream, [operation = *operation] {
    cpu::Engine engine(1, cpu::find_chunk_kernels(nullptr));
    cpu::run_operation(&engine, operation);
  });
  return {};
}

Failure allocate(Device* /*device*/, size_t bytes, void** memory) {
  const Failure failure = enter(kAllocate);
  if (failure) return failure;
  *memory = allocate_memory(bytes);
  return *memory != nullptr ? Failure{} : fail(TOKENDRAW_ERROR_OUT_OF_MEMORY, "the heap is empty");
}

void release(Device* /*device*/, void* memory) { release_memory(memory); }

Failure copy(Device* /*device*/, void* to, const void* from, size_t bytes, CopyKind kind, void* stream) {
  const bool to_device = kind == CopyKind::kToDevice;
  const Failure failure = enter(to_device ? kCopyToDevice : kCopyToHost);
  if (failure) return failure;
  const std::lock_guard<std::mutex> lock(mutex);
  if (on_device(to, bytes) != to_device || on_device(from, bytes) == to_device) misuse("copied in the wrong direction");
  enqueue(stream, [=] { std::memcpy(to, from, bytes); });
  return {};
}

Failure synchronize(Device* /*device*/, void* stream) {
  const Failure failure = enter(kSynchronize);
  if (controls.capturing) misuse("waited for a stream that is captured");
  if (!failure) finish(stream);
  return failure;
}

Failure is_capturing(Device* /*device*/, void* /*stream*/, bool* capturing) {
  const Failure failure = enter(kIsCapturing);
  if (!failure) *capturing = controls.capturing;
  return failure;
}

Failure create_stream(Device* /*device*/, void** stream) {
  const Failure failure = enter(kCreateStream);
  if (failure) return failure;
  *stream = make_stream();
  controls.live_streams.fetch_add(1);
  return {};
}

void destroy_stream(Device* /*device*/, void* stream) {
  const std::lock_guard<std::mutex> lock(mutex);
  if (streams.erase(static_cast<Stream*>(stream)) == 0) return misuse("destroyed no stream");
  controls.live_streams.fetch_sub(1);
}

// Faults for programs that cannot reach the controls.
void read_environment() {
  const char* variable = std::getenv("TOKENDRAW_FAKE_FAULT");
  const std::string fault = variable != nullptr ? variable : "";
  if (fault == "no-driver") controls.faults[kCountDevices].status = TOKENDRAW_ERROR_BACKEND_UNAVAILABLE;
  if (fault == "describe") controls.faults[kDescribeDevice].status = TOKENDRAW_ERROR_BACKEND_FAILED;
  if (fault == "run") controls.faults[kRun].status = TOKENDRAW_ERROR_BACKEND_FAILED;
  if (fault == "token") controls.spoiled_token = 1;
}

}  // namespace
}  // namespace tokendraw::fake

extern "C" {

FAKE_EXPORT tokendraw::fake::Controls* fake_backend_controls() {
  using namespace tokendraw::fake;
  static const bool ready = [] {
    controls.allocate = allocate_memory;
    controls.release = release_memory;
    controls.copy = [](void* to, const void* from, size_t bytes) { std::memcpy(to, from, bytes); };
    controls.create_stream = make_stream;
    controls.finish = finish;
    return true;
  }();
  return ready ? &controls : nullptr;
}

FAKE_EXPORT const tokendraw::backend::Table* tokendraw_backend_table() {
  using namespace tokendraw;
  static backend::Table table = {
      backend::kAbi,
      TOKENDRAW_VERSION_MAJOR * 10000 + TOKENDRAW_VERSION_MINOR * 100 + TOKENDRAW_VERSION_PATCH,
      sizeof(request::Request),
      sizeof(plan::Plan),
      sizeof(request::Operation),
      fake::count_devices,
      fake::describe_device,
      fake::open,
      fake::close,
      fake::run,
      fake::run_operation,
      fake::allocate,
      fake::release,
      fake::copy,
      fake::synchronize,
      fake::is_capturing,
      fake::create_stream,
      fake::destroy_stream};
  fake::read_environment();
  switch (fake::controls.table_fault.load()) {
    case fake::TableFault::kNone:
      break;
    case fake::TableFault::kNoTable:
      return nullptr;
    case fake::TableFault::kAbi:
      table.abi += 1;
      table.count_devices = nullptr;  // nothing behind abi may be read
      break;
    case fake::TableFault::kVersion:
      table.library_version += 100;
      break;
    case fake::TableFault::kRequestBytes:
      table.request_bytes += 8;
      break;
    case fake::TableFault::kPlanBytes:
      table.plan_bytes -= 8;
      break;
    case fake::TableFault::kOperationBytes:
      table.operation_bytes += 8;
      break;
    case fake::TableFault::kMissingFunction:
      table.run = nullptr;
      break;
  }
  return &table;
}

}  // extern "C"
