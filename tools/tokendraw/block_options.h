// SPDX-License-Identifier: Apache-2.0
// What the commands of the building blocks share: which sampler lends its device, where the result goes, and what
// became of rows.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <span>
#include <string>

#include "sampler_options.h"

namespace tokendraw::cli {

struct BlockOptions {
  SamplerChoice sampler;
  std::string out = "-";
};

void add_block_options(CLI::App& app, BlockOptions& options);

const char* npy_descr(TokendrawDtype dtype);  // "<f4"; bf16 as "<u2"

// A note on standard error for every row whose status is not 0, up to ten.
void note_row_statuses(std::span<const uint32_t> statuses);

}  // namespace tokendraw::cli
