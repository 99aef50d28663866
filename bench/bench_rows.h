// SPDX-License-Identifier: Apache-2.0
// The rows that benches measure: the shipped real logits and generated ones.
#pragma once

#include <row_kinds.h>
#include <tokendraw/tokendraw.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

namespace tokendraw::bench {

inline constexpr int kDistinctRows = 48;

inline size_t row_bytes_of(int vocab, TokendrawDtype dtype) {
  return static_cast<size_t>(vocab) * (dtype == TOKENDRAW_DTYPE_F32 ? 4 : 2);
}

// The shipped rows are bf16 behind a .npy header, which ends at the first newline.
inline std::vector<std::byte> read_real_rows(const std::string& path, int vocab, TokendrawDtype dtype) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  const auto newline = std::find(bytes.begin(), bytes.end(), '\n');
  if (newline == bytes.end()) {
    std::fprintf(stderr, "bench: cannot read %s\n", path.c_str());
    std::exit(1);
  }
  const auto* values = reinterpret_cast<const unsigned char*>(&*newline + 1);
  const size_t count = static_cast<size_t>(bytes.end() - newline - 1) / 2;
  const size_t rows = count / static_cast<size_t>(vocab);
  std::vector<std::byte> out(rows * row_bytes_of(vocab, dtype));
  for (size_t i = 0; i < rows * static_cast<size_t>(vocab); ++i) {
    const uint32_t bits = static_cast<uint32_t>(values[2 * i]) | static_cast<uint32_t>(values[2 * i + 1]) << 8;
    if (dtype == TOKENDRAW_DTYPE_BF16) {
      const auto stored = static_cast<uint16_t>(bits);
      std::memcpy(&out[2 * i], &stored, 2);
    } else {
      const uint32_t stored = bits << 16;
      std::memcpy(&out[4 * i], &stored, 4);
    }
  }
  return out;
}

// real_path: the shipped rows, for kind "real".
inline std::vector<std::byte> make_rows(int vocab, TokendrawDtype dtype, const std::string& kind,
                                        const std::string& real_path) {
  if (kind == "real") return read_real_rows(real_path, vocab, dtype);
  const size_t row_bytes = row_bytes_of(vocab, dtype);
  std::vector<std::byte> rows(row_bytes * kDistinctRows);
  const auto found = cases::find_row_kind(kind);
  if (!found) {
    std::fprintf(stderr, "bench: no data named %s\n", kind.c_str());
    std::exit(1);
  }
  for (size_t r = 0; r < kDistinctRows; ++r) cases::generate_row(*found, vocab, dtype, r + 1, &rows[r * row_bytes]);
  return rows;
}

}  // namespace tokendraw::bench
