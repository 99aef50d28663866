// SPDX-License-Identifier: Apache-2.0
// Reading stored logits of each dtype as vectors of floats, chunk by chunk.
// For one SIMD target: Highway includes this once for each, hence the guard.
#if defined(TOKENDRAW_CPU_SIMD_READ_LOGITS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_READ_LOGITS_INL_H_
#undef TOKENDRAW_CPU_SIMD_READ_LOGITS_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_READ_LOGITS_INL_H_
#endif

#include <algorithm>
#include <limits>

#include "cpu/simd/chunk_kernels.h"
#include "draw/effective_logit.h"
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

// What bf16 and f16 have in common; Format converts.
template <typename Format>
struct ReadHalfwords {
  using Stored = uint16_t;
  static HWY_INLINE Vf vector(const uint16_t* p) { return Format::vector(p); }
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
    return Format::pair(p, both);
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
  static HWY_INLINE Vf vector(const uint16_t* p) { return from_low(load_halfwords(p)); }
  static HWY_INLINE Pair pair(const uint16_t*, Vu both) {
    return {from_low(both), hn::BitCast(Df(), hn::And(both, hn::Set(Du(), 0xffff0000u))), both};
  }
  static HWY_INLINE Vf from_low(Vu bits) { return hn::BitCast(Df(), hn::ShiftLeft<16>(bits)); }
  static float scalar(uint16_t bits) { return draw::bf16_to_float(bits); }
};

struct F16Format {
  static constexpr int16_t kInfinityBits = 0x7c00;
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX3_DL || HWY_TARGET == HWY_AVX2
  // The processor converts, exactly and whatever the float environment.
  static HWY_INLINE Vf vector(const uint16_t* p) {
    const hn::Rebind<hwy::float16_t, Df> d16;
    return hn::PromoteTo(Df(), hn::BitCast(d16, hn::LoadU(hn::Rebind<uint16_t, Df>(), p)));
  }
  static HWY_INLINE Pair pair(const uint16_t* p, Vu both) { return {vector(p), vector(p + hn::Lanes(Df())), both}; }
#else
  static HWY_INLINE Vf vector(const uint16_t* p) { return from_low(load_halfwords(p)); }
  static HWY_INLINE Pair pair(const uint16_t*, Vu both) {
    return {from_low(hn::And(both, hn::Set(Du(), 0xffffu))), from_low(hn::ShiftRight<16>(both)), both};
  }
  // draw::f16_to_float in vectors; Highway's own emulation is not exact for inf and NaN.
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
#endif
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

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
