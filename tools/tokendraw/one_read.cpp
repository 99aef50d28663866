// SPDX-License-Identifier: Apache-2.0
#include "one_read.h"

#include <algorithm>
#include <cstdint>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "one_read.cpp"
#include <hwy/foreach_target.h>
// The header above must come first: it includes this file once for each target.
#include <hwy/highway.h>

#include "stored_logit.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cli {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

// Enough independent chains to hide the latency of a maximum.
constexpr int64_t kVectorsPerStep = 8;

float max_f32(const float* x, int64_t count) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t step = kVectorsPerStep * lanes;
  float result = x[0];
  int64_t i = 0;
  if (count >= step) {
    auto m0 = hn::LoadU(d, x), m1 = m0, m2 = m0, m3 = m0, m4 = m0, m5 = m0, m6 = m0, m7 = m0;
    for (; i + step <= count; i += step) {
      m0 = hn::Max(m0, hn::LoadU(d, x + i));
      m1 = hn::Max(m1, hn::LoadU(d, x + i + lanes));
      m2 = hn::Max(m2, hn::LoadU(d, x + i + 2 * lanes));
      m3 = hn::Max(m3, hn::LoadU(d, x + i + 3 * lanes));
      m4 = hn::Max(m4, hn::LoadU(d, x + i + 4 * lanes));
      m5 = hn::Max(m5, hn::LoadU(d, x + i + 5 * lanes));
      m6 = hn::Max(m6, hn::LoadU(d, x + i + 6 * lanes));
      m7 = hn::Max(m7, hn::LoadU(d, x + i + 7 * lanes));
    }
    const auto even = hn::Max(hn::Max(m0, m2), hn::Max(m4, m6));
    const auto odd = hn::Max(hn::Max(m1, m3), hn::Max(m5, m7));
    result = hn::GetLane(hn::MaxOfLanes(d, hn::Max(even, odd)));
  }
  for (; i < count; ++i) result = std::max(result, x[i]);
  return result;
}

// Signed 16-bit integers order the non-negative f16 and bf16 as these are, and the negative ones the other way round,
// below them. So the largest integer is the answer if it is not negative, else the smallest.
int16_t max_16(const int16_t* x, int64_t count) {
  const hn::ScalableTag<int16_t> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const int64_t step = kVectorsPerStep / 2 * lanes;
  int16_t largest = x[0];
  int16_t smallest = x[0];
  int64_t i = 0;
  if (count >= step) {
    auto max0 = hn::LoadU(d, x), max1 = max0, max2 = max0, max3 = max0;
    auto min0 = max0, min1 = max0, min2 = max0, min3 = max0;
    for (; i + step <= count; i += step) {
      const auto v0 = hn::LoadU(d, x + i);
      const auto v1 = hn::LoadU(d, x + i + lanes);
      const auto v2 = hn::LoadU(d, x + i + 2 * lanes);
      const auto v3 = hn::LoadU(d, x + i + 3 * lanes);
      max0 = hn::Max(max0, v0);
      max1 = hn::Max(max1, v1);
      max2 = hn::Max(max2, v2);
      max3 = hn::Max(max3, v3);
      min0 = hn::Min(min0, v0);
      min1 = hn::Min(min1, v1);
      min2 = hn::Min(min2, v2);
      min3 = hn::Min(min3, v3);
    }
    HWY_ALIGN int16_t left[HWY_MAX_BYTES / sizeof(int16_t)];
    hn::Store(hn::Max(hn::Max(max0, max1), hn::Max(max2, max3)), d, left);
    for (int64_t lane = 0; lane < lanes; ++lane) largest = std::max(largest, left[lane]);
    hn::Store(hn::Min(hn::Min(min0, min1), hn::Min(min2, min3)), d, left);
    for (int64_t lane = 0; lane < lanes; ++lane) smallest = std::min(smallest, left[lane]);
  }
  for (; i < count; ++i) {
    largest = std::max(largest, x[i]);
    smallest = std::min(smallest, x[i]);
  }
  return largest >= 0 ? largest : smallest;
}

const char* target_name() { return hwy::TargetName(HWY_TARGET); }

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cli
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokendraw::cli {

HWY_EXPORT(max_f32);
HWY_EXPORT(max_16);
HWY_EXPORT(target_name);

float one_read_max(const void* logits, int64_t count, TokendrawDtype dtype) {
  if (dtype == TOKENDRAW_DTYPE_F32) return HWY_DYNAMIC_DISPATCH(max_f32)(static_cast<const float*>(logits), count);
  const int16_t bits = HWY_DYNAMIC_DISPATCH(max_16)(static_cast<const int16_t*>(logits), count);
  return cases::decode_logit(static_cast<uint16_t>(bits), dtype);
}

const char* one_read_target() { return HWY_DYNAMIC_DISPATCH(target_name)(); }

}  // namespace tokendraw::cli
#endif  // HWY_ONCE
