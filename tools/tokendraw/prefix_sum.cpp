// SPDX-License-Identifier: Apache-2.0
// `tokendraw prefix-sum`: running sums of the rows of a file of probabilities.
#include <tokendraw/tokendraw.h>

#include <memory>
#include <vector>

#include "block_options.h"
#include "commands.h"
#include "logits_file.h"

namespace tokendraw::cli {
namespace {

struct PrefixSumOptions {
  std::string path;
  bool exclusive = false;
  BlockOptions block;
};

ExitCode run_prefix_sum(const PrefixSumOptions& options) {
  const LogitsFile file = load_logits(options.path, TOKENDRAW_DTYPE_F32);
  const auto rows = static_cast<size_t>(file.matrix.rows);
  std::vector<float> output(rows * static_cast<size_t>(file.vocab));
  std::vector<uint32_t> statuses(rows);
  TokendrawPrefixSum sum;
  tokendraw_init_prefix_sum(&sum);
  sum.input = file.row(0);
  sum.vocab = file.vocab;
  sum.rows = file.matrix.rows;
  sum.exclusive = options.exclusive ? 1 : 0;
  sum.output = output.data();
  sum.row_status = statuses.data();
  const SamplerHandle sampler = make_sampler(options.block.sampler);
  require_answer(tokendraw_compute_prefix_sum_host(sampler.get(), &sum), "prefix sum");
  write_rows(options.block, file, TOKENDRAW_DTYPE_F32, std::as_bytes(std::span(output)));
  note_row_statuses(statuses);
  return kExitOk;
}

}  // namespace

Command add_prefix_sum_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("prefix-sum", "Running sums of the rows of a NumPy file of probabilities");
  auto options = std::make_shared<PrefixSumOptions>();
  app->add_option("PROBABILITIES", options->path, "float32 .npy of shape (vocab) or (rows, vocab); -: stdin")
      ->required()
      ->type_name("FILE");
  app->add_flag("--exclusive", options->exclusive, "Of what comes before each element, without itself");
  add_block_options(*app, options->block);
  return {app, [options] { return run_prefix_sum(*options); }};
}

}  // namespace tokendraw::cli
