// SPDX-License-Identifier: Apache-2.0
#include "backend/open_device.h"

#include <cstdio>
#include <new>

namespace tokendraw::backend {

OpenDevice::~OpenDevice() {
  if (stream_ != nullptr) table_->destroy_stream(device_, stream_);
  if (device_ != nullptr) table_->close(device_);
}

Failure OpenDevice::open(int32_t index) {
  index_ = index;
  Failure failure = table_->describe_device(index, &description_);
  if (!failure) failure = table_->open(index, &device_);
  if (!failure) failure = table_->create_stream(device_, &stream_);
  return failure;
}

Failure DeviceMemory::reserve(size_t bytes) {
  if (bytes <= bytes_) return {};
  device_->release(memory_);  // first, so that both need not fit at once
  memory_ = nullptr;
  bytes_ = 0;
  const Failure failure = device_->allocate(bytes, &memory_);
  if (!failure) bytes_ = bytes;
  return failure;
}

Failure HostMemory::reserve(size_t bytes) {
  if (bytes <= bytes_) return {};
  bytes_ = 0;
  memory_.reset();
  memory_.reset(new (std::nothrow) unsigned char[bytes]);
  if (memory_ == nullptr) {
    Failure failure = {TOKENDRAW_ERROR_OUT_OF_MEMORY};
    std::snprintf(failure.message, sizeof failure.message, "the host has no %zu bytes of memory", bytes);
    return failure;
  }
  bytes_ = bytes;
  return {};
}

}  // namespace tokendraw::backend
