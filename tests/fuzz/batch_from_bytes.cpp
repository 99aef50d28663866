// SPDX-License-Identifier: Apache-2.0
#include "batch_from_bytes.h"

#include <cmath>
#include <cstring>
#include <limits>

namespace tokendraw::fuzz {
namespace {

// Values at which arithmetic turns, arbitrary bits, and plain numbers.
float any_float(FuzzedDataProvider& bytes) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  constexpr float kSpecial[] = {0.0f,
                                -0.0f,
                                1.0f,
                                -1.0f,
                                0.5f,
                                0.9f,
                                0.99999994f,
                                1e-10f,
                                1e-40f,
                                1e30f,
                                std::numeric_limits<float>::denorm_min(),
                                std::numeric_limits<float>::max(),
                                -std::numeric_limits<float>::max(),
                                kInfinity,
                                -kInfinity,
                                std::numeric_limits<float>::quiet_NaN(),
                                1.44269502162933349609375f};
  switch (bytes.ConsumeIntegralInRange<int>(0, 3)) {
    case 0:
      return kSpecial[bytes.ConsumeIntegralInRange<size_t>(0, std::size(kSpecial) - 1)];
    case 1: {
      const auto bits = bytes.ConsumeIntegral<uint32_t>();
      float value;
      std::memcpy(&value, &bits, sizeof value);
      return value;
    }
    case 2:
      return static_cast<float>(bytes.ConsumeIntegral<uint8_t>()) / 256.0f;
    default:
      return static_cast<float>(bytes.ConsumeIntegral<int16_t>()) / 1024.0f;
  }
}

int32_t any_int(FuzzedDataProvider& bytes) {
  switch (bytes.ConsumeIntegralInRange<int>(0, 2)) {
    case 0:
      return bytes.ConsumeIntegral<int8_t>();
    case 1:
      return bytes.ConsumeIntegral<int16_t>();
    default:
      return bytes.ConsumeIntegral<int32_t>();
  }
}

// A cheap generator for long rows: fuzz bytes choose its state and what is planted into the row.
uint32_t next(uint64_t& state) {
  state = state * 6364136223846793005u + 1442695040888963407u;
  return static_cast<uint32_t>(state >> 32);
}

uint16_t top_half(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>(bits >> 16);
}

// `value` in the bytes of `dtype`: a bfloat16 by its upper half, a half-precision number with the same leading bits,
// which is another number but as good.
void store(std::byte* row, int64_t index, TokendrawDtype dtype, float value) {
  if (dtype == TOKENDRAW_DTYPE_F32) {
    std::memcpy(row + 4 * index, &value, 4);
    return;
  }
  uint16_t half = top_half(value);
  if (dtype == TOKENDRAW_DTYPE_F16) {
    if (std::isinf(value)) {
      half = value > 0 ? 0x7c00u : 0xfc00u;
    } else if (std::isnan(value)) {
      half = 0x7e01u;
    }
  }
  std::memcpy(row + 2 * index, &half, 2);
}

}  // namespace

template <class T>
T* FuzzedBatch::make_array(int64_t count) {
  // new[] of bytes is aligned for every T here and its end is known to AddressSanitizer to the byte.
  arrays_.push_back(std::make_unique<std::byte[]>(sizeof(T) * static_cast<size_t>(count)));
  return reinterpret_cast<T*>(arrays_.back().get());
}

// An array with one value a row, or nothing.
template <class T, class Make>
const T* FuzzedBatch::maybe_array(FuzzedDataProvider& bytes, int64_t count, Make make) {
  if (!bytes.ConsumeBool()) return nullptr;
  T* array = make_array<T>(count);
  for (int64_t i = 0; i < count; ++i) array[i] = make();
  return array;
}

FuzzedBatch::FuzzedBatch(FuzzedDataProvider& bytes) {
  tokendraw_init_batch(&batch_);
  fill_shape(bytes);
  fill_filters(bytes);
  fill_randomness(bytes);
  fill_mask_and_bias(bytes);
  fill_history(bytes);
  fill_logits(bytes);
  if (bytes.ConsumeIntegralInRange<int>(0, 15) == 0) break_a_rule(bytes);
}

void FuzzedBatch::fill_shape(FuzzedDataProvider& bytes) {
  // The engine works in chunks of some hundred logits: most rows are shorter, some have many chunks.
  switch (bytes.ConsumeIntegralInRange<int>(0, 3)) {
    case 0:
      batch_.vocab = bytes.ConsumeIntegralInRange<int32_t>(1, 8);
      break;
    case 1:
      batch_.vocab = bytes.ConsumeIntegralInRange<int32_t>(1, 300);
      break;
    default:
      batch_.vocab = bytes.ConsumeIntegralInRange<int32_t>(1, 9000);
      break;
  }
  batch_.rows = bytes.ConsumeIntegralInRange<int64_t>(0, 4);
  batch_.dtype = static_cast<TokendrawDtype>(bytes.ConsumeIntegralInRange<int>(0, 2));
  if (bytes.ConsumeBool()) batch_.row_stride = batch_.vocab + bytes.ConsumeIntegralInRange<int64_t>(0, 40);
  if (bytes.ConsumeBool()) {
    batch_.logits_rows = bytes.ConsumeIntegralInRange<int64_t>(1, 3);
    const int64_t rows = batch_.logits_rows;
    batch_.row_index = maybe_array<int32_t>(bytes, batch_.rows, [&] {
      return bytes.ConsumeIntegralInRange<int>(0, 7) == 0
                 ? any_int(bytes)
                 : bytes.ConsumeIntegralInRange<int32_t>(0, static_cast<int32_t>(rows) - 1);
    });
    if (batch_.row_index == nullptr && batch_.logits_rows < batch_.rows) batch_.logits_rows = batch_.rows;
  }
  batch_.invalid_token = any_int(bytes);
}

void FuzzedBatch::fill_logits(FuzzedDataProvider& bytes) {
  const int64_t rows = batch_.logits_rows != 0 ? batch_.logits_rows : batch_.rows;
  const int64_t stride = batch_.row_stride != 0 ? batch_.row_stride : batch_.vocab;
  const int64_t lead = bytes.ConsumeIntegralInRange<int64_t>(0, 17);  // so that rows begin anywhere
  const int64_t elements = rows == 0 ? 0 : (rows - 1) * stride + batch_.vocab;
  const int64_t size = batch_.dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2;
  std::byte* data = make_array<std::byte>(size * (lead + elements)) + size * lead;
  batch_.logits = data;

  const int kind = bytes.ConsumeIntegralInRange<int>(0, 4);
  auto state = static_cast<uint64_t>(bytes.ConsumeIntegral<uint32_t>());
  float palette[6];
  for (float& value : palette) value = any_float(bytes);
  const auto colours = bytes.ConsumeIntegralInRange<uint32_t>(1, 6);
  for (int64_t i = 0; i < elements; ++i) {
    const uint32_t random = next(state);
    float value = 0.0f;
    if (kind == 0) {  // few values: ties
      value = palette[random % colours];
    } else if (kind == 1) {  // arbitrary bits
      std::memcpy(&value, &random, sizeof value);
    } else if (kind == 2) {  // ordered
      value = static_cast<float>(i) * palette[0];
    } else if (kind == 3) {  // like a model's
      value = std::log2(static_cast<float>(random % 65521) + 1.0f) * palette[0] + palette[1];
    } else {  // spread evenly
      value = static_cast<float>(random % 4096) / 128.0f;
    }
    store(data, i, batch_.dtype, value);
  }
  // Single places matter: ends of rows, of vectors and of chunks.
  const int planted = elements == 0 ? 0 : bytes.ConsumeIntegralInRange<int>(0, 12);
  for (int i = 0; i < planted; ++i) {
    store(data, bytes.ConsumeIntegralInRange<int64_t>(0, elements - 1), batch_.dtype, any_float(bytes));
  }
}

void FuzzedBatch::fill_filters(FuzzedDataProvider& bytes) {
  const auto real = [&] { return any_float(bytes); };
  const auto share = [&] {
    return bytes.ConsumeBool() ? bytes.ConsumeFloatingPointInRange(0.0f, 1.0f) : any_float(bytes);
  };
  const auto count = [&] { return any_int(bytes); };
  if (bytes.ConsumeBool()) batch_.temperature = any_float(bytes);
  batch_.temperature_per_row = maybe_array<float>(bytes, batch_.rows, real);
  if (bytes.ConsumeBool()) batch_.top_k = any_int(bytes);
  batch_.top_k_per_row = maybe_array<int32_t>(bytes, batch_.rows, count);
  if (bytes.ConsumeBool()) batch_.top_p = share();
  batch_.top_p_per_row = maybe_array<float>(bytes, batch_.rows, share);
  if (bytes.ConsumeBool()) batch_.min_p = share();
  batch_.min_p_per_row = maybe_array<float>(bytes, batch_.rows, share);
  batch_.top_p_base = static_cast<TokendrawTopPBase>(bytes.ConsumeIntegralInRange<int>(0, 2));
}

void FuzzedBatch::fill_randomness(FuzzedDataProvider& bytes) {
  const auto whole = [&] { return bytes.ConsumeIntegral<uint64_t>(); };
  batch_.seed = bytes.ConsumeIntegral<uint16_t>();
  batch_.seed_per_row = maybe_array<uint64_t>(bytes, batch_.rows, whole);
  if (bytes.ConsumeBool()) batch_.stream = bytes.ConsumeIntegral<int64_t>();
  batch_.stream_per_row = maybe_array<uint32_t>(bytes, batch_.rows, [&] { return bytes.ConsumeIntegral<uint32_t>(); });
  if (bytes.ConsumeBool()) batch_.offset = whole();
  batch_.offset_per_row = maybe_array<uint64_t>(bytes, batch_.rows, whole);
  switch (bytes.ConsumeIntegralInRange<int>(0, 3)) {
    case 0:  // the ends of the range as often as all the rest
      batch_.random_u64 = maybe_array<uint64_t>(bytes, batch_.rows, [&] {
        return bytes.ConsumeBool() ? (bytes.ConsumeBool() ? ~uint64_t{0} : uint64_t{0}) : whole();
      });
      break;
    case 1:
      batch_.random_f32 = maybe_array<float>(bytes, batch_.rows, [&] { return any_float(bytes); });
      break;
    default:
      break;
  }
}

void FuzzedBatch::fill_mask_and_bias(FuzzedDataProvider& bytes) {
  if (bytes.ConsumeIntegralInRange<int>(0, 3) == 0) {
    const int64_t words = (batch_.vocab + 31) / 32;
    if (bytes.ConsumeBool()) batch_.mask_row_stride = words + bytes.ConsumeIntegralInRange<int64_t>(0, 3);
    const int64_t count = batch_.rows == 0 ? 0 : (batch_.rows - 1) * batch_.mask_row_stride + words;
    uint32_t* mask = make_array<uint32_t>(count);
    auto state = static_cast<uint64_t>(bytes.ConsumeIntegral<uint32_t>());
    const int density = bytes.ConsumeIntegralInRange<int>(0, 4);
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t random = next(state);
      mask[i] = density == 0   ? 0
                : density == 1 ? random & next(state) & next(state) & next(state)
                : density == 2 ? random
                : density == 3 ? random | next(state) | next(state)
                               : ~uint32_t{0};
    }
    if (count > 0) mask[bytes.ConsumeIntegralInRange<int64_t>(0, count - 1)] = bytes.ConsumeIntegral<uint32_t>();
    batch_.mask = mask;
  }
  const int kind = bytes.ConsumeIntegralInRange<int>(0, 5);
  if (kind == 0) {
    if (bytes.ConsumeBool()) batch_.bias_row_stride = batch_.vocab + bytes.ConsumeIntegralInRange<int64_t>(0, 9);
    const int64_t count = batch_.rows == 0 ? 0 : (batch_.rows - 1) * batch_.bias_row_stride + batch_.vocab;
    float* bias = make_array<float>(count);
    auto state = static_cast<uint64_t>(bytes.ConsumeIntegral<uint32_t>());
    const float palette[] = {0.0f, any_float(bytes), any_float(bytes)};
    for (int64_t i = 0; i < count; ++i) bias[i] = palette[next(state) % 3];
    batch_.bias = bias;
  } else if (kind == 1) {
    const int64_t entries = bytes.ConsumeIntegralInRange<int64_t>(0, 40);
    batch_.bias_entries = entries;
    batch_.bias_ids = make_ids(bytes, entries);
    float* values = make_array<float>(entries);
    for (int64_t i = 0; i < entries; ++i) values[i] = any_float(bytes);
    batch_.bias_values = values;
    batch_.bias_offsets = make_offsets(bytes, entries);
  }
}

void FuzzedBatch::fill_history(FuzzedDataProvider& bytes) {
  const auto real = [&] { return any_float(bytes); };
  if (bytes.ConsumeBool()) batch_.repetition_penalty = any_float(bytes);
  batch_.repetition_penalty_per_row = maybe_array<float>(bytes, batch_.rows, real);
  if (bytes.ConsumeBool()) batch_.frequency_penalty = any_float(bytes);
  batch_.frequency_penalty_per_row = maybe_array<float>(bytes, batch_.rows, real);
  if (bytes.ConsumeBool()) batch_.presence_penalty = any_float(bytes);
  batch_.presence_penalty_per_row = maybe_array<float>(bytes, batch_.rows, real);
  if (bytes.ConsumeIntegralInRange<int>(0, 2) != 0) return;
  const int64_t entries = bytes.ConsumeIntegralInRange<int64_t>(0, 40);
  batch_.history_entries = entries;
  batch_.history_ids = make_ids(bytes, entries);
  batch_.history_counts = maybe_array<int32_t>(bytes, entries, [&] { return any_int(bytes); });
  batch_.history_offsets = make_offsets(bytes, entries);
}

const int32_t* FuzzedBatch::make_ids(FuzzedDataProvider& bytes, int64_t entries) {
  int32_t* ids = make_array<int32_t>(entries);
  for (int64_t i = 0; i < entries; ++i) {
    ids[i] = bytes.ConsumeIntegralInRange<int>(0, 7) == 0 ? any_int(bytes)
                                                          : bytes.ConsumeIntegralInRange<int32_t>(0, batch_.vocab - 1);
  }
  return ids;
}

const int64_t* FuzzedBatch::make_offsets(FuzzedDataProvider& bytes, int64_t entries) {
  int64_t* offsets = make_array<int64_t>(batch_.rows + 1);
  const bool ascending = bytes.ConsumeIntegralInRange<int>(0, 3) != 0;
  int64_t low = 0;
  for (int64_t r = 0; r <= batch_.rows; ++r) {
    offsets[r] = ascending             ? bytes.ConsumeIntegralInRange<int64_t>(low, entries)
                 : bytes.ConsumeBool() ? bytes.ConsumeIntegral<int64_t>()
                                       : bytes.ConsumeIntegralInRange<int64_t>(-1, entries + 1);
    if (ascending) low = offsets[r];
  }
  return offsets;
}

// Each of these is refused by the header's words, whatever the rest of the batch says.
void FuzzedBatch::break_a_rule(FuzzedDataProvider& bytes) {
  must_be_refused_ = true;
  const auto set_enum = [&](auto& field, int first_bad) {  // no enumerator: written as a C caller would, as an int
    const int value = bytes.ConsumeBool()
                          ? bytes.ConsumeIntegralInRange<int>(first_bad, std::numeric_limits<int>::max())
                          : bytes.ConsumeIntegralInRange<int>(std::numeric_limits<int>::min(), -1);
    static_assert(sizeof field == sizeof value);
    std::memcpy(&field, &value, sizeof value);
  };
  switch (bytes.ConsumeIntegralInRange<int>(0, 12)) {
    case 0:
      batch_.vocab = bytes.ConsumeIntegralInRange<int32_t>(std::numeric_limits<int32_t>::min(), 0);
      break;
    case 1:
      batch_.vocab = bytes.ConsumeIntegralInRange<int32_t>((1 << 21) + 1, std::numeric_limits<int32_t>::max());
      break;
    case 2:
      batch_.rows = bytes.ConsumeIntegralInRange<int64_t>(std::numeric_limits<int64_t>::min(), -1);
      break;
    case 3:
      batch_.rows = bytes.ConsumeIntegralInRange<int64_t>(int64_t{1} << 31, std::numeric_limits<int64_t>::max());
      break;
    case 4:
      batch_.row_stride = bytes.ConsumeIntegralInRange<int64_t>(std::numeric_limits<int64_t>::min(), -1);
      break;
    case 5:
      batch_.logits_rows = bytes.ConsumeIntegralInRange<int64_t>(std::numeric_limits<int64_t>::min(), -1);
      break;
    case 6:
      set_enum(batch_.dtype, 3);
      break;
    case 7:
      set_enum(batch_.top_p_base, 3);
      break;
    case 8:
      set_enum(batch_.logits_memory, 1);  // 1 is device memory, which the CPU refuses
      break;
    case 9:
      set_enum(batch_.params_memory, 1);
      break;
    case 10:
      batch_.temperature_per_row = nullptr;
      batch_.temperature = std::numeric_limits<float>::quiet_NaN();
      break;
    case 11:
      batch_.struct_size = 0;
      break;
    default:
      batch_.stream_per_row = nullptr;
      batch_.stream = bytes.ConsumeIntegralInRange<int64_t>(int64_t{1} << 32, std::numeric_limits<int64_t>::max());
      break;
  }
}

}  // namespace tokendraw::fuzz
