// SPDX-License-Identifier: Apache-2.0
#include "cli_error.h"

#include <fmt/format.h>

#include <string_view>

namespace tokendraw::cli {

void require_ok(TokendrawStatus status, const std::string& doing) {
  if (status < 10) return;
  const std::string_view reason = tokendraw_last_error_message();
  const bool refused = status >= 100;
  throw CliError(refused ? kExitUsage : kExitLibrary,
                 fmt::format("{}: {} ({})", doing, reason.empty() ? "failed" : reason, tokendraw_status_name(status)));
}

}  // namespace tokendraw::cli
