// SPDX-License-Identifier: Apache-2.0
// Files that commands read. All of these throw CliError{kExitInput} with the file's name.
#pragma once

#include <tokendraw/tokendraw.h>

#include <cstdint>
#include <optional>
#include <string>

#include "npy.h"

namespace tokendraw::cli {

// A matrix whose element type is known as a dtype of the library.
struct LogitsFile {
  NpyMatrix matrix;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  int32_t vocab = 0;

  // The first logit of a row.
  const std::byte* row(int64_t index) const;
};

// `path` "-" is standard input. `dtype`, if given, must fit the file; a file of uint16 needs it, since only the caller
// knows that its integers are bfloat16, unless `dtype_of_uint16` says so for every file.
LogitsFile load_logits(const std::string& path, std::optional<TokendrawDtype> dtype,
                       std::optional<TokendrawDtype> dtype_of_uint16 = std::nullopt);

std::string load_whole_file(const std::string& path);

}  // namespace tokendraw::cli
