// SPDX-License-Identifier: Apache-2.0
#include "api/error.h"

#include <cstdarg>
#include <cstdio>
#include <exception>
#include <new>
#include <system_error>

namespace tokendraw::api {
namespace {

thread_local char last_message[640] = "";  // two failures of a backend, 240 each, fit

}  // namespace

TokendrawStatus report(TokendrawStatus status, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(last_message, sizeof last_message, format, arguments);
  va_end(arguments);
  return status;
}

TokendrawStatus report_current_exception(const char* what) noexcept {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return report(TOKENDRAW_ERROR_OUT_OF_MEMORY, "%s: out of host memory", what);
  } catch (const std::system_error& error) {
    return report(TOKENDRAW_ERROR_SYSTEM, "%s: %s", what, error.what());
  } catch (const std::exception& error) {
    return report(TOKENDRAW_ERROR_INTERNAL, "%s: %s", what, error.what());
  } catch (...) {
    return report(TOKENDRAW_ERROR_INTERNAL, "%s: unknown failure", what);
  }
}

}  // namespace tokendraw::api

extern "C" const char* tokendraw_last_error_message(void) { return tokendraw::api::last_message; }
