// SPDX-License-Identifier: Apache-2.0
// From fuzz bytes to a batch: every array has exactly the size that the batch promises, so that AddressSanitizer sees a
// read past it; what stands in the arrays and in the scalars is arbitrary.
#pragma once

#include <fuzzer/FuzzedDataProvider.h>
#include <tokendraw/tokendraw.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace tokendraw::fuzz {

class FuzzedBatch {
 public:
  explicit FuzzedBatch(FuzzedDataProvider& bytes);

  const TokendrawBatch& batch() const { return batch_; }
  // A rule of the header is broken, so every call must refuse the batch.
  bool must_be_refused() const { return must_be_refused_; }

 private:
  // An array on the heap of exactly `count` elements; freed with this object.
  template <class T>
  T* make_array(int64_t count);
  template <class T, class Make>
  const T* maybe_array(FuzzedDataProvider& bytes, int64_t count, Make make);

  void fill_shape(FuzzedDataProvider& bytes);
  void fill_logits(FuzzedDataProvider& bytes);
  void fill_filters(FuzzedDataProvider& bytes);
  void fill_randomness(FuzzedDataProvider& bytes);
  void fill_mask_and_bias(FuzzedDataProvider& bytes);
  void fill_history(FuzzedDataProvider& bytes);
  const int64_t* make_offsets(FuzzedDataProvider& bytes, int64_t entries);
  const int32_t* make_ids(FuzzedDataProvider& bytes, int64_t entries);
  void break_a_rule(FuzzedDataProvider& bytes);

  TokendrawBatch batch_;
  bool must_be_refused_ = false;
  std::vector<std::unique_ptr<std::byte[]>> arrays_;
};

}  // namespace tokendraw::fuzz
