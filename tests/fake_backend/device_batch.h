// SPDX-License-Identifier: Apache-2.0
// The fake backend as the tests see it, and batches in its device memory.
#pragma once

#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <memory>
#include <string>
#include <vector>

#include "case_batch.h"
#include "fake_backend/controls.h"
#include "support/samplers.h"

namespace tokendraw::test {

// Of libtokendraw_cuda.so.0 or libtokendraw_hip.so.0 as this process loads it: the fake one.
fake::Controls& cuda();
fake::Controls& hip();

struct FreeOnDevice {
  void operator()(unsigned char* memory) const { cuda().release(memory); }
};
using DeviceBytes = std::unique_ptr<unsigned char[], FreeOnDevice>;
DeviceBytes allocate_on_device(size_t bytes);

// A copy of a case's batch in device memory: every array in an allocation of its own, of exactly its size.
class DeviceBatch {
 public:
  // Only the logits, or everything.
  enum class Arrays { kLogits, kAll };
  DeviceBatch(const cases::CaseBatch& from, Arrays arrays);

  TokendrawBatch batch = {};

  // What a call wrote, brought to the host; where only the logits are on the device, what it wrote to the host.
  const cases::CaseOutput& output();

 private:
  template <typename T>
  void move_input(const T*& array, int64_t count, size_t element_bytes = sizeof(T));
  template <typename T>
  void move_output(T*& array, std::vector<T>& host);

  cases::CaseOutput output_;
  std::vector<DeviceBytes> memory_;
};

// Options for a CUDA sampler with 2 threads behind it.
TokendrawSamplerOptions cuda_options(TokendrawOnGpuFailure on_gpu_failure);

// A sampler that could be made without a remark.
SamplerPointer make_sampler(const TokendrawSamplerOptions& options);

// Makes `function` fail while the object lives, after `works_first` calls.
class Failing {
 public:
  Failing(fake::Function function, TokendrawStatus status, int32_t works_first = 0);
  ~Failing();
  Failing(const Failing&) = delete;
  Failing& operator=(const Failing&) = delete;

 private:
  fake::Fault& fault_;
};

// Whether the last message of this thread holds `part`.
testing::AssertionResult message_has(const std::string& part);

// Everything equal, log-probabilities too: one arithmetic made both.
bool same_output(const cases::CaseOutput& a, const cases::CaseOutput& b);

// What a CPU sampler answers.
cases::CaseOutput cpu_output(const cases::CaseBatch& batch);

// A few hundred small batches in which every array of a batch is given.
std::vector<cases::Case> some_cases();

}  // namespace tokendraw::test
