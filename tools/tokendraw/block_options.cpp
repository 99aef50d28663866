// SPDX-License-Identifier: Apache-2.0
#include "block_options.h"

#include <fmt/format.h>

#include "npy_file.h"
#include "terminal.h"

namespace tokendraw::cli {

void add_block_options(CLI::App& app, BlockOptions& options) {
  app.add_option("--out", options.out, "The .npy file to write; -: standard output [-]")->type_name("FILE");
  add_backend_options(app, options.sampler);
  add_gpu_failure_option(app, options.sampler);
  add_thread_options(app, options.sampler);
}

void write_rows(const BlockOptions& options, const LogitsFile& file, TokendrawDtype dtype,
                std::span<const std::byte> data) {
  const char* descr = dtype == TOKENDRAW_DTYPE_F32 ? "<f4" : dtype == TOKENDRAW_DTYPE_F16 ? "<f2" : "<u2";
  write_npy(options.out, descr, file.matrix.rows, file.vocab, file.matrix.one_dimensional, data);
}

void note_row_statuses(std::span<const uint32_t> statuses) {
  constexpr int kMostNotes = 10;
  int notes = 0;
  for (size_t row = 0; row < statuses.size(); ++row) {
    if (statuses[row] == 0) continue;
    if (++notes > kMostNotes) return print_note("and more rows");
    std::string names;
    for (uint32_t rest = statuses[row]; rest != 0; rest &= rest - 1) {
      names += fmt::format("{}{}", names.empty() ? "" : ", ", tokendraw_row_status_name(rest & (~rest + 1)));
    }
    print_note(fmt::format("row {}: {}", row, names));
  }
}

}  // namespace tokendraw::cli
