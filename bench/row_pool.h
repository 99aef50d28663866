// SPDX-License-Identifier: Apache-2.0
// Rows of logits in device memory, more of them than the L2 cache holds, to be taken in turns.
#pragma once

#include <algorithm>
#include <cstddef>

#include "device_array.h"

namespace tokendraw::bench {

inline constexpr size_t kPoolBytes = size_t{2400} << 20;
inline constexpr size_t kRotationBytes = size_t{320} << 20;  // more than five times the L2 of an H200

// Logits of one kind, dtype and vocabulary, filling a pool of device memory.
class Pool {
 public:
  Pool() : memory_(kPoolBytes) {}

  // Rows are packed; vocab * element size is a multiple of 16.
  void fill(const std::vector<std::byte>& rows, size_t row_bytes) {
    row_bytes_ = row_bytes;
    rows_ = kPoolBytes / row_bytes;
    const size_t given = rows.size() / row_bytes;
    check(cudaMemcpy(memory_.get(), rows.data(), given * row_bytes, cudaMemcpyHostToDevice), "cudaMemcpy");
    for (size_t done = given; done < rows_;) {
      const size_t more = std::min(done, rows_ - done);
      check(cudaMemcpy(memory_.get() + done * row_bytes, memory_.get(), more * row_bytes, cudaMemcpyDeviceToDevice),
            "cudaMemcpy");
      done += more;
    }
  }

  // The number of batches to rotate through.
  int sets(int batch) const {
    const size_t fit = rows_ / static_cast<size_t>(batch);
    const size_t batch_bytes = row_bytes_ * static_cast<size_t>(batch);
    const size_t wanted = std::max<size_t>(2, (kRotationBytes + batch_bytes - 1) / batch_bytes);
    return static_cast<int>(std::min(fit, wanted));
  }
  // The number of calls that a graph repeats: all batches once, within reason.
  int calls(int batch) const { return std::max(batch >= 256 ? 4 : 16, std::min(sets(batch), 64)); }
  const std::byte* set(int batch, int i) const {
    return memory_.get() + static_cast<size_t>(i) * static_cast<size_t>(batch) * row_bytes_;
  }
  size_t row_bytes() const { return row_bytes_; }

 private:
  DeviceArray<std::byte> memory_;
  size_t row_bytes_ = 0;
  size_t rows_ = 0;
};

}  // namespace tokendraw::bench
