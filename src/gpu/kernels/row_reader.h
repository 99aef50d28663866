// SPDX-License-Identifier: Apache-2.0
// A row of logits as a warp reads it: line by line, 16 bytes a lane, from the 16-byte boundary at or before the row's
// first logit on. Positions outside the row read as -inf.
#pragma once

#include "draw/effective_logit.h"
#include "gpu/kernels/lists.h"
#include "gpu/primitives/warp.h"

namespace tokendraw::gpu {

template <request::Dtype kDtype>
struct Stored;

template <>
struct Stored<request::Dtype::kF32> {
  using Bits = uint32_t;
  static constexpr Bits kMinusInfinity = 0xff800000u;
  static TOKENDRAW_DEVICE float to_float(const platform::Words16& words, int i) {
    return draw::bits_float(words.word[i]);
  }
};

template <>
struct Stored<request::Dtype::kF16> {
  using Bits = uint16_t;
  static constexpr Bits kMinusInfinity = 0xfc00u;
  static TOKENDRAW_DEVICE float to_float(const platform::Words16& words, int i) {
    return draw::f16_to_float(static_cast<uint16_t>(words.word[i / 2] >> (i % 2 * 16)));
  }
};

template <>
struct Stored<request::Dtype::kBf16> {
  using Bits = uint16_t;
  static constexpr Bits kMinusInfinity = 0xff80u;
  static TOKENDRAW_DEVICE float to_float(const platform::Words16& words, int i) {
    return draw::bits_float(i % 2 == 0 ? words.word[i / 2] << 16 : words.word[i / 2] & 0xffff0000u);
  }
};

// Words of which every logit is -inf.
template <request::Dtype kDtype>
TOKENDRAW_DEVICE platform::Words16 words_of_minus_infinity() {
  constexpr uint32_t kBits = Stored<kDtype>::kMinusInfinity;
  constexpr uint32_t kWord = sizeof(typename Stored<kDtype>::Bits) == 2 ? kBits << 16 | kBits : kBits;
  return {{kWord, kWord, kWord, kWord}};
}

// kEdited: the row may have a mask, a bias or lists.
template <request::Dtype kDtype, bool kEdited, int kWave>
class RowReader {
 public:
  using Bits = typename Stored<kDtype>::Bits;
  static constexpr int kWidth = 16 / static_cast<int>(sizeof(Bits));  // logits of one lane in a line
  static constexpr int kLine = kWidth * kWave;
  static constexpr bool kIsEdited = kEdited;
  static constexpr request::Dtype kStored = kDtype;

  // once: the row will not be in the device's cache when it is read again, so that it need not be kept there.
  TOKENDRAW_DEVICE RowReader(const void* logits, int32_t vocab, bool once) : vocab_(vocab), once_(once) {
    const auto address = reinterpret_cast<uintptr_t>(logits);
    lead_ = static_cast<int32_t>(address % 16 / sizeof(Bits));
    start_ = reinterpret_cast<const Bits*>(address - address % 16);
  }

  TOKENDRAW_DEVICE void edit_by(const Arguments& a, int64_t row, const request::RowInputs& inputs) {
    if constexpr (kEdited) {
      mask_ = inputs.mask;
      bias_ = inputs.bias;
      penalties_ = inputs.penalties;
      bias_list_ = table_of_row(a, row, ListKind::kBias, inputs.bias_list);
      history_ = table_of_row(a, row, ListKind::kHistory, inputs.history);
    }
  }

  TOKENDRAW_DEVICE int32_t vocab() const { return vocab_; }
  TOKENDRAW_DEVICE int32_t lines() const { return (lead_ + vocab_ + kLine - 1) / kLine; }

  // The id of the first logit of this lane in a line; may lie outside the row.
  TOKENDRAW_DEVICE int32_t first_id(int32_t line) const {
    return line * kLine + static_cast<int32_t>(lane_index<kWave>()) * kWidth - lead_;
  }
  // The id at position `place` of the lines; outside the row for some places of the first and last line.
  TOKENDRAW_DEVICE int32_t id_at(int32_t place) const { return place - lead_; }
  TOKENDRAW_DEVICE int32_t place_of(int32_t id) const { return id + lead_; }
  TOKENDRAW_DEVICE bool in_row(int32_t id) const { return id >= 0 && id < vocab_; }

  // Whether all lanes' logits in a line lie inside the row, and their bits then.
  TOKENDRAW_DEVICE bool is_inside(int32_t line) const {
    const int32_t id = line * kLine - lead_;
    return id >= 0 && id + kLine <= vocab_;
  }
  TOKENDRAW_DEVICE platform::Words16 fetch_inside(int32_t line) const {
    return platform::load_words(start_ + (first_id(line) + lead_), once_);
  }

  // The lines whose logits all lie inside: [first_inside(), end_inside()), and where in memory a line begins.
  TOKENDRAW_DEVICE int32_t first_inside() const { return lead_ > 0 ? 1 : 0; }
  TOKENDRAW_DEVICE int32_t end_inside() const { return (lead_ + vocab_) / kLine; }
  TOKENDRAW_DEVICE const void* address(int32_t line) const { return start_ + static_cast<int64_t>(line) * kLine; }

  // The bits of this lane's logits in a line; or of those that begin at an id where a lane's do.
  TOKENDRAW_DEVICE platform::Words16 fetch(int32_t line) const { return fetch_at(first_id(line)); }
  TOKENDRAW_DEVICE platform::Words16 fetch_at(int32_t id) const {
    const Bits* from = start_ + (id + lead_);
    if (id >= 0 && id + kWidth <= vocab_) return platform::load_words(from, once_);
    return fetch_partial(id);
  }

  // Logits from the bits. Of an edited row: effective ones, but that -0 stays; of another one: as they are, NaN
  // included, which no comparison lets pass and which weighs 0. `nan` is set if one is NaN or becomes it, where it is
  // looked at.
  TOKENDRAW_DEVICE void convert(const platform::Words16& words, int32_t line, float (&x)[kWidth], bool& nan) const {
    convert_at(words, kEdited ? first_id(line) : 0, x, nan);
  }
  // The same of logits whose first has this id.
  TOKENDRAW_DEVICE void convert_at(const platform::Words16& words, int32_t id, float (&x)[kWidth], bool& nan) const {
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x[i] = Stored<kDtype>::to_float(words, i);
    if constexpr (kEdited) edit(id, x, nan);
#pragma unroll
    for (int i = 0; i < kWidth; ++i) nan |= draw::is_nan(x[i]);
  }

  // One effective logit.
  TOKENDRAW_DEVICE_CALL float load_one(int32_t id) const {
    bool nan = false;
    platform::Words16 words = {{platform::load_value(start_ + (id + lead_)), 0, 0, 0}};
    float x = draw::nan_to_minus_infinity(Stored<kDtype>::to_float(words, 0), nan);
    if constexpr (kEdited) x = edited(id, x, nan);
    return draw::add_rn(x, 0.0f);
  }

 private:
  // A vector at the row's begin or end: one by one, so that nothing outside the row is read.
  TOKENDRAW_DEVICE platform::Words16 fetch_partial(int32_t id) const {
    platform::Words16 words = {};
    constexpr int kBytes = static_cast<int>(sizeof(Bits));
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      const uint32_t bits =
          in_row(id + i) ? platform::load_value(start_ + (id + lead_ + i)) : Stored<kDtype>::kMinusInfinity;
      words.word[i * kBytes / 4] |= bits << (i * kBytes % 4 * 8);
    }
    return words;
  }

  // The bits of kWidth ids from `id` on; bits outside the row are unspecified.
  TOKENDRAW_DEVICE uint32_t bits_from(const uint32_t* words, int32_t id) const {
    const int32_t first = id > 0 ? id : 0;
    const int32_t last = id + kWidth <= vocab_ ? id + kWidth - 1 : vocab_ - 1;
    if (last < first) return 0;
    const uint64_t low = words[first / 32];
    const uint64_t high = first / 32 != last / 32 ? words[last / 32] : 0;
    const uint64_t from_first = (low | high << 32) >> (first % 32);
    return static_cast<uint32_t>(id < 0 ? from_first << -id : from_first);
  }

  TOKENDRAW_DEVICE void edit(int32_t id, float (&x)[kWidth], bool& nan) const {
    const uint32_t allowed = mask_ != nullptr ? bits_from(mask_, id) : ~uint32_t{0};
    const uint32_t biased = bias_list_.listed != nullptr ? bits_from(bias_list_.listed, id) : 0;
    const uint32_t punished = history_.listed != nullptr ? bits_from(history_.listed, id) : 0;
    uint32_t listed = 0;  // bit i: a list has id + i
#pragma unroll
    for (int i = 0; i < kWidth; ++i) {
      if (!in_row(id + i)) continue;
      x[i] = draw::nan_to_minus_infinity(x[i], nan);
      if ((allowed >> i & 1u) == 0) x[i] = -draw::infinity();
      if (bias_ != nullptr) x[i] = draw::apply_bias(x[i], bias_[id + i]);
      listed |= (biased | punished) & (1u << i);
    }
    // Few logits are, so the code for one of them stands here once and not for each of a vector.
#pragma unroll 1
    for (; listed != 0; listed &= listed - 1) {
      const uint32_t bit = listed & (0u - listed);
      const int32_t place = 31 - platform::leading_zeros(bit);
      float value = x[0];
#pragma unroll
      for (int i = 1; i < kWidth; ++i) value = place == i ? x[i] : value;
      if ((biased & bit) != 0) value = with_listed_bias(id + place, value);
      if ((punished & bit) != 0) value = with_penalties(id + place, value);
#pragma unroll
      for (int i = 0; i < kWidth; ++i) x[i] = place == i ? value : x[i];
    }
#pragma unroll
    for (int i = 0; i < kWidth; ++i) x[i] = draw::nan_to_minus_infinity(x[i], nan);
  }

  TOKENDRAW_DEVICE static bool bit_at(const uint32_t* words, int32_t id) {
    return (words[id / 32] >> (id % 32) & 1u) != 0;
  }

  TOKENDRAW_DEVICE float edited(int32_t id, float x, bool& nan) const {
    if (mask_ != nullptr && !bit_at(mask_, id)) x = -draw::infinity();
    if (bias_ != nullptr) x = draw::apply_bias(x, bias_[id]);
    if (bias_list_.listed != nullptr && bit_at(bias_list_.listed, id)) x = with_listed_bias(id, x);
    if (history_.listed != nullptr && bit_at(history_.listed, id)) x = with_penalties(id, x);
    return draw::nan_to_minus_infinity(x, nan);
  }

  TOKENDRAW_DEVICE_CALL float with_listed_bias(int32_t id, float x) const {
    return draw::apply_bias(x, bias_list_.list.values[find_entry(bias_list_, id)]);
  }
  TOKENDRAW_DEVICE_CALL float with_penalties(int32_t id, float x) const {
    const request::ListSlice& list = history_.list;
    return draw::apply_penalties(x, penalties_, list.counts != nullptr ? list.counts[find_entry(history_, id)] : 1);
  }

  const Bits* start_;
  int32_t lead_;
  int32_t vocab_;
  bool once_;
  // Used only if kEdited
  const uint32_t* mask_ = nullptr;
  const float* bias_ = nullptr;
  draw::Penalties penalties_ = {1.0f, 0.0f, 0.0f};
  ListTable bias_list_;
  ListTable history_;
};

}  // namespace tokendraw::gpu
