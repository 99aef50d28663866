// SPDX-License-Identifier: Apache-2.0
// A block's part of a row that the blocks of a cluster hold in shared memory: whole lines, those at the row's ends
// filled up with -inf.
#pragma once

#include "gpu/kernels/row_reader.h"

namespace tokendraw::gpu {

// The same memory in every function of a kernel.
TOKENDRAW_DEVICE platform::Words16* resident_words() {
  TOKENDRAW_SHARED_DYNAMIC(platform::Words16, words);
  return words;
}

// Has the functions of RowReader for what is there. Logits are as they were given, NaN included, but those of a row
// that was edited on the way: kStored is float then.
template <request::Dtype kStoredDtype, int kWave>
class ResidentReader {
 public:
  static constexpr request::Dtype kStored = kStoredDtype;
  using Bits = typename Stored<kStored>::Bits;
  static constexpr int kWidth = 16 / static_cast<int>(sizeof(Bits));
  static constexpr int kLine = kWidth * kWave;
  static constexpr bool kIsEdited = false;

  TOKENDRAW_DEVICE ResidentReader(int32_t first_id, int32_t lines, int32_t vocab)
      : first_id_(first_id), lines_(lines), vocab_(vocab) {}

  TOKENDRAW_DEVICE int32_t vocab() const { return vocab_; }
  TOKENDRAW_DEVICE int32_t lines() const { return lines_; }
  TOKENDRAW_DEVICE int32_t first_id(int32_t line) const {
    return first_id_ + line * kLine + static_cast<int32_t>(lane_index<kWave>()) * kWidth;
  }
  TOKENDRAW_DEVICE int32_t id_at(int32_t place) const { return first_id_ + place; }
  TOKENDRAW_DEVICE int32_t place_of(int32_t id) const { return id - first_id_; }
  TOKENDRAW_DEVICE bool has_place(int32_t place) const { return place >= 0 && place < lines_ * kLine; }
  TOKENDRAW_DEVICE bool in_row(int32_t id) const { return id >= 0 && id < vocab_ && has_place(place_of(id)); }

  TOKENDRAW_DEVICE bool is_inside(int32_t) const { return true; }
  TOKENDRAW_DEVICE platform::Words16 fetch_inside(int32_t line) const {
    return resident_words()[line * kWave + static_cast<int32_t>(lane_index<kWave>())];
  }
  TOKENDRAW_DEVICE platform::Words16 fetch(int32_t line) const { return fetch_inside(line); }

  TOKENDRAW_DEVICE void convert(const platform::Words16& words, int32_t, float (&x)[kWidth], bool&) const {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x[i] = Stored<kStored>::to_float(words, i);
  }

  TOKENDRAW_DEVICE float load_one(int32_t id) const {
    const auto* values = reinterpret_cast<const Bits*>(resident_words());
    const platform::Words16 words = {{values[place_of(id)], 0, 0, 0}};
    bool nan = false;
    return draw::add_rn(draw::nan_to_minus_infinity(Stored<kStored>::to_float(words, 0), nan), 0.0f);
  }

 private:
  int32_t first_id_;
  int32_t lines_;
  int32_t vocab_;
};

}  // namespace tokendraw::gpu
