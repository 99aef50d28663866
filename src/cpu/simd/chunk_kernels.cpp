// SPDX-License-Identifier: Apache-2.0
// The table of kernels, compiled once per SIMD target by Highway's foreach_target.h (the loops are in the -inl.h
// files), and the choice among the compiled targets at run time.
#include "cpu/simd/chunk_kernels.h"

#include <cstring>

// Vectors of a size unknown to the compiler cannot be members of structs or arrays, which the loops use; processors
// with SVE run the NEON target, those with RVV the scalar one.
#define HWY_DISABLED_TARGETS (HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HWY_RVV)

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "cpu/simd/chunk_kernels.cpp"
#include "hwy/foreach_target.h"  // must come before highway.h
#include "hwy/highway.h"

// after foreach_target.h
#include "cpu/simd/chunk_max-inl.h"
#include "cpu/simd/edit-inl.h"
#include "cpu/simd/select-inl.h"
#include "cpu/simd/weigh-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tokendraw::cpu {
namespace HWY_NAMESPACE {

template <typename Read>
constexpr DtypeKernels dtype_kernels() {
  return {max<Read>, mass_above<Read>, count_above<Read>, gather<Read>, load<Read>};
}

const ChunkKernels* target_kernels() {
  static const ChunkKernels kKernels = {hwy::TargetName(HWY_TARGET),
                                        static_cast<int32_t>(hn::Lanes(Df())),
                                        {dtype_kernels<ReadF32>(), dtype_kernels<ReadF16>(), dtype_kernels<ReadBf16>()},
                                        weights,
                                        sort_keys,
                                        apply_mask,
                                        apply_bias,
                                        finish};
  return &kKernels;
}

}  // namespace HWY_NAMESPACE
}  // namespace tokendraw::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tokendraw::cpu {
namespace {

#if (HWY_TARGETS & (HWY_TARGETS - 1)) != 0
HWY_EXPORT(target_kernels);

const ChunkKernels* kernels_of(int64_t target) {
  // A choice of our own: Highway's is one for the whole process and could be changed by others.
  hwy::ChosenTarget chosen;
  chosen.Update(target);
  return HWY_DISPATCH_TABLE(target_kernels)[chosen.GetIndex()]();
}
#else
const ChunkKernels* kernels_of(int64_t /*target*/) { return HWY_STATIC_DISPATCH(target_kernels)(); }
#endif

}  // namespace

const ChunkKernels* chunk_kernels_at(int32_t index) {
  // A smaller bit is a better target. The static target is the baseline of the build and always runs.
  int64_t targets = (hwy::SupportedTargets() | HWY_STATIC_TARGET) & HWY_TARGETS;
  for (; targets != 0; targets &= targets - 1) {
    if (index-- == 0) return kernels_of(targets & -targets);
  }
  return nullptr;
}

const ChunkKernels* find_chunk_kernels(const char* name) {
  for (int32_t i = 0;; ++i) {
    const ChunkKernels* kernels = chunk_kernels_at(i);
    if (kernels == nullptr || name == nullptr || std::strcmp(kernels->target, name) == 0) return kernels;
  }
}

}  // namespace tokendraw::cpu
#endif  // HWY_ONCE
