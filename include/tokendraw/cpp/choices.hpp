// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: the enumerations of the C API, typed, and names. Their meanings are in tokendraw.h.
#ifndef TOKENDRAW_CPP_CHOICES_HPP_
#define TOKENDRAW_CPP_CHOICES_HPP_

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <string>

namespace tokendraw {

enum class Backend : int32_t {
  kAuto = TOKENDRAW_BACKEND_AUTO,
  kCpu = TOKENDRAW_BACKEND_CPU,
  kCuda = TOKENDRAW_BACKEND_CUDA,
  kHip = TOKENDRAW_BACKEND_HIP,
};

enum class Algorithm : int32_t {
  kAuto = TOKENDRAW_ALGORITHM_AUTO,
  kCandidates = TOKENDRAW_ALGORITHM_CANDIDATES,
  kRefine = TOKENDRAW_ALGORITHM_REFINE,
  kReference = TOKENDRAW_ALGORITHM_REFERENCE,
  kRejection = TOKENDRAW_ALGORITHM_REJECTION,
};

enum class GpuWay : int32_t {
  kAuto = TOKENDRAW_GPU_WAY_AUTO,
  kBlock = TOKENDRAW_GPU_WAY_BLOCK,
  kSmallBlock = TOKENDRAW_GPU_WAY_SMALL_BLOCK,
  kSplit = TOKENDRAW_GPU_WAY_SPLIT,
  kCluster = TOKENDRAW_GPU_WAY_CLUSTER,
};

enum class Dtype : int32_t {
  kF32 = TOKENDRAW_DTYPE_F32,
  kF16 = TOKENDRAW_DTYPE_F16,
  kBf16 = TOKENDRAW_DTYPE_BF16,
};

enum class Memory : int32_t { kHost = TOKENDRAW_MEMORY_HOST, kDevice = TOKENDRAW_MEMORY_DEVICE };

enum class TopPBase : int32_t {
  kAfterTopK = TOKENDRAW_TOP_P_AFTER_TOP_K,
  kAll = TOKENDRAW_TOP_P_ALL,
  kAfterAll = TOKENDRAW_TOP_P_AFTER_ALL,
};

enum class OnGpuFailure : int32_t {
  kUseCpu = TOKENDRAW_ON_GPU_FAILURE_USE_CPU,
  kReturnError = TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR,
};

inline const char* name(Backend value) noexcept { return tokendraw_backend_name(TokendrawBackend(value)); }
inline const char* name(Algorithm value) noexcept { return tokendraw_algorithm_name(TokendrawAlgorithm(value)); }
inline const char* name(GpuWay value) noexcept { return tokendraw_gpu_way_name(TokendrawGpuWay(value)); }
inline const char* name(Dtype value) noexcept { return tokendraw_dtype_name(TokendrawDtype(value)); }
inline const char* name(TopPBase value) noexcept { return tokendraw_top_p_base_name(TokendrawTopPBase(value)); }

// The names of the TokendrawRowStatus bits set in `bits`, joined by '|'; "" for 0. Allocates.
inline std::string row_status_names(uint32_t bits) {
  std::string names;
  for (uint32_t rest = bits; rest != 0; rest &= rest - 1) {
    if (!names.empty()) names += '|';
    names += tokendraw_row_status_name(rest & (~rest + 1));
  }
  return names;
}

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_CHOICES_HPP_
