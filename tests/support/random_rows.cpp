// SPDX-License-Identifier: Apache-2.0
#include "support/random_rows.h"

#include <stored_logit.h>

#include <array>
#include <cmath>
#include <limits>
#include <numbers>

namespace tokendraw::test {
namespace {

constexpr float kTiny = std::numeric_limits<float>::denorm_min();
constexpr float kLargest = std::numeric_limits<float>::max();

float any_float(TestRandom& random) {
  static constexpr std::array<float, 12> kSpecial = {kNan,   kInfinity, -kInfinity, 0.0f, -0.0f, kTiny,
                                                     -kTiny, kLargest,  -kLargest,  1.0f, -1.0f, 0x1p-126f};
  if (random.chance(0.3)) return random.one_of(kSpecial);
  if (random.chance(0.3)) return float_of(static_cast<uint32_t>(random.bits()));
  return random.uniform(-4.0f, 4.0f);
}

}  // namespace

float TestRandom::normal() {
  const double radius = std::sqrt(-2.0 * std::log(1.0 - unit()));
  return static_cast<float>(radius * std::cos(2.0 * std::numbers::pi * unit()));
}

std::vector<float> make_logits(cases::RowKind kind, int32_t vocab, TokendrawDtype dtype, TestRandom& random) {
  const auto size = static_cast<size_t>(vocab);
  std::vector<float> values(size);
  std::vector<uint32_t> stored(size);  // large and aligned enough for every dtype
  cases::generate_row(kind, vocab, dtype, random.bits(), stored.data());
  for (size_t i = 0; i < size; ++i) values[i] = cases::load_logit(stored.data(), static_cast<int64_t>(i), dtype);
  return values;
}

std::vector<float> make_wild_logits(int32_t vocab, TokendrawDtype dtype, TestRandom& random) {
  std::vector<float> values(static_cast<size_t>(vocab));
  for (float& x : values) x = any_float(random);
  round_to_dtype(values, dtype);
  return values;
}

RowSpec make_row_parameters(int32_t vocab, TestRandom& random, bool allow_bad) {
  static constexpr std::array<float, 13> kTemperatures = {0.0f, -0.0f, 1e-40f, 1e-5f, 1e-3f,     0.5f,     0.7f,
                                                          1.0f, 1.5f,  4.0f,   1e30f, kInfinity, 0x1p-120f};
  static constexpr std::array<float, 14> kTopP = {1.0f,  2.0f,  0.99999994f, 0.99f, 0.9f, 0.75f, 0.5f,
                                                  0.25f, 1e-3f, 1e-10f,      kTiny, 0.0f, -1.0f, 0.125f};
  static constexpr std::array<float, 9> kMinP = {0.0f, 0.0f, -1.0f, 1e-10f, 0.01f, 0.1f, 0.25f, 0.5f, 1.0f};
  RowSpec row;
  if (random.chance(0.6))
    row.temperature = random.chance(0.7) ? random.one_of(kTemperatures) : random.uniform(0.1f, 3.0f);
  if (random.chance(0.6)) {
    const std::array<int32_t, 9> top_k = {
        1, 2, 50, vocab - 1, vocab, vocab + 1, 0, -1, std::numeric_limits<int32_t>::max()};
    row.top_k = random.chance(0.5) ? random.one_of(top_k) : static_cast<int32_t>(random.between(1, vocab));
  }
  if (random.chance(0.6)) row.top_p = random.chance(0.6) ? random.one_of(kTopP) : static_cast<float>(random.unit());
  if (random.chance(0.4)) row.min_p = random.chance(0.7) ? random.one_of(kMinP) : static_cast<float>(random.unit());
  row.seed = random.bits();
  row.stream = static_cast<uint32_t>(random.bits());
  row.offset = random.chance(0.5) ? random.below(100) : random.bits();
  if (allow_bad) {
    switch (random.below(5)) {
      case 0:
        row.temperature = random.chance(0.5) ? kNan : -1.0f;
        break;
      case 1:
        row.top_p = kNan;
        break;
      case 2:
        row.min_p = random.chance(0.5) ? kNan : 1.0000001f;
        break;
      case 3:
        row.repetition_penalty = random.one_of(std::array<float, 4>{0.0f, -1.0f, kNan, kInfinity});
        break;
      case 4:
        row.presence_penalty = random.chance(0.5) ? kNan : -kInfinity;
        break;
    }
  }
  return row;
}

void add_row_inputs(RowSpec& row, int32_t vocab, const RowInputs& inputs, TestRandom& random) {
  const auto any_id = [&]() -> int32_t {
    if (inputs.bad_ids && random.chance(0.1)) {
      return random.one_of(std::array<int32_t, 5>{-1, vocab, vocab + 1, std::numeric_limits<int32_t>::max(),
                                                  std::numeric_limits<int32_t>::min()});
    }
    return static_cast<int32_t>(random.below(static_cast<uint64_t>(vocab)));
  };
  // Ids for a list: each once, unless bad ids are asked for.
  const auto ids = [&] {
    std::vector<int32_t> list;
    std::vector<bool> seen(static_cast<size_t>(vocab), false);
    const int64_t count = random.between(0, random.chance(0.5) ? 8 : 200);
    for (int64_t i = 0; i < count; ++i) {
      const int32_t id = any_id();
      if (!inputs.bad_ids) {
        if (seen[static_cast<size_t>(id)]) continue;
        seen[static_cast<size_t>(id)] = true;
      }
      list.push_back(id);
    }
    return list;
  };
  const auto bias_value = [&] {
    static constexpr std::array<float, 7> kValues = {-kInfinity, kInfinity, -100.0f, 100.0f, 0.0f, -0.0f, kTiny};
    return random.chance(0.2) ? random.one_of(kValues) : 2.0f * random.normal();
  };
  if (inputs.mask) {
    const double allowed = random.one_of(std::array<double, 4>{0.0, 0.01, 0.5, 0.98});
    row.mask.assign(static_cast<size_t>(vocab + 31) / 32, 0);
    for (int32_t id = 0; id < vocab; ++id) {
      if (random.chance(allowed)) row.mask[static_cast<size_t>(id) / 32] |= 1u << (id % 32);
    }
    // Bits past the vocabulary mean nothing.
    if (vocab % 32 != 0 && random.chance(0.5)) row.mask.back() |= ~0u << (vocab % 32);
  }
  if (inputs.dense_bias) {
    row.dense_bias.resize(static_cast<size_t>(vocab));
    for (float& value : row.dense_bias) value = random.chance(0.1) ? bias_value() : 0.5f * random.normal();
  }
  if (inputs.sparse_bias) {
    for (const int32_t id : ids()) row.sparse_bias.push_back({id, bias_value()});
  }
  if (inputs.history) {
    for (const int32_t id : ids()) {
      row.history.push_back(
          {id, random.chance(0.05) ? std::numeric_limits<int32_t>::max() : static_cast<int32_t>(random.between(0, 5))});
    }
    if (random.chance(0.7)) row.repetition_penalty = random.uniform(0.5f, 2.0f);
    if (random.chance(0.5)) row.frequency_penalty = random.uniform(-1.0f, 1.0f);
    if (random.chance(0.5)) row.presence_penalty = random.uniform(-1.0f, 1.0f);
  }
}

}  // namespace tokendraw::test
