// SPDX-License-Identifier: Apache-2.0
// Filters as operations, for tests: rows of every kind, each filter alone and together.
#pragma once

#include <stored_logit.h>
#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "prefix_sum_case.h"

namespace tokendraw::cases {

struct FilterCaseSetting {
  float temperature;
  int32_t top_k;
  float top_p;
  float min_p;
};
inline constexpr FilterCaseSetting kFilterCaseSettings[] = {
    {1.0f, 0, 1.0f, 0.0f},        {1.0f, 1, 1.0f, 0.0f},     {0.7f, 5, 1.0f, 0.0f},    {1.0f, 50, 1.0f, 0.0f},
    {1.5f, 0, 0.9f, 0.0f},        {1.0f, 0, 0.0f, 0.0f},     {1.0f, 0, 1.0f, 0.05f},   {1.0f, 0, 1.0f, 1.0f},
    {1.0f, 40, 0.5f, 0.0f},       {0.8f, 40, 0.9f, 0.1f},    {2.0f, 200, 0.99f, 0.0f}, {0.0f, 3, 0.5f, 0.1f},
    {1.0f, 0, 0.99999994f, 0.0f}, {INFINITY, 7, 1.0f, 0.0f}, {1.0f, 0, 0.3f, 0.02f},
};

struct FilterCase {
  TokendrawForm form = TOKENDRAW_FORM_LOGITS;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  int32_t vocab = 500;
  FilterCaseSetting setting = kFilterCaseSettings[0];
  TokendrawTopPBase base = TOKENDRAW_TOP_P_AFTER_TOP_K;
  bool masking = false;
  bool in_place = false;
  bool per_row = false;  // arrays of parameters, one row's of which is no value
  int64_t gap = 0;

  std::string text() const {
    return std::string(form == TOKENDRAW_FORM_LOGITS ? "logits " : "probabilities ") + tokendraw_dtype_name(dtype) +
           ", vocab " + std::to_string(vocab) + ", t " + std::to_string(setting.temperature) + ", k " +
           std::to_string(setting.top_k) + ", p " + std::to_string(setting.top_p) + ", min_p " +
           std::to_string(setting.min_p) + ", base " + tokendraw_top_p_base_name(base) + (masking ? ", masking" : "") +
           (in_place ? ", in place" : "") + (per_row ? ", per row" : "") + ", gap " + std::to_string(gap);
  }
};

inline constexpr int64_t kFilterRows = 9;

struct FilterCall {
  std::vector<unsigned char> input;
  std::vector<float> output;
  std::vector<float> temperatures, top_ps, min_ps;
  std::vector<int32_t> top_ks;
  std::vector<uint64_t> seeds;
  std::vector<int32_t> tokens = std::vector<int32_t>(kFilterRows, -77);
  std::vector<uint32_t> status = std::vector<uint32_t>(kFilterRows, 77);
  std::vector<int64_t> kept = std::vector<int64_t>(kFilterRows, -77);
  std::vector<uint64_t> kept_mass = std::vector<uint64_t>(kFilterRows, 77);
  TokendrawFilter filter;

  explicit FilterCall(const FilterCase& c) {
    const int64_t stride = c.vocab + c.gap;
    const size_t bytes = dtype_bytes(c.dtype);
    input.assign(static_cast<size_t>(kFilterRows * stride) * bytes, 0xff);
    output.assign(static_cast<size_t>(kFilterRows * stride), 77.0f);
    std::mt19937 engine(static_cast<uint32_t>(c.vocab) + static_cast<uint32_t>(c.form));
    for (int64_t row = 0; row < kFilterRows; ++row) {
      for (int32_t id = 0; id < c.vocab; ++id) {
        const float x = c.form == TOKENDRAW_FORM_LOGITS ? logit(row, id, c.vocab, engine)
                                                        : probability_of_kind(row, id, c.vocab, engine);
        store_logit_bits(input.data(), row * stride + id, c.dtype, encode_logit(x, c.dtype));
      }
      const bool bad = row == 3;
      temperatures.push_back(c.setting.temperature);
      top_ks.push_back(c.setting.top_k);
      top_ps.push_back(bad ? std::numeric_limits<float>::quiet_NaN() : c.setting.top_p);
      min_ps.push_back(c.setting.min_p);
      seeds.push_back(static_cast<uint64_t>(row) * 1234567);
    }
    tokendraw_init_filter(&filter);
    filter.input = input.data();
    filter.form = c.form;
    filter.dtype = c.dtype;
    filter.vocab = c.vocab;
    filter.rows = kFilterRows;
    filter.input_stride = stride;
    if (c.form == TOKENDRAW_FORM_LOGITS) filter.temperature = c.setting.temperature;
    filter.top_k = c.setting.top_k;
    filter.top_p = c.setting.top_p;
    filter.min_p = c.setting.min_p;
    filter.top_p_base = c.base;
    filter.masking = c.masking ? 1 : 0;
    filter.output = c.in_place ? reinterpret_cast<float*>(input.data()) : output.data();
    filter.output_stride = stride;
    filter.tokens = tokens.data();
    filter.seed = 99;
    filter.offset = 3;
    filter.row_status = status.data();
    filter.kept = kept.data();
    filter.kept_mass = kept_mass.data();
    if (!c.per_row) return;
    if (c.form == TOKENDRAW_FORM_LOGITS) filter.temperature_per_row = temperatures.data();
    filter.top_k_per_row = top_ks.data();
    filter.top_p_per_row = top_ps.data();
    filter.min_p_per_row = min_ps.data();
    filter.seed_per_row = seeds.data();
  }
  FilterCall(const FilterCall&) = delete;
  FilterCall& operator=(const FilterCall&) = delete;

  // All that a call leaves behind.
  bool operator==(const FilterCall& other) const {
    return input == other.input && output.size() == other.output.size() &&
           std::memcmp(output.data(), other.output.data(), output.size() * sizeof(float)) == 0 &&
           tokens == other.tokens && status == other.status && kept == other.kept && kept_mass == other.kept_mass;
  }

 private:
  static float logit(int64_t row, int32_t id, int32_t vocab, std::mt19937& engine) {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    const float x = std::normal_distribution<float>(0.0f, row == 1 ? 8.0f : 2.0f)(engine);
    switch (row) {
      case 2:
        return 1.5f;  // flat: ties at every cut
      case 4:
        return static_cast<float>(engine() % 4);
      case 5:
        return -kInfinity;
      case 6:
        return engine() % 3 == 0 ? std::numeric_limits<float>::quiet_NaN() : engine() % 3 == 0 ? -kInfinity : x;
      case 7:
        return id == vocab / 2 || id == vocab - 1 ? kInfinity : x;
      case 8:
        return id % 2 == 0 ? 0.0f : -0.0f;
      default:
        return x;
    }
  }
};

inline std::vector<FilterCase> filter_cases(const std::vector<int32_t>& vocabs) {
  std::vector<FilterCase> list;
  int turn = 0;
  for (const int32_t vocab : vocabs) {
    for (const FilterCaseSetting& setting : kFilterCaseSettings) {
      for (const auto base : {TOKENDRAW_TOP_P_AFTER_TOP_K, TOKENDRAW_TOP_P_ALL, TOKENDRAW_TOP_P_AFTER_ALL}) {
        ++turn;
        const auto dtype = static_cast<TokendrawDtype>(turn % 4 % 3);
        const int64_t gap = turn % 5 * 3;
        const bool in_place = turn % 3 == 0;
        list.push_back({TOKENDRAW_FORM_LOGITS, dtype, vocab, setting, base, turn % 2 == 0,
                        in_place && dtype == TOKENDRAW_DTYPE_F32, turn % 7 < 3, gap});
        if (setting.temperature != 1.0f) continue;
        list.push_back({TOKENDRAW_FORM_PROBABILITIES, TOKENDRAW_DTYPE_F32, vocab, setting, base, turn % 2 != 0,
                        in_place, turn % 7 < 2, gap});
      }
    }
  }
  return list;
}

}  // namespace tokendraw::cases
