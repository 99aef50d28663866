// SPDX-License-Identifier: Apache-2.0
// How a request is refused: a status that names the argument, and a sentence.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>
#include <cstdio>

#include "request/request.h"

namespace tokendraw::request {

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
inline Refusal
refuse(TokendrawStatus status, const char* format, ...) {
  Refusal refusal;
  refusal.status = status;
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(refusal.message, sizeof refusal.message, format, arguments);
  va_end(arguments);
  return refusal;
}

inline bool misaligned(const void* pointer, size_t alignment) {
  return reinterpret_cast<uintptr_t>(pointer) % alignment != 0;
}

}  // namespace tokendraw::request
