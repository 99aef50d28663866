// SPDX-License-Identifier: Apache-2.0
// The loops over logits for one SIMD target. No include guard of the usual kind: Highway includes this once per target.
#if defined(TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_
#undef TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_
#endif

#include <algorithm>
#include <limits>
#include <type_traits>

#include "cpu/simd/chunk_kernels.h"
#include "draw/effective_logit.h"
#include "draw/exp2_fixed.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

using Df = hn::ScalableTag<float>;
using Di = hn::RebindToSigned<Df>;
using Du = hn::RebindToUnsigned<Df>;
using Vf = hn::Vec<Df>;
using Vi = hn::Vec<Di>;
using Vu = hn::Vec<Du>;
using Mf = hn::Mask<Df>;

constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

// ---- Reading logits of each dtype as floats
//
// `vector` reads in order. `pair` reads two vectors' worth in any order, which is cheaper for halfwords: for sums and
// maxima. `NanCheck` looks at the stored bits: a NaN is what has a larger magnitude than infinity.

struct Pair {
  Vf first;
  Vf second;
  Vu stored;  // both as they are stored: halfwords side by side, or the first of two vectors of floats
};

struct ReadF32 {
  using Stored = float;
  static HWY_INLINE Vf vector(const float* p) { return hn::LoadU(Df(), p); }
  static HWY_INLINE Pair pair(const float* p) {
    const Vf first = vector(p);
    return {first, vector(p + hn::Lanes(Df())), hn::BitCast(Du(), first)};
  }
  static float scalar(float x) { return x; }

  class NanCheck {
   public:
    HWY_INLINE NanCheck() : largest_(hn::Zero(Di())) {}
    HWY_INLINE void add(const Pair& values) {
      const Vi magnitude = hn::Set(Di(), 0x7fffffff);
      largest_ = hn::Max(largest_, hn::And(hn::BitCast(Di(), values.first), magnitude));
      largest_ = hn::Max(largest_, hn::And(hn::BitCast(Di(), values.second), magnitude));
    }
    HWY_INLINE bool found() const { return !hn::AllFalse(Di(), hn::Gt(largest_, hn::Set(Di(), 0x7f800000))); }

   private:
    Vi largest_;
  };
};

HWY_INLINE Vu load_halfwords(const uint16_t* p) {
  const hn::Rebind<uint16_t, Du> d16;
  return hn::PromoteTo(Du(), hn::LoadU(d16, p));
}

// What bf16 and f16 have in common; Format converts halfwords in the low or the high half of 32-bit lanes.
template <typename Format>
struct ReadHalfwords {
  using Stored = uint16_t;
  static HWY_INLINE Vf vector(const uint16_t* p) { return Format::from_low(load_halfwords(p)); }
  static float scalar(uint16_t bits) { return Format::scalar(bits); }

#if HWY_TARGET == HWY_SCALAR
  static HWY_INLINE Pair pair(const uint16_t* p) { return {vector(p), vector(p + 1), Vu()}; }
  class NanCheck {
   public:
    void add(const Pair& values) { check_.add(values); }
    bool found() const { return check_.found(); }

   private:
    ReadF32::NanCheck check_;
  };
#else
  using D16 = hn::Repartition<int16_t, Df>;
  static HWY_INLINE Pair pair(const uint16_t* p) {
    const Vu both = hn::BitCast(Du(), hn::LoadU(hn::RebindToUnsigned<D16>(), p));
#if HWY_COMPILER_GCC_ACTUAL
    __asm__ volatile("" ::: "memory");  // GCC 12 would load again for each use, a third of the time of `max`
#endif
    return {Format::from_low_of_both(both), Format::from_high_of_both(both), both};
  }
  class NanCheck {
   public:
    HWY_INLINE NanCheck() : largest_(hn::Zero(D16())) {}
    HWY_INLINE void add(const Pair& values) {
      const auto bits = hn::BitCast(D16(), values.stored);
      largest_ = hn::Max(largest_, hn::And(bits, hn::Set(D16(), int16_t{0x7fff})));
    }
    HWY_INLINE bool found() const {
      return !hn::AllFalse(D16(), hn::Gt(largest_, hn::Set(D16(), Format::kInfinityBits)));
    }

   private:
    hn::Vec<D16> largest_;
  };
#endif
};

struct Bf16Format {
  static constexpr int16_t kInfinityBits = 0x7f80;
  static HWY_INLINE Vf from_low(Vu bits) { return hn::BitCast(Df(), hn::ShiftLeft<16>(bits)); }
  static HWY_INLINE Vf from_low_of_both(Vu both) { return from_low(both); }
  static HWY_INLINE Vf from_high_of_both(Vu both) {
    return hn::BitCast(Df(), hn::And(both, hn::Set(Du(), 0xffff0000u)));
  }
  static float scalar(uint16_t bits) { return draw::bf16_to_float(bits); }
};

struct F16Format {
  static constexpr int16_t kInfinityBits = 0x7c00;
  // draw::f16_to_float in vectors; Highway's own conversion is not exact for inf and NaN on every target.
  static HWY_INLINE Vf from_low(Vu bits) {
    const Du du;
    const Vu magnitude = hn::And(bits, hn::Set(du, 0x7fffu));
    const Vu sign = hn::ShiftLeft<16>(hn::Xor(bits, magnitude));
    const Vu shifted = hn::ShiftLeft<13>(magnitude);
    const Vu finite = hn::BitCast(du, hn::Mul(hn::BitCast(Df(), shifted), hn::Set(Df(), 0x1p112f)));
    const auto special = hn::Gt(hn::BitCast(Di(), magnitude), hn::Set(Di(), 0x7bff));
    const Vu infinite = hn::Or(shifted, hn::Set(du, 0x7f800000u));
    return hn::BitCast(Df(), hn::Or(sign, hn::IfThenElse(hn::RebindMask(du, special), infinite, finite)));
  }
  static HWY_INLINE Vf from_low_of_both(Vu both) { return from_low(hn::And(both, hn::Set(Du(), 0xffffu))); }
  static HWY_INLINE Vf from_high_of_both(Vu both) { return from_low(hn::ShiftRight<16>(both)); }
  static float scalar(uint16_t bits) { return draw::f16_to_float(bits); }
};

using ReadBf16 = ReadHalfwords<Bf16Format>;
using ReadF16 = ReadHalfwords<F16Format>;

// Calls step(chunk, pointer, size, reader) for each chunk of a row. The last, if it is short, comes as floats padded
// with -inf to a whole chunk.
template <typename Read, typename Step>
HWY_INLINE void for_each_chunk(const void* row, int32_t n, const Step& step) {
  const auto* x = static_cast<const typename Read::Stored*>(row);
  const int32_t whole = n / kChunk;
  for (int32_t chunk = 0; chunk < whole; ++chunk) step(chunk, x + chunk * kChunk, kChunk, Read());
  const int32_t rest = n - whole * kChunk;
  if (rest == 0) return;
  alignas(64) float padded[kChunk];
  const auto* last = x + whole * kChunk;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(Df()));
  int32_t i = 0;
  for (; i + lanes <= rest; i += lanes) hn::Store(Read::vector(last + i), Df(), padded + i);
  for (; i < rest; ++i) padded[i] = Read::scalar(last[i]);
  std::fill(padded + rest, padded + kChunk, kMinusInfinity);
  step(whole, static_cast<const float*>(padded), rest, ReadF32());
}

// ---- Maxima

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
  return hn::GetLane(hn::MaxOfLanes(df, hn::Max(hn::Max(m0, m1), hn::Max(m2, m3))));
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

// ---- Weights

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
  for (int w = 0; w < Ways; ++w) p[w] = hn::Set(df, draw::kExp2Coefficients[0] * kUnit);
  for (int i = 1; i < 5; ++i) {
    const Vf coefficient = hn::Set(df, draw::kExp2Coefficients[i] * kUnit);
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

// ---- Selecting by thresholds

template <typename Read>
int32_t count_above(const void* row, int32_t n, float above, const float* chunk_max) {
  const Df df;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf threshold = hn::Set(df, above);
  size_t count = 0;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, int32_t, auto read) HWY_ATTR {
    if (chunk_max != nullptr && !(chunk_max[chunk] > above)) return;
    size_t chunk_count = 0;
    for (int32_t i = 0; i < kChunk; i += 2 * lanes) {
      const Pair v = decltype(read)::pair(x + i);
      chunk_count += hn::CountTrue(df, hn::Gt(v.first, threshold)) + hn::CountTrue(df, hn::Gt(v.second, threshold));
    }
    count += chunk_count;
  });
  return static_cast<int32_t>(count);
}

struct Compressed {
  Vf x;
  Vi id;
};

#if HWY_TARGET == HWY_AVX2
// For each 8-bit mask the indices of its set bits, 4 bits each, lowest first.
struct CompressIndices {
  constexpr CompressIndices() : packed() {
    for (uint32_t mask = 0; mask < 256; ++mask) {
      uint32_t place = 0;
      for (uint32_t lane = 0; lane < 8; ++lane) {
        if ((mask >> lane & 1u) != 0) packed[mask] |= lane << (4 * place++);
      }
    }
  }
  uint32_t packed[256];
};
alignas(64) constexpr CompressIndices kCompressIndices;

// Highway's own table is a local variable, which GCC 12 copies to the stack for every vector.
HWY_INLINE Compressed compress(Vf x, Vi id, Mf mask) {
  const int bits = _mm256_movemask_ps(hn::VecFromMask(Df(), mask).raw);
  const __m256i packed = _mm256_set1_epi32(static_cast<int>(kCompressIndices.packed[bits]));
  const __m256i indices = _mm256_srlv_epi32(packed, _mm256_setr_epi32(0, 4, 8, 12, 16, 20, 24, 28));
  return {Vf{_mm256_permutevar8x32_ps(x.raw, indices)}, Vi{_mm256_permutevar8x32_epi32(id.raw, indices)}};
}
#else
HWY_INLINE Compressed compress(Vf x, Vi id, Mf mask) {
  return {hn::Compress(x, mask), hn::Compress(id, hn::RebindMask(Di(), mask))};
}
#endif

// Whole vectors are compressed and stored: a masked store to memory is slow on some processors. In place this is safe,
// since what is written lies at or before what has been read. `id_at(i)` gives the ids of elements i, i + 1, ...
template <typename Read, typename IdAt>
HWY_INLINE int32_t gather_with(const void* row, int32_t n, float low, float high, const float* chunk_max,
                               const IdAt& id_at, float* out_x, int32_t* out_id) {
  const Df df;
  const Di di;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf lowest = hn::Set(df, low);
  const Vf highest = hn::Set(df, high);
  const Vf zero = hn::Zero(df);
  size_t found = 0;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, int32_t size, auto read) HWY_ATTR {
    if (chunk_max != nullptr && !(chunk_max[chunk] >= low)) return;
    using Reader = decltype(read);
    size_t end = found;  // a local, so that it stays in a register
    const auto append = [&](Vf v, Mf mask, int32_t i) HWY_ATTR {
      const Compressed inner = compress(hn::Add(v, zero), id_at(chunk * kChunk + i), mask);
      hn::StoreU(inner.x, df, out_x + end);
      hn::StoreU(inner.id, di, out_id + end);
      end += hn::CountTrue(df, mask);
    };
    const auto inside = [&](Vf v) HWY_ATTR { return hn::And(hn::Ge(v, lowest), hn::Le(v, highest)); };
    if (size == kChunk) {
      // One branch for four vectors: one for each is mispredicted too often where few logits are inside.
      for (int32_t i = 0; i < kChunk; i += 4 * lanes) {
        const Vf v0 = Reader::vector(x + i);
        const Vf v1 = Reader::vector(x + i + lanes);
        const Vf v2 = Reader::vector(x + i + 2 * lanes);
        const Vf v3 = Reader::vector(x + i + 3 * lanes);
        const Mf m0 = inside(v0), m1 = inside(v1), m2 = inside(v2), m3 = inside(v3);
        if (hn::AllFalse(df, hn::Or(hn::Or(m0, m1), hn::Or(m2, m3)))) continue;
        append(v0, m0, i);
        append(v1, m1, i + lanes);
        append(v2, m2, i + 2 * lanes);
        append(v3, m3, i + 3 * lanes);
      }
    } else {
      for (int32_t i = 0; i < size; i += lanes) {
        const Vf v = Reader::vector(x + i);
        const int32_t left = size - i < lanes ? size - i : lanes;
        append(v, hn::And(inside(v), hn::FirstN(df, static_cast<size_t>(left))), i);
      }
    }
    found = end;
  });
  return static_cast<int32_t>(found);
}

template <typename Read>
int32_t gather(const void* row, int32_t n, float low, float high, const float* chunk_max, const int32_t* ids,
               int32_t first_id, float* out_x, int32_t* out_id) {
  const Di di;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(di));
  if (ids == nullptr) {
    const Vi from_zero = hn::Iota(di, 0);
    const auto counted = [=](int32_t i) HWY_ATTR { return hn::Add(hn::Set(Di(), first_id + i), from_zero); };
    return gather_with<Read>(row, n, low, high, chunk_max, counted, out_x, out_id);
  }
  const auto listed = [=](int32_t i) HWY_ATTR {
    if (i + lanes <= n) return hn::LoadU(Di(), ids + i);
    return hn::MaskedLoad(hn::FirstN(Di(), static_cast<size_t>(n - i)), Di(), ids + i);
  };
  return gather_with<Read>(row, n, low, high, chunk_max, listed, out_x, out_id);
}

void sort_keys(uint64_t* keys, int32_t n, uint64_t* sorted) {
  const hn::ScalableTag<int64_t> d64;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(d64));  // divides kSortable
  const int32_t padded = (n + lanes - 1) / lanes * lanes;
  for (int32_t i = n; i < padded; ++i) keys[i] = 0;  // larger than none
  alignas(64) int64_t as_signed[kSortable];          // in the same order
  for (int32_t i = 0; i < padded; ++i) as_signed[i] = static_cast<int64_t>(keys[i] ^ (uint64_t{1} << 63));
  for (int32_t i = 0; i < n; ++i) {
    const auto key = hn::Set(d64, as_signed[i]);
    size_t larger = 0;
    for (int32_t j = 0; j < padded; j += lanes) larger += hn::CountTrue(d64, hn::Gt(hn::Load(d64, as_signed + j), key));
    sorted[larger] = keys[i];
  }
}

// ---- Preparing effective logits in a buffer

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

template <typename Read>
constexpr DtypeKernels dtype_kernels() {
  return {max<Read>, mass_above<Read>, count_above<Read>, gather<Read>, load<Read>};
}

const ChunkKernels* target_kernels() {
  static const ChunkKernels kernels = {hwy::TargetName(HWY_TARGET),
                                       static_cast<int32_t>(hn::Lanes(Df())),
                                       {dtype_kernels<ReadF32>(), dtype_kernels<ReadF16>(), dtype_kernels<ReadBf16>()},
                                       weights,
                                       sort_keys,
                                       apply_mask,
                                       apply_bias,
                                       finish};
  return &kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
