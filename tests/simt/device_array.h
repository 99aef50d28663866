// SPDX-License-Identifier: Apache-2.0
// For the emulator's own tests: arrays in device memory, and a fixture that puts the emulator back after each test.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "control.h"
#include "gpu/platform/platform.h"

namespace tokendraw::gpu::platform {

template <typename T>
class DeviceArray {
 public:
  explicit DeviceArray(size_t size) : size_(size) {
    void* memory = nullptr;
    EXPECT_FALSE(allocate(&memory, size * sizeof(T)));
    data_ = static_cast<T*>(memory);
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(values.size()) {
    EXPECT_FALSE(copy_async(data_, values.data(), size_ * sizeof(T), CopyKind::kHostToDevice, nullptr));
  }
  ~DeviceArray() { (void)release(data_); }
  DeviceArray(const DeviceArray&) = delete;
  DeviceArray& operator=(const DeviceArray&) = delete;

  T* get() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> values(size_);
    EXPECT_FALSE(copy_async(values.data(), data_, size_ * sizeof(T), CopyKind::kDeviceToHost, nullptr));
    EXPECT_FALSE(synchronize(nullptr)) << simt_last_report();
    return values;
  }

 private:
  T* data_ = nullptr;
  size_t size_;
};

class SimtTest : public testing::Test {
 protected:
  void SetUp() override { use(0); }
  void TearDown() override {
    EXPECT_EQ(simt_count_allocations(), 0u);
    use(0);
  }
  static void use(int device) {
    simt_reset();
    EXPECT_FALSE(use_device(device));
  }

  // Launches on the default stream and waits; a kernel that went wrong leaves its report.
  template <typename... Parameters>
  static std::string report_of(void (*kernel)(Parameters...), Grid grid, uint32_t threads, Parameters... arguments) {
    if (launch(kernel, grid, threads, nullptr, arguments...)) return std::string("refused: ") + simt_last_report();
    return synchronize(nullptr) ? simt_last_report() : "";
  }
};

// Every test once with warps of 32 lanes and once with 64.
class EachWave : public SimtTest, public testing::WithParamInterface<int> {
 protected:
  void SetUp() override { use(GetParam() == 32 ? 0 : 1); }
  static uint32_t wave() { return static_cast<uint32_t>(GetParam()); }
};

inline std::string wave_name(const testing::TestParamInfo<int>& info) { return "wave" + std::to_string(info.param); }

}  // namespace tokendraw::gpu::platform

// The instance of a kernel template for the test's wave width.
#define BY_WAVE(kernel) (wave() == 32 ? kernel<32> : kernel<64>)
