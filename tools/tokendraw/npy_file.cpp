// SPDX-License-Identifier: Apache-2.0
#include "npy_file.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <string_view>

#include "cli_error.h"
#include "terminal.h"

namespace tokendraw::cli {

void write_npy(const std::string& path, const char* descr, int64_t rows, int64_t columns, bool one_dimensional,
               std::span<const std::byte> data) {
  const std::string shape = one_dimensional ? fmt::format("({},)", columns) : fmt::format("({}, {})", rows, columns);
  std::string header = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': {}, }}", descr, shape);
  constexpr size_t kPreamble = 10;
  while ((kPreamble + header.size() + 1) % 64 != 0) header += ' ';
  header += '\n';
  std::string preamble("\x93NUMPY\x01\x00", 8);
  preamble += static_cast<char>(header.size() & 0xff);
  preamble += static_cast<char>(header.size() >> 8);
  const std::string_view bytes(reinterpret_cast<const char*>(data.data()), data.size());
  if (path == "-") {
    if (isatty(STDOUT_FILENO) == 1) throw CliError(kExitUsage, "standard output is a terminal: name a file by --out");
    write_output(preamble + header);
    write_output(bytes);
    return;
  }
  errno = 0;
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << preamble << header << bytes;
  file.close();
  if (file) return;
  throw CliError(kExitOutput, fmt::format("{}: {}", path, errno != 0 ? std::strerror(errno) : "cannot be written"));
}

}  // namespace tokendraw::cli
