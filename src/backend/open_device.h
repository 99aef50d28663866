// SPDX-License-Identifier: Apache-2.0
// A device of a backend that is open, memory on it that grows, and memory of the host that grows: each frees itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "backend/table.h"

namespace tokendraw::backend {

class OpenDevice {
 public:
  explicit OpenDevice(const Table* table) : table_(table) {}
  ~OpenDevice();
  OpenDevice(const OpenDevice&) = delete;
  OpenDevice& operator=(const OpenDevice&) = delete;

  // Opens device `index`, asks for its facts and makes a stream. Once; after a failure the object can only be
  // destroyed.
  Failure open(int32_t index);

  int32_t index() const { return index_; }
  const DeviceDescription& description() const { return description_; }
  void* own_stream() const { return stream_; }

  // As in the table.
  Failure run(const plan::Plan& plan, const request::Request& request, void* workspace, void* stream) const {
    return table_->run(device_, &plan, &request, workspace, stream);
  }
  Failure run_operation(const request::Operation& operation, void* stream) const {
    return table_->run_operation(device_, &operation, stream);
  }
  Failure allocate(size_t bytes, void** memory) const { return table_->allocate(device_, bytes, memory); }
  void release(void* memory) const { table_->release(device_, memory); }
  Failure copy(void* to, const void* from, size_t bytes, CopyKind kind, void* stream) const {
    return table_->copy(device_, to, from, bytes, kind, stream);
  }
  Failure synchronize(void* stream) const { return table_->synchronize(device_, stream); }
  Failure is_capturing(void* stream, bool* capturing) const { return table_->is_capturing(device_, stream, capturing); }

 private:
  const Table* table_;
  Device* device_ = nullptr;
  int32_t index_ = 0;
  DeviceDescription description_ = {};
  void* stream_ = nullptr;
};

class DeviceMemory {
 public:
  explicit DeviceMemory(const OpenDevice* device) : device_(device) {}
  ~DeviceMemory() { device_->release(memory_); }
  DeviceMemory(const DeviceMemory&) = delete;
  DeviceMemory& operator=(const DeviceMemory&) = delete;

  // At least `bytes` at data(), whose content is then undefined. Allocates only if it is larger than ever before.
  Failure reserve(size_t bytes);
  void* data() const { return memory_; }

 private:
  const OpenDevice* device_;
  void* memory_ = nullptr;
  size_t bytes_ = 0;
};

class HostMemory {
 public:
  // The same; at an address aligned for every array of a request.
  Failure reserve(size_t bytes);
  void* data() const { return memory_.get(); }

 private:
  std::unique_ptr<unsigned char[]> memory_;
  size_t bytes_ = 0;
};

}  // namespace tokendraw::backend
