// SPDX-License-Identifier: Apache-2.0
// What the commands of the building blocks share: which sampler lends its device, where the result goes, and what
// became of rows.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <span>
#include <string>

#include "logits_file.h"
#include "sampler_options.h"

namespace tokendraw::cli {

struct BlockOptions {
  SamplerChoice sampler;
  std::string out = "-";
};

void add_block_options(CLI::App& app, BlockOptions& options);

// Writes what became of the file's rows, in the file's shape; bf16 as uint16.
void write_rows(const BlockOptions& options, const LogitsFile& file, TokendrawDtype dtype,
                std::span<const std::byte> data);

// A note on standard error for every row whose status is not 0, up to ten.
void note_row_statuses(std::span<const uint32_t> statuses);

}  // namespace tokendraw::cli
