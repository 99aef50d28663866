// SPDX-License-Identifier: Apache-2.0
// The filter settings that the cases go through: what people use, and the edges where samplers went wrong.
#pragma once

#include <cstdint>
#include <vector>

namespace tokendraw::cases {

// Zero and one mean "off" as in TokendrawBatch.
struct FilterSetting {
  float temperature = 1.0f;
  int32_t top_k = 0;
  float top_p = 1.0f;
  float min_p = 0.0f;
};

// Temperature at which the library's scale, log2(e) / T, is exactly 1: a logit one lower weighs exactly half.
inline constexpr float kBinaryTemperature = 1.44269502162933349609375f;

// A valid setting: one that a call accepts as scalars.
bool is_valid_setting(const FilterSetting& setting);

// Settings in common use. All are valid.
std::vector<FilterSetting> typical_settings();

// Each parameter at its edges, alone and together with others; some are not valid, on purpose.
std::vector<FilterSetting> edge_settings(int32_t vocab);

// Every parameter drawn from the two lists above, by `key`.
FilterSetting random_setting(int32_t vocab, uint64_t key);

}  // namespace tokendraw::cases
