// SPDX-License-Identifier: Apache-2.0
// `tokendraw filter`: what temperature, top-k, top-p and min-p keep of a file of logits or probabilities.
#include <tokendraw/tokendraw.h>

#include <memory>
#include <optional>
#include <vector>

#include "block_options.h"
#include "commands.h"
#include "logits_file.h"
#include "npy_file.h"
#include "read_argument.h"

namespace tokendraw::cli {
namespace {

constexpr Choice<TokendrawForm> kForms[] = {
    {"logits", TOKENDRAW_FORM_LOGITS},
    {"probabilities", TOKENDRAW_FORM_PROBABILITIES},
};

struct FilterCommandOptions {
  std::string path;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  bool dtype_given = false;
  TokendrawForm form = TOKENDRAW_FORM_LOGITS;
  FilterOptions filters;
  bool mask = false;
  bool tokens = false;
  uint64_t seed = 0;
  uint64_t offset = 0;
  BlockOptions block;
};

ExitCode run_filter(const FilterCommandOptions& options) {
  const LogitsFile file = load_logits(options.path, options.dtype_given ? std::optional(options.dtype) : std::nullopt);
  const auto rows = static_cast<size_t>(file.matrix.rows);
  std::vector<float> output(options.tokens ? 0 : rows * static_cast<size_t>(file.vocab));
  std::vector<int32_t> tokens(rows);
  std::vector<uint32_t> statuses(rows);
  TokendrawFilter filter;
  tokendraw_init_filter(&filter);
  filter.input = file.row(0);
  filter.form = options.form;
  filter.dtype = file.dtype;
  filter.vocab = file.vocab;
  filter.rows = file.matrix.rows;
  filter.temperature = options.filters.temperature;
  filter.top_k = options.filters.top_k;
  filter.top_p = options.filters.top_p;
  filter.min_p = options.filters.min_p;
  filter.top_p_base = options.filters.top_p_base;
  filter.masking = options.mask ? 1 : 0;
  filter.seed = options.seed;
  filter.offset = options.offset;
  filter.row_status = statuses.data();
  if (options.tokens) {
    filter.tokens = tokens.data();
  } else {
    filter.output = output.data();
  }
  const SamplerHandle sampler = make_sampler(options.block.sampler);
  require_answer(tokendraw_apply_filter_host(sampler.get(), &filter), "filter");
  if (options.tokens) {
    write_npy(options.block.out, "<i4", 1, file.matrix.rows, true, std::as_bytes(std::span(tokens)));
  } else {
    write_rows(options.block, file, TOKENDRAW_DTYPE_F32, std::as_bytes(std::span(output)));
  }
  note_row_statuses(statuses);
  return kExitOk;
}

}  // namespace

Command add_filter_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("filter", "Apply top-k, top-p and min-p to a NumPy file of rows");
  auto options = std::make_shared<FilterCommandOptions>();
  app->add_option("ROWS", options->path, "Logits as for sample, or probabilities as float32")
      ->required()
      ->type_name("FILE");
  CLI::Option* dtype = add_dtype_option(*app, options->dtype, "What uint16 holds: bf16; else checked [the file's]");
  add_choice_option(*app, "--form", options->form, kForms, "What the file holds [logits]");
  add_filter_options(*app, options->filters);
  CLI::Option* mask = app->add_flag("--mask", options->mask, "The rows with the rest masked out, not probabilities");
  app->add_flag("--tokens", options->tokens, "A token drawn from each row instead (int32)")->excludes(mask);
  add_u64_option(*app, "--seed", options->seed, "Of the tokens [0]");
  add_u64_option(*app, "--offset", options->offset, "Of the tokens [0]");
  add_block_options(*app, options->block);
  return {app, [options, dtype] {
            options->dtype_given = dtype->count() > 0;
            return run_filter(*options);
          }};
}

}  // namespace tokendraw::cli
