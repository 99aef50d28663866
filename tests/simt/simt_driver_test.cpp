// SPDX-License-Identifier: Apache-2.0
// The emulated driver: memory, streams, deferred work, graphs, and failures that tests plant.
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "device_array.h"

namespace tokendraw::gpu::platform {
namespace {

constexpr uint32_t kThreads = 64;

class SimtDriver : public SimtTest {};

void add(uint32_t* to, uint32_t value) {
  if (thread_index() == 0) atomic_add(to, value);
}

struct StreamOwner {
  StreamOwner() { EXPECT_FALSE(create_stream(&stream)); }
  ~StreamOwner() { (void)destroy_stream(stream); }
  StreamOwner(const StreamOwner&) = delete;
  StreamOwner& operator=(const StreamOwner&) = delete;
  Stream stream = nullptr;
};

TEST_F(SimtDriver, HasTwoDevices) {
  int count = 0;
  ASSERT_FALSE(count_devices(&count));
  ASSERT_EQ(count, 2);
  simt_set_multiprocessors(7);
  for (int device = 0; device < count; device++) {
    DeviceProperties properties;
    ASSERT_FALSE(read_device(device, &properties));
    EXPECT_STREQ(properties.name, "emulated device");
    EXPECT_STREQ(properties.target, device == 0 ? "simt32" : "simt64");
    EXPECT_EQ(properties.wave_width, device == 0 ? 32 : 64);
    EXPECT_EQ(properties.multiprocessors, 7);
    EXPECT_EQ(properties.shared_bytes_per_block, 48 * 1024);
    EXPECT_GT(properties.memory_bytes, 0u);
    ASSERT_FALSE(use_device(device));
    int now = -1;
    ASSERT_FALSE(current_device(&now));
    EXPECT_EQ(now, device);
    std::thread([] {
      int other_now = -1;
      EXPECT_FALSE(current_device(&other_now));
      EXPECT_EQ(other_now, 0);
    }).join();
  }
  DeviceProperties properties;
  EXPECT_EQ(read_device(2, &properties).code, SIMT_INVALID_DEVICE);
  EXPECT_EQ(use_device(-1).code, SIMT_INVALID_DEVICE);
}

TEST_F(SimtDriver, MemoryIsGarbageAtFirst) {
  const DeviceArray<uint32_t> one(1000);
  const DeviceArray<uint32_t> other(1000);
  EXPECT_NE(one.read(), other.read());
  EXPECT_EQ(reinterpret_cast<uintptr_t>(one.get()) % 256, 0u);
}

TEST_F(SimtDriver, MemoryIsLimited) {
  simt_set_memory_bytes(1000);
  void* first = nullptr;
  void* second = nullptr;
  EXPECT_FALSE(allocate(&first, 600));
  EXPECT_EQ(allocate(&second, 600).code, SIMT_OUT_OF_MEMORY);
  EXPECT_EQ(second, nullptr);
  EXPECT_FALSE(release(first));
  EXPECT_FALSE(allocate(&second, 600));
  EXPECT_FALSE(release(second));
  EXPECT_EQ(release(second).code, SIMT_INVALID_VALUE);
  EXPECT_FALSE(release(nullptr));
}

TEST_F(SimtDriver, CopiesCheckTheirPointers) {
  const DeviceArray<uint32_t> device(4);
  uint32_t host[5] = {1, 2, 3, 4, 5};
  const auto copy = [&](void* to, const void* from, size_t bytes, CopyKind kind) {
    return copy_async(to, from, bytes, kind, nullptr).code;
  };
  EXPECT_EQ(copy(device.get(), host, 16, CopyKind::kHostToDevice), SIMT_SUCCESS);
  EXPECT_EQ(copy(host + 1, device.get(), 16, CopyKind::kDeviceToHost), SIMT_SUCCESS);
  EXPECT_EQ(copy(device.get(), device.get() + 2, 8, CopyKind::kDeviceToDevice), SIMT_SUCCESS);
  EXPECT_EQ(device.read(), (std::vector<uint32_t>{3, 4, 3, 4}));
  EXPECT_EQ(host[4], 4u);
  EXPECT_EQ(copy(device.get(), host, 20, CopyKind::kHostToDevice), SIMT_INVALID_VALUE);
  EXPECT_EQ(copy(device.get() + 1, host, 16, CopyKind::kHostToDevice), SIMT_INVALID_VALUE);
  EXPECT_EQ(copy(host, host, 4, CopyKind::kHostToDevice), SIMT_INVALID_VALUE);
  EXPECT_EQ(copy(device.get(), device.get(), 4, CopyKind::kHostToDevice), SIMT_INVALID_VALUE);
  EXPECT_EQ(copy(host, host, 4, CopyKind::kDeviceToHost), SIMT_INVALID_VALUE);
  EXPECT_EQ(copy(device.get(), device.get(), 4, CopyKind::kDeviceToHost), SIMT_INVALID_VALUE);
  EXPECT_EQ(copy(host, device.get(), 4, CopyKind::kDeviceToDevice), SIMT_INVALID_VALUE);
  EXPECT_FALSE(fill_async(device.get() + 1, 0xff, 4, nullptr));
  EXPECT_EQ(device.read(), (std::vector<uint32_t>{3, 0xffffffffu, 3, 4}));
  EXPECT_EQ(fill_async(host, 0, 4, nullptr).code, SIMT_INVALID_VALUE);
  EXPECT_NE(std::string(simt_last_report()).find("fill"), std::string::npos);
}

TEST_F(SimtDriver, TheFunctionsForOtherProgramsAreTheSame) {
  void* memory = nullptr;
  void* stream = nullptr;
  ASSERT_EQ(simt_use_device(1), SIMT_SUCCESS);
  ASSERT_EQ(simt_allocate(&memory, 8), SIMT_SUCCESS);
  ASSERT_EQ(simt_create_stream(&stream), SIMT_SUCCESS);
  EXPECT_EQ(simt_count_allocations(), 1u);
  const uint64_t sent = 77;
  uint64_t received = 0;
  EXPECT_EQ(simt_copy(memory, &sent, 8, 0, stream), SIMT_SUCCESS);
  EXPECT_EQ(simt_copy(&received, memory, 8, 1, stream), SIMT_SUCCESS);
  EXPECT_EQ(simt_copy(&received, memory, 8, 3, stream), SIMT_INVALID_VALUE);
  EXPECT_EQ(simt_copy(&received, memory, 9, 1, stream), SIMT_INVALID_VALUE);
  EXPECT_EQ(simt_synchronize(stream), SIMT_SUCCESS);
  EXPECT_EQ(received, sent);
  EXPECT_EQ(simt_destroy_stream(stream), SIMT_SUCCESS);
  EXPECT_EQ(simt_release(memory), SIMT_SUCCESS);
  EXPECT_EQ(simt_use_device(2), SIMT_INVALID_DEVICE);
}

TEST_F(SimtDriver, LaunchesCheckTheirShape) {
  const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
  const auto try_launch = [&](uint32_t x, uint32_t y, uint32_t threads) {
    return launch(add, {x, y}, threads, nullptr, sum.get(), 1u).code;
  };
  EXPECT_EQ(try_launch(1, 1, 1024), SIMT_SUCCESS);
  EXPECT_EQ(try_launch(0, 1, 64), SIMT_INVALID_VALUE);
  EXPECT_EQ(try_launch(1, 0, 64), SIMT_INVALID_VALUE);
  EXPECT_EQ(try_launch(1, 65536, 64), SIMT_INVALID_VALUE);
  EXPECT_EQ(try_launch(1, 1, 0), SIMT_INVALID_VALUE);
  EXPECT_EQ(try_launch(1, 1, 1056), SIMT_INVALID_VALUE);
  EXPECT_EQ(try_launch(1, 1, 48), SIMT_INVALID_VALUE);
  EXPECT_EQ(sum.read()[0], 1u);
}

TEST_F(SimtDriver, DeferredWorkIsSeenAfterSynchronising) {
  uint32_t early = 0;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    simt_set_seed(seed);
    const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
    simt_set_deferred(1);
    const StreamOwner owner;
    uint32_t result = 3;
    ASSERT_FALSE(launch(add, {1, 1}, kThreads, owner.stream, sum.get(), 3u));
    ASSERT_FALSE(copy_async(&result, sum.get(), 4, CopyKind::kDeviceToHost, owner.stream));
    if (result == 3) early++;
    ASSERT_FALSE(synchronize(owner.stream));
    EXPECT_EQ(result, 3u);
    simt_set_deferred(0);
  }
  EXPECT_LT(early, 10u);
}

TEST_F(SimtDriver, PageableMemoryIsReadAtOnceAndPinnedMemoryLater) {
  void* pinned = nullptr;
  ASSERT_FALSE(allocate_pinned(&pinned, 4));
  uint32_t late = 0;
  for (uint64_t seed = 1; seed <= 20; seed++) {
    simt_set_seed(seed);
    const DeviceArray<uint32_t> a(1);
    const DeviceArray<uint32_t> b(1);
    simt_set_deferred(1);
    uint32_t pageable = 1;
    std::memcpy(pinned, &pageable, 4);
    ASSERT_FALSE(copy_async(a.get(), &pageable, 4, CopyKind::kHostToDevice, nullptr));
    ASSERT_FALSE(copy_async(b.get(), pinned, 4, CopyKind::kHostToDevice, nullptr));
    pageable = 2;
    std::memcpy(pinned, &pageable, 4);
    EXPECT_EQ(a.read()[0], 1u);
    if (b.read()[0] == 2) late++;
    simt_set_deferred(0);
  }
  EXPECT_GT(late, 10u);
  EXPECT_EQ(release(pinned).code, SIMT_INVALID_VALUE);
  EXPECT_FALSE(release_pinned(pinned));
}

TEST_F(SimtDriver, AGraphIsReplayed) {
  const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
  const StreamOwner owner;
  bool capturing = true;
  ASSERT_FALSE(is_capturing(owner.stream, &capturing));
  EXPECT_FALSE(capturing);
  ASSERT_EQ(simt_begin_capture(owner.stream), SIMT_SUCCESS);
  ASSERT_FALSE(is_capturing(owner.stream, &capturing));
  EXPECT_TRUE(capturing);
  ASSERT_FALSE(is_capturing(nullptr, &capturing));
  EXPECT_FALSE(capturing);
  ASSERT_FALSE(launch(add, {2, 1}, kThreads, owner.stream, sum.get(), 5u));
  void* graph = simt_end_capture(owner.stream);
  ASSERT_NE(graph, nullptr);
  EXPECT_EQ(sum.read()[0], 0u) << "recorded, not done";
  for (uint32_t times = 1; times <= 3; times++) {
    ASSERT_EQ(simt_replay(graph, owner.stream), SIMT_SUCCESS);
    ASSERT_FALSE(synchronize(owner.stream));
    EXPECT_EQ(sum.read()[0], 10 * times);
  }
  simt_destroy_graph(graph);
}

TEST_F(SimtDriver, CapturingForbidsMuch) {
  const DeviceArray<uint32_t> sum(1);
  const StreamOwner owner;
  const StreamOwner other;
  uint32_t host = 0;
  const std::vector<std::function<Error()>> forbidden = {
      [&] { return synchronize(owner.stream); },
      [&] { return copy_async(&host, sum.get(), 4, CopyKind::kDeviceToHost, owner.stream); },
      [&] {
        void* memory = nullptr;
        return allocate(&memory, 4);
      },
      [&] {
        void* memory = nullptr;
        return allocate_pinned(&memory, 4);
      },
      [&] { return release(sum.get()); },
  };
  for (const auto& each : forbidden) {
    ASSERT_EQ(simt_begin_capture(owner.stream), SIMT_SUCCESS);
    EXPECT_EQ(each().code, SIMT_CAPTURE_FORBIDDEN);
    EXPECT_FALSE(synchronize(other.stream));
    EXPECT_EQ(simt_end_capture(owner.stream), nullptr);
  }
  EXPECT_EQ(simt_begin_capture(nullptr), SIMT_INVALID_STREAM);
}

TEST_F(SimtDriver, StreamsBelongToTheirDevice) {
  const StreamOwner owner;
  ASSERT_FALSE(use_device(1));
  EXPECT_EQ(synchronize(owner.stream).code, SIMT_INVALID_STREAM);
  EXPECT_EQ(launch(add, {1, 1}, kThreads, owner.stream, static_cast<uint32_t*>(nullptr), 1u).code, SIMT_INVALID_STREAM);
  ASSERT_FALSE(use_device(0));
  EXPECT_FALSE(synchronize(owner.stream));
  Stream gone = nullptr;
  ASSERT_FALSE(create_stream(&gone));
  ASSERT_FALSE(destroy_stream(gone));
  EXPECT_EQ(destroy_stream(gone).code, SIMT_INVALID_STREAM);
  EXPECT_EQ(synchronize(gone).code, SIMT_INVALID_STREAM);
}

TEST_F(SimtDriver, PlantedFailuresHappenOnceAndInTime) {
  const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
  simt_fail_next(SIMT_CALL_LAUNCH, 2, SIMT_LAUNCH_FAILURE);
  for (const int expected : {SIMT_SUCCESS, SIMT_SUCCESS, SIMT_LAUNCH_FAILURE, SIMT_SUCCESS}) {
    EXPECT_EQ(launch(add, {1, 1}, kThreads, nullptr, sum.get(), 1u).code, expected);
  }
  EXPECT_EQ(sum.read()[0], 3u);
  EXPECT_EQ(simt_count_calls(SIMT_CALL_LAUNCH), 4u);

  void* memory = nullptr;
  simt_fail_next(SIMT_CALL_ALLOCATE, 0, SIMT_OUT_OF_MEMORY);
  EXPECT_EQ(allocate(&memory, 16).code, SIMT_OUT_OF_MEMORY);
  EXPECT_FALSE(allocate(&memory, 16));
  EXPECT_FALSE(release(memory));

  simt_fail_next(SIMT_CALL_COUNT_DEVICES, 0, SIMT_NO_DRIVER);
  int count = 5;
  EXPECT_EQ(count_devices(&count).code, SIMT_NO_DRIVER);
  EXPECT_EQ(count, 0);
  EXPECT_FALSE(count_devices(&count));
}

TEST_F(SimtDriver, ALostDeviceStaysLost) {
  const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
  simt_fail_next(SIMT_CALL_SYNCHRONIZE, 0, SIMT_DEVICE_LOST);
  EXPECT_FALSE(launch(add, {1, 1}, kThreads, nullptr, sum.get(), 1u));
  EXPECT_EQ(synchronize(nullptr).code, SIMT_DEVICE_LOST);
  EXPECT_EQ(launch(add, {1, 1}, kThreads, nullptr, sum.get(), 1u).code, SIMT_DEVICE_LOST);
  void* memory = nullptr;
  EXPECT_EQ(allocate(&memory, 4).code, SIMT_DEVICE_LOST);
  Stream stream = nullptr;
  EXPECT_EQ(create_stream(&stream).code, SIMT_DEVICE_LOST);
  EXPECT_EQ(use_device(0).code, SIMT_DEVICE_LOST);
  EXPECT_FALSE(use_device(1)) << "the other one works";
  EXPECT_FALSE(synchronize(nullptr));
  simt_reset();
  EXPECT_FALSE(use_device(0));
  EXPECT_EQ(sum.read()[0], 1u);
}

TEST_F(SimtDriver, AKernelThatFailsIsReportedLater) {
  const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
  simt_fail_next(SIMT_CALL_EXECUTE, 0, SIMT_KERNEL_FAILURE);
  EXPECT_FALSE(launch(add, {1, 1}, kThreads, nullptr, sum.get(), 1u));
  EXPECT_EQ(synchronize(nullptr).code, SIMT_KERNEL_FAILURE);
  EXPECT_STREQ(Error{SIMT_KERNEL_FAILURE}.text(), "a kernel failed");
  simt_reset();
  EXPECT_EQ(sum.read()[0], 0u);
}

TEST_F(SimtDriver, WithoutDriverOrDevice) {
  for (const auto& [devices, code] : {std::pair{-1, SIMT_NO_DRIVER}, std::pair{0, SIMT_NO_DEVICE}}) {
    simt_set_devices(devices);
    int count = 5;
    EXPECT_EQ(count_devices(&count).code, code);
    EXPECT_EQ(count, 0);
    void* memory = nullptr;
    EXPECT_EQ(allocate(&memory, 4).code, code);
    EXPECT_EQ(synchronize(nullptr).code, code);
    EXPECT_EQ(use_device(0).code, code);
  }
  simt_set_devices(1);
  int count = 0;
  EXPECT_FALSE(count_devices(&count));
  EXPECT_EQ(count, 1);
  EXPECT_EQ(use_device(1).code, SIMT_INVALID_DEVICE);
}

TEST_F(SimtDriver, SeveralThreadsMayCall) {
  const DeviceArray<uint32_t> sum(std::vector<uint32_t>{0});
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; t++) {
    threads.emplace_back([&] {
      const StreamOwner owner;
      for (int i = 0; i < 50; i++) {
        EXPECT_FALSE(launch(add, {3, 1}, kThreads, owner.stream, sum.get(), 1u));
        const DeviceArray<uint32_t> own(std::vector<uint32_t>{7});
        EXPECT_EQ(own.read()[0], 7u);
      }
      EXPECT_FALSE(synchronize(owner.stream));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(sum.read()[0], 450u);
}

}  // namespace
}  // namespace tokendraw::gpu::platform
