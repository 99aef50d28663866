// SPDX-License-Identifier: Apache-2.0
// Preparing effective logits in a buffer.
// For one SIMD target: Highway includes this once for each, hence the guard.
#if defined(TOKENDRAW_CPU_SIMD_EDIT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_EDIT_INL_H_
#undef TOKENDRAW_CPU_SIMD_EDIT_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_EDIT_INL_H_
#endif

#include "cpu/simd/read_logits-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cpu {
namespace HWY_NAMESPACE {

template <typename Read>
bool load(const void* row, int32_t n, float* out) {
  const auto* x = static_cast<const typename Read::Stored*>(row);
  bool nan = false;
  const Df df;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf nothing = hn::Set(df, kMinusInfinity);
  int32_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const Vf v = Read::vector(x + i);
    const Mf is_nan = hn::IsNaN(v);
    nan |= !hn::AllFalse(df, is_nan);
    hn::StoreU(hn::IfThenElse(is_nan, nothing, v), df, out + i);
  }
  for (; i < n; ++i) out[i] = draw::nan_to_minus_infinity(Read::scalar(x[i]), nan);
  return nan;
}

void apply_mask(float* x, int32_t n, const uint32_t* words) {
  for (int32_t i = 0; i < n; ++i) x[i] = (words[i / 32] >> (i % 32) & 1u) != 0 ? x[i] : kMinusInfinity;
}

void apply_bias(float* x, int32_t n, const float* bias) {
  for (int32_t i = 0; i < n; ++i) x[i] = x[i] == kMinusInfinity ? x[i] : x[i] + bias[i];
}

bool finish(float* x, int32_t n) {
  bool nan = false;
  for (int32_t i = 0; i < n; ++i) {
    const bool is_nan = x[i] != x[i];
    nan |= is_nan;
    x[i] = (is_nan ? kMinusInfinity : x[i]) + 0.0f;
  }
  return nan;
}

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
