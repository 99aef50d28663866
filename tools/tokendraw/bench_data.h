// SPDX-License-Identifier: Apache-2.0
// The rows that `tokendraw bench` measures on.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "logits_file.h"

namespace tokendraw::cli {

// Rows of one dtype, one behind the other, at 64-byte alignment.
class BenchRows {
 public:
  BenchRows(int64_t rows, int32_t vocab, TokendrawDtype dtype);

  std::byte* row(int64_t index);
  const std::byte* row(int64_t index) const;
  int64_t rows() const { return rows_; }
  int32_t vocab() const { return vocab_; }
  TokendrawDtype dtype() const { return dtype_; }

 private:
  int64_t rows_;
  int32_t vocab_;
  TokendrawDtype dtype_;
  std::vector<std::byte> storage_;
  size_t offset_;
};

// "normal1", "normal5", "ascending", "two-valued" or "equal", made by the case list's generators.
BenchRows make_synthetic_rows(const std::string& name, int64_t rows, int32_t vocab, TokendrawDtype dtype);

// The file's rows, converted.
BenchRows make_file_rows(const LogitsFile& file, TokendrawDtype dtype);

}  // namespace tokendraw::cli
