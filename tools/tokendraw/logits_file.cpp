// SPDX-License-Identifier: Apache-2.0
#include "logits_file.h"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "cli_error.h"
#include "stored_logit.h"

namespace tokendraw::cli {
namespace {

constexpr int64_t kMaxVocab = int64_t{1} << 21;

std::string shown_name(const std::string& path) { return path == "-" ? "standard input" : path; }

std::ifstream open_file(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) throw CliError(kExitInput, path + ": is a directory");
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    const std::string reason = errno != 0 ? std::strerror(errno) : "cannot be opened";
    throw CliError(kExitInput, fmt::format("{}: {}", path, reason));
  }
  return file;
}

TokendrawDtype dtype_of(NpyElement element, std::optional<TokendrawDtype> asked,
                        std::optional<TokendrawDtype> dtype_of_uint16) {
  const bool sixteen_bits = element == NpyElement::kUint16 || element == NpyElement::kOpaque16;
  if (sixteen_bits) {
    if (!asked && dtype_of_uint16) return *dtype_of_uint16;
    if (asked == TOKENDRAW_DTYPE_BF16) return TOKENDRAW_DTYPE_BF16;
    throw NpyError(fmt::format("the file holds {}: say --dtype bf16 if they are bfloat16", npy_element_name(element)));
  }
  const TokendrawDtype stored = element == NpyElement::kFloat32 ? TOKENDRAW_DTYPE_F32 : TOKENDRAW_DTYPE_F16;
  if (asked && *asked != stored) {
    throw NpyError(fmt::format("--dtype {} does not fit: the file holds {}", tokendraw_dtype_name(*asked),
                               npy_element_name(element)));
  }
  return stored;
}

}  // namespace

const std::byte* LogitsFile::row(int64_t index) const {
  return matrix.data.get() + index * matrix.columns * static_cast<int64_t>(cases::dtype_bytes(dtype));
}

LogitsFile load_logits(const std::string& path, std::optional<TokendrawDtype> dtype,
                       std::optional<TokendrawDtype> dtype_of_uint16) {
  LogitsFile file;
  try {
    if (path == "-") {
      std::ios::sync_with_stdio(false);  // whole blocks, not single characters
      file.matrix = read_npy(std::cin);
    } else {
      std::ifstream stream = open_file(path);
      file.matrix = read_npy(stream);
    }
    file.dtype = dtype_of(file.matrix.element, dtype, dtype_of_uint16);
    if (file.matrix.columns > kMaxVocab) {
      throw NpyError(fmt::format("the vocabulary of {} is larger than {}", file.matrix.columns, kMaxVocab));
    }
  } catch (const NpyError& error) {
    throw CliError(kExitInput, fmt::format("{}: {}", shown_name(path), error.what()));
  }
  file.vocab = static_cast<int32_t>(file.matrix.columns);
  return file;
}

std::string load_whole_file(const std::string& path) {
  std::ifstream stream = open_file(path);
  std::ostringstream content;
  if (stream.peek() != std::ifstream::traits_type::eof()) content << stream.rdbuf();
  if (stream.bad() || content.fail()) throw CliError(kExitInput, fmt::format("{}: reading failed", path));
  return std::move(content).str();
}

}  // namespace tokendraw::cli
