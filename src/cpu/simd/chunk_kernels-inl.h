// SPDX-License-Identifier: Apache-2.0
// The loops over logits for one SIMD target. No include guard of the usual kind: Highway includes this once per target.
#if defined(TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_
#undef TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_CHUNK_KERNELS_INL_H_
#endif

#include <limits>

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

// ---- Reading logits of each dtype as floats, in order

struct ReadF32 {
  using Stored = float;
  static HWY_INLINE Vf vector(const float* p) { return hn::LoadU(Df(), p); }
  static float scalar(float x) { return x; }
};

HWY_INLINE Vu load_halfwords(const uint16_t* p) {
  const hn::Rebind<uint16_t, Du> d16;
  return hn::PromoteTo(Du(), hn::LoadU(d16, p));
}

struct ReadBf16 {
  using Stored = uint16_t;
  static HWY_INLINE Vf vector(const uint16_t* p) { return hn::BitCast(Df(), hn::ShiftLeft<16>(load_halfwords(p))); }
  static float scalar(uint16_t bits) { return draw::bf16_to_float(bits); }
};

struct ReadF16 {
  using Stored = uint16_t;
  static HWY_INLINE Vf vector(const uint16_t* p) {
    // draw::f16_to_float in vectors; Highway's own conversion is not exact for inf and NaN on every target.
    const Du du;
    const Vu bits = load_halfwords(p);
    const Vu magnitude = hn::And(bits, hn::Set(du, 0x7fffu));
    const Vu sign = hn::ShiftLeft<16>(hn::Xor(bits, magnitude));
    const Vu shifted = hn::ShiftLeft<13>(magnitude);
    const Vu finite = hn::BitCast(du, hn::Mul(hn::BitCast(Df(), shifted), hn::Set(Df(), 0x1p112f)));
    const auto special = hn::Gt(hn::BitCast(Di(), magnitude), hn::Set(Di(), 0x7bff));
    const Vu infinite = hn::Or(shifted, hn::Set(du, 0x7f800000u));
    return hn::BitCast(Df(), hn::Or(sign, hn::IfThenElse(hn::RebindMask(du, special), infinite, finite)));
  }
  static float scalar(uint16_t bits) { return draw::f16_to_float(bits); }
};

// Calls `step(chunk, pointer, reader)` for each chunk of a row; the last, if it is short, as floats padded with -inf.
template <typename Read, typename Step>
HWY_INLINE void for_each_chunk(const void* row, int32_t n, const Step& step) {
  const auto* x = static_cast<const typename Read::Stored*>(row);
  const int32_t whole = n / kChunk;
  for (int32_t chunk = 0; chunk < whole; ++chunk) step(chunk, x + chunk * kChunk, Read());
  const int32_t rest = n - whole * kChunk;
  if (rest == 0) return;
  alignas(64) float padded[kChunk];
  for (int32_t i = 0; i < kChunk; ++i) padded[i] = i < rest ? Read::scalar(x[whole * kChunk + i]) : kMinusInfinity;
  step(whole, static_cast<const float*>(padded), ReadF32());
}

// ---- Maxima

template <typename Read>
bool max(const void* row, int32_t n, float* chunk_max) {
  const Df df;
  constexpr int32_t kWays = 4;  // independent chains hide the latency of Max
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  bool maybe_nan = false;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, auto read) HWY_ATTR {
    using Reader = decltype(read);
    Vf m0 = hn::Set(df, kMinusInfinity), m1 = m0, m2 = m0, m3 = m0;
    Vf s0 = hn::Zero(df), s1 = s0;
    // lanes <= 64, so a chunk of 256 is a whole number of such steps
    for (int32_t i = 0; i < kChunk; i += kWays * lanes) {
      const Vf v0 = Reader::vector(x + i);
      const Vf v1 = Reader::vector(x + i + lanes);
      const Vf v2 = Reader::vector(x + i + 2 * lanes);
      const Vf v3 = Reader::vector(x + i + 3 * lanes);
      m0 = hn::Max(m0, v0);
      m1 = hn::Max(m1, v1);
      m2 = hn::Max(m2, v2);
      m3 = hn::Max(m3, v3);
      // The sum is NaN if a logit is, or if both infinities meet: the caller looks closer then.
      s0 = hn::Add(s0, hn::Add(v0, v1));
      s1 = hn::Add(s1, hn::Add(v2, v3));
    }
    chunk_max[chunk] = hn::GetLane(hn::MaxOfLanes(df, hn::Max(hn::Max(m0, m1), hn::Max(m2, m3))));
    maybe_nan |= !hn::AllFalse(df, hn::IsNaN(hn::Add(s0, s1)));
  });
  return !maybe_nan;
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

// A weight in two parts: weight = (mantissa << 32) >> shift, with mantissa < 2^26 and 14 <= shift <= 57.
struct SplitWeights {
  Vu mantissa;
  Vu shift;
};

// draw::exp2_fixed in vectors. Below kZeroWeightExponent the weight is 0 whatever y, so y is clamped there; that also
// serves -inf and the NaN of -inf * 0.
HWY_INLINE SplitWeights split_weights(Vf x, Vf row_max, Vf scale) {
  const Df df;
  const Di di;
  const Du du;
  const Vf y = hn::Mul(hn::Sub(x, row_max), scale);
  const Vf lowest = hn::Set(df, draw::kZeroWeightExponent);
#if HWY_ARCH_X86
  const Vf clamped = hn::Max(y, lowest);  // maxps returns its second operand for NaN
#else
  const Vf clamped = hn::IfThenElse(hn::Ge(y, lowest), y, lowest);
#endif
  const Vf n = hn::Round(clamped);
  const Vf six = hn::Set(df, 6.0f);
  const Vf f = hn::Sub(hn::Add(hn::Sub(clamped, n), six), six);
  // Every coefficient times 2^24: a power of two changes no rounding.
  constexpr float kUnit = 16777216.0f;
  Vf p = hn::Set(df, draw::kExp2Coefficients[0] * kUnit);
  p = fused_multiply_add(p, f, hn::Set(df, draw::kExp2Coefficients[1] * kUnit));
  p = fused_multiply_add(p, f, hn::Set(df, draw::kExp2Coefficients[2] * kUnit));
  p = fused_multiply_add(p, f, hn::Set(df, draw::kExp2Coefficients[3] * kUnit));
  p = fused_multiply_add(p, f, hn::Set(df, draw::kExp2Coefficients[4] * kUnit));
  p = fused_multiply_add(p, f, hn::Set(df, kUnit));
  const Vi shift = hn::ConvertTo(di, hn::Sub(hn::Set(df, 14.0f), n));
  return {hn::BitCast(du, hn::ConvertTo(di, p)), hn::BitCast(du, shift)};
}

// 64-bit sums of weights. A vector of weights is folded into half as many lanes: even + odd.
#if HWY_TARGET == HWY_SCALAR
using Sum = uint64_t;
HWY_INLINE Sum zero_sum() { return 0; }
HWY_INLINE Sum add_sums(Sum a, Sum b) { return a + b; }
HWY_INLINE uint64_t total_of(Sum sum) { return sum; }
HWY_INLINE Sum folded_weights(const SplitWeights& w) {
  return (static_cast<uint64_t>(hn::GetLane(w.mantissa)) << 32) >> hn::GetLane(w.shift);
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

template <typename Read>
uint64_t mass_above(const void* row, int32_t n, WeightRule rule, float above, const float* chunk_max,
                    uint64_t* chunk_mass) {
  const Df df;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf row_max = hn::Set(df, rule.max);
  const Vf scale = hn::Set(df, rule.scale);
  const Vf threshold = hn::Set(df, above);
  uint64_t total = 0;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, auto read) HWY_ATTR {
    using Reader = decltype(read);
    if (chunk_mass != nullptr) chunk_mass[chunk] = 0;
    if (chunk_max != nullptr) {
      const float largest = chunk_max[chunk];
      if (!(largest > above) || (largest - rule.max) * rule.scale < draw::kZeroWeightExponent) return;
    }
    Sum sum0 = zero_sum(), sum1 = sum0;
    if (above == kMinusInfinity) {  // -inf weighs 0, so nothing needs to be left out
      for (int32_t i = 0; i < kChunk; i += 2 * lanes) {
        sum0 = add_sums(sum0, folded_weights(split_weights(Reader::vector(x + i), row_max, scale)));
        sum1 = add_sums(sum1, folded_weights(split_weights(Reader::vector(x + i + lanes), row_max, scale)));
      }
    } else {
      for (int32_t i = 0; i < kChunk; i += lanes) {
        const Vf v = Reader::vector(x + i);
        SplitWeights w = split_weights(v, row_max, scale);
        w.mantissa = hn::IfThenElseZero(hn::RebindMask(Du(), hn::Gt(v, threshold)), w.mantissa);
        sum0 = add_sums(sum0, folded_weights(w));
      }
    }
    const uint64_t mass = total_of(add_sums(sum0, sum1));
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
  int32_t done = 0;
  for_each_chunk<ReadF32>(x, n, [&](int32_t, const float* chunk, auto) HWY_ATTR {
    alignas(64) uint32_t mantissa[kChunk];
    alignas(64) uint32_t shift[kChunk];
    const int32_t size = n - done < kChunk ? n - done : kChunk;
    for (int32_t i = 0; i < size; i += lanes) {  // a last vector may pass `size`, never kChunk
      const SplitWeights w = split_weights(hn::LoadU(df, chunk + i), row_max, scale);
      hn::Store(w.mantissa, Du(), mantissa + i);
      hn::Store(w.shift, Du(), shift + i);
    }
    for (int32_t i = 0; i < size; ++i) out[done + i] = (static_cast<uint64_t>(mantissa[i]) << 32) >> shift[i];
    done += size;
  });
}

// ---- Selecting by thresholds

template <typename Read>
int32_t count_above(const void* row, int32_t n, float above, const float* chunk_max) {
  const Df df;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf threshold = hn::Set(df, above);
  size_t count = 0;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, auto read) HWY_ATTR {
    if (chunk_max != nullptr && !(chunk_max[chunk] > above)) return;
    for (int32_t i = 0; i < kChunk; i += lanes) {
      count += hn::CountTrue(df, hn::Gt(decltype(read)::vector(x + i), threshold));
    }
  });
  return static_cast<int32_t>(count);
}

template <typename Read>
int32_t gather(const void* row, int32_t n, float low, float high, const float* chunk_max, const int32_t* ids,
               int32_t first_id, float* out_x, int32_t* out_id) {
  const Df df;
  const Di di;
  const int32_t lanes = static_cast<int32_t>(hn::Lanes(df));
  const Vf lowest = hn::Set(df, low);
  const Vf highest = hn::Set(df, high);
  const Vf zero = hn::Zero(df);
  size_t found = 0;
  for_each_chunk<Read>(row, n, [&](int32_t chunk, const auto* x, auto read) HWY_ATTR {
    if (chunk_max != nullptr && !(chunk_max[chunk] >= low)) return;
    const int32_t base = chunk * kChunk;
    for (int32_t i = 0; i < kChunk && base + i < n; i += lanes) {
      const Vf v = decltype(read)::vector(x + i);
      Mf mask = hn::And(hn::Ge(v, lowest), hn::Le(v, highest));
      if (base + i + lanes > n) mask = hn::And(mask, hn::FirstN(df, static_cast<size_t>(n - base - i)));
      if (hn::AllFalse(df, mask)) continue;
      // Compress and store whole vectors: a masked store to memory is slow on some processors. In place this is safe:
      // what is written lies at or before what has been read.
      const auto int_mask = hn::RebindMask(di, mask);
      Vi id = hn::Iota(di, first_id + base + i);
      if (ids != nullptr) {
        id = base + i + lanes <= n
                 ? hn::LoadU(di, ids + base + i)
                 : hn::MaskedLoad(hn::FirstN(di, static_cast<size_t>(n - base - i)), di, ids + base + i);
      }
      hn::StoreU(hn::Compress(hn::Add(v, zero), mask), df, out_x + found);
      hn::StoreU(hn::Compress(id, int_mask), di, out_id + found);
      found += hn::CountTrue(df, mask);
    }
  });
  return static_cast<int32_t>(found);
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
                                       apply_mask,
                                       apply_bias,
                                       finish};
  return &kernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
