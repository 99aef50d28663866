// SPDX-License-Identifier: Apache-2.0
// Selecting logits by thresholds, and sorting a few keys.
// For one SIMD target: Highway includes this once for each, hence the guard.
#if defined(TOKENDRAW_CPU_SIMD_SELECT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef TOKENDRAW_CPU_SIMD_SELECT_INL_H_
#undef TOKENDRAW_CPU_SIMD_SELECT_INL_H_
#else
#define TOKENDRAW_CPU_SIMD_SELECT_INL_H_
#endif

#include "cpu/simd/read_logits-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cpu {
namespace HWY_NAMESPACE {

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
  if (ids == nullptr) {
    const Vi from_zero = hn::Iota(Di(), 0);
    const auto counted = [=](int32_t i) HWY_ATTR { return hn::Add(hn::Set(Di(), first_id + i), from_zero); };
    return gather_with<Read>(row, n, low, high, chunk_max, counted, out_x, out_id);
  }
  const auto listed = [=](int32_t i) HWY_ATTR { return hn::LoadU(Di(), ids + i); };  // up to a vector past the end
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

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
