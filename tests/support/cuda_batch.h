// SPDX-License-Identifier: Apache-2.0
// A batch of host arrays, taken to device memory for tokendraw_sample and back.
#pragma once

#include <tokendraw/tokendraw.h>

#include <vector>

#include "support/cuda_memory.h"

namespace tokendraw::test {

// Every array lies in one block of device memory, at an address that is aligned for its element type and for no more,
// logits at the same distance from a multiple of 64 as on the host; between the arrays lie guards of 0xff, which is NaN
// as a logit. The workspace is exactly as large as asked for, full of garbage, at an odd address.
//
// With TOKENDRAW_TEST_OWN_ALLOCATIONS=1 every array is an allocation of its own, so that compute-sanitizer sees each of
// them end. Arrays of 64 MB and more always are; of those only rows that an output row reads are copied, and nothing is
// compared afterwards.
class CudaBatch {
 public:
  // `host` is a batch in host memory, which must outlive this object. The device memory is `block`, or a block of its
  // own; nothing is copied yet.
  CudaBatch(const TokendrawSampler* sampler, const TokendrawBatch& host, DeviceBlock* block = nullptr);
  CudaBatch(const CudaBatch&) = delete;
  CudaBatch& operator=(const CudaBatch&) = delete;

  TokendrawBatch batch;  // points to device memory
  void* workspace = nullptr;
  size_t workspace_bytes = 0;

  // Copies every array to the device, outputs too: what a call does not write stays as it is on the host. Waits.
  void upload(cudaStream_t stream);
  // Copies the outputs to the host's arrays, waits, and fails the test if an input or a guard is not as it was.
  void download(cudaStream_t stream);

 private:
  struct Array {
    size_t field = 0;  // where in `batch` its pointer stands, in bytes
    void* host = nullptr;
    unsigned char* device = nullptr;
    size_t bytes = 0;
    size_t offset = 0;  // in the block
    bool output = false;
    bool in_block = true;
    // Rows of a large array: `row_bytes` every `pitch` bytes.
    size_t row_bytes = 0;
    size_t pitch = 0;
    int64_t rows = 0;
    bool indexed = false;  // only rows of row_index count
  };

  size_t place_of(const void* field) const;
  template <typename T>
  void add_input(const T*& field, int64_t count);
  template <typename T>
  void add_output(T*& field, int64_t count);
  template <typename T>
  void add_rows(const T*& field, size_t element, int64_t rows, int64_t length, int64_t stride, bool indexed);
  void place(Array array, size_t alignment, size_t lead);
  void place_workspace(const TokendrawSampler* sampler);
  void copy_large(const Array& array, cudaStream_t stream) const;

  const TokendrawBatch& host_;
  DeviceBlock own_block_;
  DeviceBlock* block_;
  std::vector<DeviceBlock> own_allocations_;
  std::vector<Array> arrays_;
  size_t workspace_offset_ = 0;
  size_t end_ = 0;
  bool all_apart_;
  std::vector<unsigned char> before_;  // the block as it was uploaded
};

// Runs a batch of host arrays on device memory and waits: upload, tokendraw_sample on a stream of its own, download.
// Fails the test if the call does not return TOKENDRAW_OK. For tests in one thread.
void sample_on_device(TokendrawSampler* sampler, const TokendrawBatch& host);

}  // namespace tokendraw::test
