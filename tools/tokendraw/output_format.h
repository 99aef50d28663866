// SPDX-License-Identifier: Apache-2.0
// --format of the commands that print a report, and JSON as all commands write it.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <string>

#include "read_argument.h"

namespace tokendraw::cli {

enum class ReportFormat { kText, kJson };

inline constexpr Choice<ReportFormat> kReportFormats[] = {
    {"text", ReportFormat::kText},
    {"json", ReportFormat::kJson},
};

inline void add_report_format_option(CLI::App& app, ReportFormat& format) {
  add_choice_option(app, "--format", format, kReportFormats, "How to print [text]");
}

// In one line; text that is not UTF-8 shows as U+FFFD, so that the line always is.
inline std::string dump_json(const nlohmann::ordered_json& value) {
  return value.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

// A float with the digits that tell it apart from its neighbours and no more; null if it is not finite.
nlohmann::ordered_json float_as_json(float value);

}  // namespace tokendraw::cli
