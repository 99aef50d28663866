// SPDX-License-Identifier: Apache-2.0
#include "read_argument.h"

#include <fmt/format.h>

#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace tokendraw::cli {
namespace {

template <typename T>
bool read_whole(std::string_view text, int base, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

uint64_t read_u64(const std::string& option, std::string_view text) {
  uint64_t value = 0;
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  if (read_whole(hexadecimal ? text.substr(2) : text, hexadecimal ? 16 : 10, value)) return value;
  throw CLI::ValidationError(option, fmt::format("'{}' is no integer in [0, 2^64)", text));
}

int64_t read_integer(const std::string& option, std::string_view text, int64_t smallest, int64_t largest) {
  int64_t value = 0;
  if (read_whole(text, 10, value) && value >= smallest && value <= largest) return value;
  throw CLI::ValidationError(option, fmt::format("'{}' is no integer in [{}, {}]", text, smallest, largest));
}

float read_float(const std::string& option, std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  const float value = std::strtof(copy.c_str(), &end);
  // strtof also skips leading space, which cannot be meant; and it turns too large a number into infinity.
  const bool whole =
      !copy.empty() && end == copy.c_str() + copy.size() && std::isspace(static_cast<unsigned char>(copy[0])) == 0;
  const bool says_infinity = copy.find_first_of("iI") != std::string::npos;
  if (whole && (!std::isinf(value) || says_infinity)) return value;
  throw CLI::ValidationError(option, fmt::format("'{}' is no number that a float can hold", text));
}

RowRange read_row_range(const std::string& option, std::string_view text) {
  const size_t colon = text.find(':');
  const std::string_view before = text.substr(0, colon);
  const std::string_view after = colon == std::string_view::npos ? "" : text.substr(colon + 1);
  RowRange range;
  bool understood = true;
  if (!before.empty() || colon == std::string_view::npos) understood = read_whole(before, 10, range.begin);
  if (colon == std::string_view::npos) {
    understood = understood && range.begin < std::numeric_limits<int64_t>::max();
    if (understood) range.end = range.begin + 1;
  } else if (!after.empty()) {
    int64_t end = 0;
    understood = read_whole(after, 10, end) && understood;
    range.end = end;
  }
  if (!understood || range.begin < 0 || (range.end && *range.end < 0)) {
    throw CLI::ValidationError(option, fmt::format("'{}' is no range of rows: write A:B, A:, :B or A", text));
  }
  if (range.end && *range.end <= range.begin) {
    throw CLI::ValidationError(option, fmt::format("'{}' holds no row", text));
  }
  return range;
}

HandedRandom read_random(const std::string& option, std::string_view text) {
  const bool hexadecimal = text.starts_with("0x") || text.starts_with("0X");
  const bool integer = hexadecimal || text.find_first_not_of("0123456789") == std::string_view::npos;
  if (integer) return read_u64(option, text);
  const float u = read_float(option, text);
  if (u >= 0.0f && u < 1.0f) return u;
  throw CLI::ValidationError(option, fmt::format("'{}', as a float, is not in [0, 1)", text));
}

CLI::Option* add_u64_option(CLI::App& app, const std::string& name, uint64_t& target, const std::string& help) {
  const auto set = [&target, name](const std::string& text) { target = read_u64(name, text); };
  return app.add_option_function<std::string>(name, set, help)->type_name("U64");
}

CLI::Option* add_float_option(CLI::App& app, const std::string& name, float& target, const std::string& help) {
  const auto set = [&target, name](const std::string& text) { target = read_float(name, text); };
  return app.add_option_function<std::string>(name, set, help)->type_name("FLOAT");
}

CLI::Option* add_integer_option(CLI::App& app, const std::string& name, int64_t& target, int64_t smallest,
                                int64_t largest, const std::string& help) {
  const auto set = [&target, name, smallest, largest](const std::string& text) {
    target = read_integer(name, text, smallest, largest);
  };
  return app.add_option_function<std::string>(name, set, help)->type_name("INT");
}

CLI::Option* add_int32_option(CLI::App& app, const std::string& name, int32_t& target, int32_t smallest,
                              int32_t largest, const std::string& help) {
  const auto set = [&target, name, smallest, largest](const std::string& text) {
    target = static_cast<int32_t>(read_integer(name, text, smallest, largest));
  };
  return app.add_option_function<std::string>(name, set, help)->type_name("INT");
}

}  // namespace tokendraw::cli
