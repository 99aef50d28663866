// SPDX-License-Identifier: Apache-2.0
// Structs that begin with their size: reading a caller's of another version, and filling one.
#pragma once

#include <cstddef>
#include <cstring>

#include "api/error.h"

namespace tokendraw::api {

// Copies the caller's `info` from *known, as many bytes as both know, and keeps the caller's struct_size.
// `smallest` is the size of the struct in its first version.
template <typename Info>
TokendrawStatus fill_info(Info* info, const Info& known, size_t smallest) {
  if (info == nullptr) return report(TOKENDRAW_INVALID_OUTPUT_POINTER, "info is NULL");
  const size_t size = info->struct_size;
  if (size < smallest) {
    return report(TOKENDRAW_INVALID_STRUCT_SIZE, "info->struct_size is %zu; it must be the size of the struct, %zu",
                  size, sizeof known);
  }
  const size_t shared = size < sizeof known ? size : sizeof known;
  std::memcpy(info, &known, shared);
  info->struct_size = size;
  return TOKENDRAW_OK;
}

}  // namespace tokendraw::api
