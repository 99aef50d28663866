// SPDX-License-Identifier: Apache-2.0
#include "token_place.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "stored_logit.h"

namespace tokendraw::cli {

void RowPlaces::load(const void* logits, int32_t vocab, TokendrawDtype dtype) {
  x_.resize(static_cast<size_t>(vocab));
  for (int32_t id = 0; id < vocab; ++id) {
    const float x = cases::load_logit(logits, id, dtype);
    x_[static_cast<size_t>(id)] = std::isnan(x) ? -std::numeric_limits<float>::infinity() : x;
  }
  max_ = *std::max_element(x_.begin(), x_.end());
}

int64_t RowPlaces::rank(int32_t token) const {
  const auto place = x_.begin() + token;
  const float x = *place;
  return std::count_if(x_.begin(), place, [x](float other) { return other >= x; }) +
         std::count_if(place + 1, x_.end(), [x](float other) { return other > x; });
}

double RowPlaces::share(int32_t token, float temperature, uint64_t kept_mass) const {
  const float x = x_[static_cast<size_t>(token)];
  const float scale = 1.44269502162933349609375f / temperature;
  const bool greedy = temperature == 0.0f || std::isinf(scale);
  double weight = 1.0;
  if (!greedy && x != max_) {
    const float y = (x - max_) * scale;
    weight = std::exp2(static_cast<double>(y));
  }
  return weight * 0x1p42 / static_cast<double>(kept_mass);
}

}  // namespace tokendraw::cli
