// SPDX-License-Identifier: Apache-2.0
// The sentence behind tokendraw_last_error_message: one fixed buffer per thread, so keeping it allocates nothing.
#pragma once

#include "tokendraw/tokendraw.h"

namespace tokendraw::api {

// Keep the message of this status and return the status.
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
TokendrawStatus
report(TokendrawStatus status, const char* format, ...);

// Calls `body`, which returns a TokendrawStatus, so that no exception leaves; `what` names the call for the message.
template <typename Body>
TokendrawStatus guarded(const char* what, Body&& body) noexcept;

TokendrawStatus report_current_exception(const char* what) noexcept;

template <typename Body>
TokendrawStatus guarded(const char* what, Body&& body) noexcept {
  try {
    return body();
  } catch (...) {
    return report_current_exception(what);
  }
}

}  // namespace tokendraw::api
