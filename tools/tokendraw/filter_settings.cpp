// SPDX-License-Identifier: Apache-2.0
#include "filter_settings.h"

#include <cmath>
#include <limits>

#include "case_random.h"

namespace tokendraw::cases {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kSmallest = std::numeric_limits<float>::denorm_min();
constexpr float kLargest = std::numeric_limits<float>::max();
constexpr int32_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr int32_t kMinInt = std::numeric_limits<int32_t>::min();

}  // namespace

bool is_valid_setting(const FilterSetting& setting) {
  return setting.temperature >= 0.0f && !std::isnan(setting.top_p) && setting.min_p <= 1.0f;
}

std::vector<FilterSetting> typical_settings() {
  return {
      {1.0f, 0, 1.0f, 0.0f},   {1.0f, 50, 1.0f, 0.0f},  {1.0f, 0, 0.9f, 0.0f},     {1.0f, 0, 1.0f, 0.05f},
      {1.0f, 50, 0.9f, 0.0f},  {1.0f, 50, 0.9f, 0.05f}, {0.8f, 40, 0.95f, 0.0f},   {0.7f, 0, 0.9f, 0.0f},
      {0.7f, 20, 0.8f, 0.0f},  {2.0f, 0, 0.5f, 0.0f},   {0.0f, 0, 1.0f, 0.0f},     {1.0f, 1, 1.0f, 0.0f},
      {0.2f, 20, 1.0f, 0.02f}, {1.5f, 0, 0.99f, 0.1f},  {1.0f, 1000, 0.95f, 0.0f}, {0.6f, 0, 1.0f, 0.0f},
      {1.0f, 200, 1.0f, 0.3f}, {4.0f, 0, 0.999f, 0.0f},
  };
}

std::vector<FilterSetting> edge_settings(int32_t vocab) {
  std::vector<FilterSetting> settings;
  // cases.md 14: top_k at every edge, alone, with top_p and on a greedy row.
  for (const int32_t k : {0, -1, kMinInt, 1, 2, 3, 31, 32, 33, vocab / 2, vocab - 1, vocab, vocab + 1, kMaxInt}) {
    settings.push_back({1.0f, k, 1.0f, 0.0f});
    settings.push_back({0.9f, k, 0.9f, 0.0f});
  }
  // 12 and 13: top_p at exact shares and at its ends.
  for (const float p : {0.5f, 0.75f, 0.875f, 0.99999994f, 1e-10f, kSmallest, 0.0f, -0.0f, -1.0f, -kInfinity, 1.0f, 1.5f,
                        kInfinity, 0.125f, 0.25f, 0.9999f}) {
    settings.push_back({1.0f, 0, p, 0.0f});
    settings.push_back({kBinaryTemperature, 0, p, 0.0f});
    settings.push_back({kBinaryTemperature, 3, p, 0.25f});
  }
  // 30: min_p where several maxima tie and where a weight is exactly at the threshold.
  for (const float p :
       {1.0f, 0.5f, 0.25f, 0.125f, kSmallest, 0x1p-42f, 0x1p-43f, 1e-20f, 0.99999994f, -1.0f, -kInfinity}) {
    settings.push_back({1.0f, 0, 1.0f, p});
    settings.push_back({kBinaryTemperature, 0, 0.75f, p});
  }
  // 15 and 16: temperatures.
  for (const float t :
       {0.0f, -0.0f, kSmallest, 1e-40f, 1e-38f, 1e-5f, 1e-3f, 0.1f, 100.0f, 1e30f, kLargest, kInfinity}) {
    settings.push_back({t, 0, 1.0f, 0.0f});
    settings.push_back({t, 50, 0.9f, 0.0f});
    settings.push_back({t, 0, 0.5f, 0.1f});
  }
  // Values that have no meaning: their rows have no token, their neighbours do.
  settings.push_back({kNan, 50, 0.9f, 0.0f});
  settings.push_back({-1.0f, 0, 1.0f, 0.0f});
  settings.push_back({-kInfinity, 0, 1.0f, 0.0f});
  settings.push_back({1.0f, 5, kNan, 0.0f});
  settings.push_back({1.0f, 0, 1.0f, kNan});
  settings.push_back({1.0f, 0, 1.0f, 1.0000001f});
  settings.push_back({0.0f, 0, kNan, 0.0f});
  return settings;
}

FilterSetting random_setting(int32_t vocab, uint64_t key) {
  const std::vector<FilterSetting> typical = typical_settings();
  const std::vector<FilterSetting> edges = edge_settings(vocab);
  const auto pick = [&](uint64_t parameter) -> const FilterSetting& {
    const std::vector<FilterSetting>& list = hash_below(key, parameter, 3) == 0 ? edges : typical;
    return list[hash_below(key, parameter + 16, list.size())];
  };
  return {pick(0).temperature, pick(1).top_k, pick(2).top_p, pick(3).min_p};
}

}  // namespace tokendraw::cases
