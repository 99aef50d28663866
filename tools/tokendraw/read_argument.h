// SPDX-License-Identifier: Apache-2.0
// Numbers and ranges as they are written on the command line. All of these throw CLI::ValidationError, which names the
// option.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

namespace tokendraw::cli {

// Decimal, or hexadecimal behind "0x".
uint64_t read_u64(const std::string& option, std::string_view text);
int64_t read_integer(const std::string& option, std::string_view text, int64_t smallest, int64_t largest);

// The nearest float to a decimal number; "inf", "-inf" and "nan" are numbers, 1e99 is not.
float read_float(const std::string& option, std::string_view text);

// Half open, as a Python slice: "2:5", "2:", ":5", or "3" for that row alone. `end` has no value if it is left out.
struct RowRange {
  int64_t begin = 0;
  std::optional<int64_t> end;
};
RowRange read_row_range(const std::string& option, std::string_view text);

// A random number handed in: an integer is a u64, anything else a float in [0, 1).
using HandedRandom = std::variant<uint64_t, float>;
HandedRandom read_random(const std::string& option, std::string_view text);

// Options of these types.
CLI::Option* add_u64_option(CLI::App& app, const std::string& name, uint64_t& target, const std::string& help);
CLI::Option* add_float_option(CLI::App& app, const std::string& name, float& target, const std::string& help);
CLI::Option* add_integer_option(CLI::App& app, const std::string& name, int64_t& target, int64_t smallest,
                                int64_t largest, const std::string& help);
CLI::Option* add_int32_option(CLI::App& app, const std::string& name, int32_t& target, int32_t smallest,
                              int32_t largest, const std::string& help);

// An option whose values are names; `target` has one of `values` at the index of the name. The help lists the names.
template <typename T>
struct Choice {
  const char* name;
  T value;
};

template <typename T, size_t N>
CLI::Option* add_choice_option(CLI::App& app, const std::string& name, T& target, const Choice<T> (&choices)[N],
                               const std::string& help) {
  std::string names;
  for (const Choice<T>& choice : choices) names += (names.empty() ? "" : "|") + std::string(choice.name);
  const auto set = [&target, &choices, name, names](const std::string& text) {
    for (const Choice<T>& choice : choices) {
      if (text == choice.name) {
        target = choice.value;
        return;
      }
    }
    throw CLI::ValidationError(name, "'" + text + "' is none of " + names);
  };
  return app.add_option_function<std::string>(name, set, help)->type_name(names);
}

}  // namespace tokendraw::cli
