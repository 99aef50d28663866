// SPDX-License-Identifier: Apache-2.0
// Rows of stored numbers as the building blocks read and write them: each thread takes 16 bytes at a time where row and
// output begin at such boundaries, one element at a time elsewhere. Plain loads, since an output may stand in the place
// of its input: then each element is read and written by the same thread.
#pragma once

#include "gpu/kernels/row_reader.h"
#include "request/store_value.h"

namespace tokendraw::gpu {

// Elements side by side, as many as are moved at once.
template <typename T, int kCount>
struct alignas(sizeof(T) * kCount < 16 ? sizeof(T) * kCount : 16) Packet {
  T element[kCount];
};

template <int kThreads, typename T>
struct StoredRow {
  static constexpr int kWidth = 16 / static_cast<int>(sizeof(T));
  using Elements = Packet<T, kWidth>;

  const T* data;
  int64_t size;

  TOKENDRAW_DEVICE bool aligned() const { return reinterpret_cast<uintptr_t>(data) % 16 == 0; }

  // Calls visit(index, element) for all elements; no order.
  template <typename Visit>
  TOKENDRAW_DEVICE void visit(const Visit& visit) const {
    const int64_t packets = aligned() ? size / kWidth : 0;
    const auto* from = reinterpret_cast<const Elements*>(data);
#pragma unroll 4
    for (int64_t i = platform::thread_index(); i < packets; i += kThreads) {
      const Elements elements = from[i];
#pragma unroll
      for (int j = 0; j < kWidth; ++j) visit(i * kWidth + j, elements.element[j]);
    }
    for (int64_t i = packets * kWidth + platform::thread_index(); i < size; i += kThreads) visit(i, data[i]);
  }

  // Writes map(index, element) to `to`, which may be where the row is.
  template <typename Out, typename Map>
  TOKENDRAW_DEVICE void map(Out* to, const Map& map) const {
    using OutElements = Packet<Out, kWidth>;
    const bool whole = aligned() && reinterpret_cast<uintptr_t>(to) % alignof(OutElements) == 0;
    const int64_t packets = whole ? size / kWidth : 0;
    const auto* from = reinterpret_cast<const Elements*>(data);
    auto* out = reinterpret_cast<OutElements*>(to);
    for (int64_t i = platform::thread_index(); i < packets; i += kThreads) {
      const Elements elements = from[i];
      OutElements made;
#pragma unroll
      for (int j = 0; j < kWidth; ++j) made.element[j] = map(i * kWidth + j, elements.element[j]);
      out[i] = made;
    }
    for (int64_t i = packets * kWidth + platform::thread_index(); i < size; i += kThreads) to[i] = map(i, data[i]);
  }
};

// Logits of a dtype as stored bits.
template <request::Dtype kDtype>
struct LogitBits {
  using Bits = typename Stored<kDtype>::Bits;
  static TOKENDRAW_DEVICE float to_float(Bits bits) {
    const platform::Words16 words = {{bits, 0, 0, 0}};
    return Stored<kDtype>::to_float(words, 0);
  }
};

// A value as the bits of a dtype, rounded once.
template <request::Dtype kDtype>
TOKENDRAW_DEVICE typename Stored<kDtype>::Bits bits_of_value(double value) {
  if constexpr (kDtype == request::Dtype::kF32) return draw::float_bits(static_cast<float>(value));
  if constexpr (kDtype == request::Dtype::kF16) return draw::float_to_f16(draw::round_to_odd(value));
  if constexpr (kDtype == request::Dtype::kBf16) return draw::float_to_bf16(draw::round_to_odd(value));
}

// The same for a probability of at least 2^-126, or 0, in fewer instructions.
template <request::Dtype kDtype>
TOKENDRAW_DEVICE typename Stored<kDtype>::Bits bits_of_share(double value) {
  if constexpr (kDtype == request::Dtype::kBf16) return draw::share_to_bf16(value);
  return bits_of_value<kDtype>(value);
}

}  // namespace tokendraw::gpu
