// SPDX-License-Identifier: Apache-2.0
// Compiled once per SIMD target by Highway's foreach_target.h: chunk_kernels-inl.h holds the loops, this file the
// choice among the compiled targets at run time.
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
#include "cpu/simd/chunk_kernels-inl.h"

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
