// SPDX-License-Identifier: Apache-2.0
// The largest logit of each chunk: the one read.
// For one SIMD target: Highway includes this once for each, hence the guard.
#if defined(TOKENDRAW_CPU_SIMD_CHUNK_MAX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_CHUNK_MAX_INL_H_
#undef TOKENDRAW_CPU_SIMD_CHUNK_MAX_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_CHUNK_MAX_INL_H_
#endif

#include <algorithm>
#include <type_traits>

#include "cpu/simd/read_logits-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cpu {
namespace HWY_NAMESPACE {

HWY_INLINE float largest_lane(Vf v) {
#if HWY_TARGET == HWY_EMU128
  // Highway's emulation starts from the lowest finite number, which -inf is below.
  const Df df;
  alignas(16) float lanes[hn::MaxLanes(df)];
  hn::Store(v, df, lanes);
  return *std::max_element(lanes, lanes + hn::MaxLanes(df));
#else
  return hn::GetLane(hn::MaxOfLanes(Df(), v));
#endif
}

// The largest logit of one chunk; `check` looks at each.
template <typename Reader>
HWY_INLINE float max_of_chunk(const typename Reader::Stored* x, typename Reader::NanCheck& check) {
  const Df df;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  Vf m0 = hn::Set(df, kMinusInfinity), m1 = m0, m2 = m0, m3 = m0;  // four chains hide the latency of Max
  for (int32_t i = 0; i < kChunk; i += 4 * lanes) {                // lanes <= 64, so this ends at kChunk
    const Pair a = Reader::pair(x + i);
    const Pair b = Reader::pair(x + i + 2 * lanes);
    m0 = hn::Max(m0, a.first);
    m1 = hn::Max(m1, a.second);
    m2 = hn::Max(m2, b.first);
    m3 = hn::Max(m3, b.second);
    check.add(a);
    check.add(b);
  }
  return largest_lane(hn::Max(hn::Max(m0, m1), hn::Max(m2, m3)));
}

template <typename Read>
bool max(const void* row, int32_t n, float* chunk_max) {
  typename Read::NanCheck stored_check;
  ReadF32::NanCheck padded_check;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, int32_t, auto read) HWY_ATTR {
    using Reader = decltype(read);
    if constexpr (std::is_same_v<Reader, Read>) {
      chunk_max[chunk] = max_of_chunk<Reader>(x, stored_check);
    } else {
      chunk_max[chunk] = max_of_chunk<Reader>(x, padded_check);
    }
  });
  return !stored_check.found() && !padded_check.found();
}

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
