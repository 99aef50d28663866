// SPDX-License-Identifier: Apache-2.0
// Writes a matrix in NumPy's .npy format, version 1.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace tokendraw::cli {

// `descr` names the element type as NumPy does, "<f4"; one_dimensional: the shape is (columns). `path` "-" is standard
// output, which must not be a terminal. Throws CliError: kExitUsage for a terminal, kExitOutput for what cannot be
// written.
void write_npy(const std::string& path, const char* descr, int64_t rows, int64_t columns, bool one_dimensional,
               std::span<const std::byte> data);

}  // namespace tokendraw::cli
