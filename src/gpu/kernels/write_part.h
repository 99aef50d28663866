// SPDX-License-Identifier: Apache-2.0
// A warp's lines of a row become elements of an output row.
#pragma once

#include "gpu/kernels/resident_maxima.h"
#include "gpu/kernels/stored_row.h"

namespace tokendraw::gpu {

// Writes what make(id, x, made) makes of the elements of the lines `own` of a block whose first line is `block`; `made`
// has the bits of as many output elements as `x` has elements, of neighbouring ids. words(line) are a lane's.
// kResident: the block's part of the row lies in shared memory.
template <request::Dtype kDtype, request::Dtype kOut, bool kResident, typename Source, typename Words, typename Make>
TOKENDRAW_DEVICE void write_part(const Source& source, int32_t block, LineRange own, const Words& words,
                                 typename Stored<kOut>::Bits* out, const Make& make) {
  using Bits = typename Stored<kDtype>::Bits;
  using OutBits = typename Stored<kOut>::Bits;
  constexpr int kWidth = Source::kWidth;
  constexpr int kWave = Source::kLine / kWidth;
  using OutElements = Packet<OutBits, kWidth>;
  const int32_t zero_id = source.id_at(block * Source::kLine);
  const bool aligned = reinterpret_cast<uintptr_t>(out + zero_id) % alignof(OutElements) == 0;
  if (aligned || !kResident) {
#pragma unroll 2
    for (int32_t line = own.first; line < own.last; ++line) {
      const platform::Words16 stored = words(line);
      const int32_t id = source.first_id(block + line);
      float x[kWidth];
#pragma unroll
      for (int i = 0; i < kWidth; ++i) x[i] = Stored<kDtype>::to_float(stored, i);
      OutElements made;
      make(id, x, made.element);
      if (aligned && source.in_row(id) && source.in_row(id + kWidth - 1)) {
        *reinterpret_cast<OutElements*>(out + id) = made;
        continue;
      }
#pragma unroll
      for (int i = 0; i < kWidth; ++i) {
        if (source.in_row(id + i)) out[id + i] = made.element[i];
      }
    }
    return;
  }
  if constexpr (kResident) {  // one by one, so that a warp's elements lie side by side on both ways
    const auto* elements = reinterpret_cast<const Bits*>(resident_words());
    const int32_t end = own.last * Source::kLine;
#pragma unroll 4
    for (int32_t place = own.first * Source::kLine + static_cast<int32_t>(lane_index<kWave>()); place < end;
         place += kWave) {
      const int32_t id = zero_id + place;
      if (!source.in_row(id)) continue;
      const platform::Words16 stored = {{elements[place], 0, 0, 0}};
      const float x[1] = {Stored<kDtype>::to_float(stored, 0)};
      OutBits made[1];
      make(id, x, made);
      out[id] = made[0];
    }
  }
}

}  // namespace tokendraw::gpu
