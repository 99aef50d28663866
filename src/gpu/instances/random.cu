// SPDX-License-Identifier: Apache-2.0
#include "gpu/kernels/random_rows.h"

namespace tokendraw::gpu {

OperationKernel random_kernel(request::Generator generator, request::RandomKind kind) {
  const bool xorwow = generator == request::Generator::kXorwow;
  if (kind == request::RandomKind::kU64) {
    return xorwow ? fill_random_rows<uint64_t, true> : fill_random_rows<uint64_t, false>;
  }
  return xorwow ? fill_random_rows<uint32_t, true> : fill_random_rows<uint32_t, false>;
}

}  // namespace tokendraw::gpu
