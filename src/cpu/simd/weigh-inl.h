// SPDX-License-Identifier: Apache-2.0
// Weights and their sums: draw::exp2_fixed in vectors.
// For one SIMD target: Highway includes this once for each, hence the guard.
#if defined(TOKENDRAW_CPU_SIMD_WEIGH_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_WEIGH_INL_H_
#undef TOKENDRAW_CPU_SIMD_WEIGH_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_WEIGH_INL_H_
#endif

#include "cpu/simd/read_logits-inl.h"
#include "draw/exp2_fixed.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cpu {
namespace HWY_NAMESPACE {

// a * b + c with one rounding.
HWY_INLINE Vf fused_multiply_add(Vf a, Vf b, Vf c) {
#if HWY_NATIVE_FMA
  return hn::MulAdd(a, b, c);
#elif HWY_TARGET == HWY_SCALAR
  return hn::Set(Df(), draw::fma_rn(hn::GetLane(a), hn::GetLane(b), hn::GetLane(c)));
#else
  // Exact in double for the polynomial of exp2_fixed: b is a multiple of 2^-21 below 1, and a and c are such that the
  // product's lowest bit and the sum's highest are at most 49 binary places apart. So rounding to float is the only
  // one.
  const Df df;
  const hn::Repartition<double, Df> dd;
  const hn::Half<Df> dh;
  const auto low = hn::Add(hn::Mul(hn::PromoteTo(dd, hn::LowerHalf(dh, a)), hn::PromoteTo(dd, hn::LowerHalf(dh, b))),
                           hn::PromoteTo(dd, hn::LowerHalf(dh, c)));
  const auto high = hn::Add(hn::Mul(hn::PromoteTo(dd, hn::UpperHalf(dh, a)), hn::PromoteTo(dd, hn::UpperHalf(dh, b))),
                            hn::PromoteTo(dd, hn::UpperHalf(dh, c)));
  return hn::Combine(df, hn::DemoteTo(dh, high), hn::DemoteTo(dh, low));
#endif
}

// Conversion of values that an int32_t holds. Highway's ConvertTo spends three more instructions on those that it does
// not.
HWY_INLINE Vi convert_in_range(Vf v) {
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL
  return Vi{_mm512_cvttps_epi32(v.raw)};
#elif HWY_TARGET == HWY_AVX2
  return Vi{_mm256_cvttps_epi32(v.raw)};
#elif HWY_TARGET == HWY_SSE4 || HWY_TARGET == HWY_SSSE3
  return Vi{_mm_cvttps_epi32(v.raw)};
#else
  return hn::ConvertTo(Di(), v);
#endif
}

// A weight in two parts: weight = (mantissa << 32) >> shift, and 0 where shift >= 64. mantissa < 2^26 where it counts.
struct SplitWeights {
  HWY_INLINE SplitWeights() {}  // an implicit one would not be compiled for the target
  Vu mantissa;
  Vu shift;
};

// Shifts of 64-bit lanes by 64 and more give 0 here; elsewhere y is clamped so that they cannot occur.
#undef TOKENDRAW_SHIFTS_SATURATE  // of the target before
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX2
#define TOKENDRAW_SHIFTS_SATURATE 1
#else
#define TOKENDRAW_SHIFTS_SATURATE 0
#endif

// draw::exp2_fixed((x - row_max) * scale) for `Ways` vectors, in fewer steps than there:
// - n = rint(y) by adding a number whose last place is 1, which also leaves n in the low bits of the sum;
// - (y - n) + 6 as y + (6 - n): y - n and 6 - n are exact, so both round the same number once;
// - coefficients times 2^24: a power of two changes no rounding.
// The vectors go step by step together: one after the other, their long chains of dependent operations would fill the
// processor's schedulers with waiting ones.
template <int Ways>
HWY_INLINE void split_weights(const Vf (&x)[Ways], Vf row_max, Vf scale, SplitWeights (&out)[Ways]) {
  const Df df;
  const Du du;
  constexpr float kLastPlaceOne = 12582912.0f;  // 1.5 * 2^23, bits 0x4b400000
  constexpr float kUnit = 16777216.0f;
  Vf y[Ways], f[Ways], p[Ways];
  for (int w = 0; w < Ways; ++w) y[w] = hn::Sub(x[w], row_max);
  for (int w = 0; w < Ways; ++w) y[w] = hn::Mul(y[w], scale);
#if !TOKENDRAW_SHIFTS_SATURATE
  const Vf lowest = hn::Set(df, draw::kZeroWeightExponent);
  for (int w = 0; w < Ways; ++w) y[w] = hn::IfThenElse(hn::Ge(y[w], lowest), y[w], lowest);
#endif
  // Without the clamp, a y below -43, -inf or NaN (-inf * 0) ends in a shift >= 57 whatever the mantissa becomes: the
  // difference from 0x4b400000 + 14 is at least that for every sum such a y can give.
  Vf sum[Ways];
  for (int w = 0; w < Ways; ++w) sum[w] = hn::Add(y[w], hn::Set(df, kLastPlaceOne));
  for (int w = 0; w < Ways; ++w) f[w] = hn::Sub(hn::Set(df, kLastPlaceOne + 6.0f), sum[w]);
  for (int w = 0; w < Ways; ++w) out[w].shift = hn::Sub(hn::Set(du, 0x4b400000u + 14u), hn::BitCast(du, sum[w]));
  for (int w = 0; w < Ways; ++w) f[w] = hn::Add(y[w], f[w]);
  for (int w = 0; w < Ways; ++w) f[w] = hn::Sub(f[w], hn::Set(df, 6.0f));
  for (int w = 0; w < Ways; ++w) p[w] = hn::Set(df, draw::Exp2Coefficients::k5 * kUnit);
  using C = draw::Exp2Coefficients;
  for (const float scalar : {C::k4, C::k3, C::k2, C::k1}) {
    const Vf coefficient = hn::Set(df, scalar * kUnit);
    for (int w = 0; w < Ways; ++w) p[w] = fused_multiply_add(p[w], f[w], coefficient);
  }
  for (int w = 0; w < Ways; ++w) p[w] = fused_multiply_add(p[w], f[w], hn::Set(df, kUnit));
  for (int w = 0; w < Ways; ++w) out[w].mantissa = hn::BitCast(du, convert_in_range(p[w]));
}

// 64-bit sums of weights. A vector of weights is folded into half as many lanes: even + odd.
#if HWY_TARGET == HWY_SCALAR
using Sum = uint64_t;
HWY_INLINE Sum zero_sum() { return 0; }
HWY_INLINE Sum add_sums(Sum a, Sum b) { return a + b; }
HWY_INLINE uint64_t total_of(Sum sum) { return sum; }
HWY_INLINE Sum folded_weights(const SplitWeights& w) {
  return (static_cast<uint64_t>(hn::GetLane(w.mantissa)) << 32) >> hn::GetLane(w.shift);  // clamped: below 64
}
#else
using Du64 = hn::Repartition<uint64_t, Df>;
using Sum = hn::Vec<Du64>;
HWY_INLINE Sum zero_sum() { return hn::Zero(Du64()); }
HWY_INLINE Sum add_sums(Sum a, Sum b) { return hn::Add(a, b); }
HWY_INLINE uint64_t total_of(Sum sum) { return hn::GetLane(hn::SumOfLanes(Du64(), sum)); }
HWY_INLINE Sum folded_weights(const SplitWeights& w) {
  const Du64 du64;
  const Sum low_half = hn::Set(du64, 0xffffffffu);
  const Sum mantissa = hn::BitCast(du64, w.mantissa);
  const Sum shift = hn::BitCast(du64, w.shift);
  const Sum even = hn::Shr(hn::ShiftLeft<32>(mantissa), hn::And(shift, low_half));
  const Sum odd = hn::Shr(hn::AndNot(low_half, mantissa), hn::ShiftRight<32>(shift));
  return hn::Add(even, odd);
}
#endif

// A chunk whose weights are all below 2^25 (y < -18) can be summed in 32-bit lanes: one shift and one addition a
// vector.
constexpr float kLightExponent = -18.0f;
#if HWY_TARGET == HWY_SCALAR
HWY_INLINE Sum light_weights(const SplitWeights& w) { return folded_weights(w); }
using LightSum = Sum;
HWY_INLINE LightSum zero_light_sum() { return 0; }
HWY_INLINE uint64_t total_of_light(LightSum sum) { return sum; }
#else
using LightSum = Vu;
HWY_INLINE LightSum zero_light_sum() { return hn::Zero(Du()); }
HWY_INLINE LightSum add_sums(LightSum a, LightSum b) { return hn::Add(a, b); }
HWY_INLINE LightSum light_weights(const SplitWeights& w) {
  return hn::Shr(w.mantissa, hn::Sub(w.shift, hn::Set(Du(), 32)));
}
HWY_INLINE uint64_t total_of_light(LightSum sum) {
  const Sum both = hn::BitCast(Du64(), sum);
  return total_of(hn::Add(hn::And(both, hn::Set(Du64(), 0xffffffffu)), hn::ShiftRight<32>(both)));
}
#endif

// How many vectors go together through split_weights in a sum.
constexpr int kWays = 4;

// The summed weight of one chunk's logits, all of them or those above a threshold.
template <bool kAll, typename Reader, typename AnySum, typename Fold>
HWY_INLINE AnySum sum_chunk(const typename Reader::Stored* x, Vf row_max, Vf scale, Vf threshold, AnySum zero,
                            const Fold& fold) {
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(Df()));
  AnySum sum = zero;
  for (int32_t i = 0; i < kChunk; i += kWays * lanes) {
    Vf v[kWays];
    SplitWeights weights[kWays];
    for (int w = 0; w < kWays; w += 2) {
      const Pair pair = Reader::pair(x + i + w * lanes);
      v[w] = pair.first;
      v[w + 1] = pair.second;
    }
    split_weights(v, row_max, scale, weights);
    for (int w = 0; w < kWays; ++w) {
      if (!kAll) {
        const auto above = hn::RebindMask(Du(), hn::Gt(v[w], threshold));
        weights[w].mantissa = hn::IfThenElseZero(above, weights[w].mantissa);
      }
      sum = add_sums(sum, fold(weights[w]));
    }
  }
  return sum;
}

template <typename Read>
uint64_t mass_above(const void* row, int32_t n, WeightRule rule, float above, const float* chunk_max,
                    uint64_t* chunk_mass) {
  const Df df;
  const Vf row_max = hn::Set(df, rule.max);
  const Vf scale = hn::Set(df, rule.scale);
  const Vf threshold = hn::Set(df, above);
  const auto heavy = [](const SplitWeights& w) HWY_ATTR { return folded_weights(w); };
  const auto light = [](const SplitWeights& w) HWY_ATTR { return light_weights(w); };
  uint64_t total = 0;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, int32_t, auto read) HWY_ATTR {
    using Reader = decltype(read);
    const float largest = chunk_max != nullptr ? chunk_max[chunk] : rule.max;
    const float largest_y = (largest - rule.max) * rule.scale;
    uint64_t mass = 0;
    if (!(largest > above) || largest_y < draw::kZeroWeightExponent) {
      mass = 0;
    } else if (above != kMinusInfinity) {
      mass = total_of(sum_chunk<false, Reader>(x, row_max, scale, threshold, zero_sum(), heavy));
    } else if (largest_y < kLightExponent) {  // -inf weighs 0, so nothing needs to be left out, here and below
      mass = total_of_light(sum_chunk<true, Reader>(x, row_max, scale, threshold, zero_light_sum(), light));
    } else {
      mass = total_of(sum_chunk<true, Reader>(x, row_max, scale, threshold, zero_sum(), heavy));
    }
    if (chunk_mass != nullptr) chunk_mass[chunk] = mass;
    total += mass;
  });
  return total;
}

void weights(const float* x, int32_t n, WeightRule rule, uint64_t* out) {
  const Df df;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf row_max = hn::Set(df, rule.max);
  const Vf scale = hn::Set(df, rule.scale);
  for_each_chunk<ReadF32>(x, n, [&](int32_t chunk, const float* chunk_x, int32_t size, auto) HWY_ATTR {
    alignas(64) uint32_t mantissa[kChunk];
    alignas(64) uint32_t shift[kChunk];
    for (int32_t i = 0; i < size; i += lanes) {  // a last vector may pass `size`, never kChunk
      const Vf v[1] = {hn::LoadU(df, chunk_x + i)};
      SplitWeights w[1];
      split_weights(v, row_max, scale, w);
      hn::Store(w[0].mantissa, Du(), mantissa + i);
      hn::Store(w[0].shift, Du(), shift + i);
    }
    uint64_t* chunk_out = out + chunk * kChunk;
    for (int32_t i = 0; i < size; ++i) {
      const uint64_t mantissa_high = static_cast<uint64_t>(mantissa[i]) << 32;
      chunk_out[i] = shift[i] < 64 ? mantissa_high >> shift[i] : 0;
    }
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
