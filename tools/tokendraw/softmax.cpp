// SPDX-License-Identifier: Apache-2.0
// `tokendraw softmax`: probabilities of a file of logits.
#include <tokendraw/tokendraw.h>

#include <memory>
#include <optional>
#include <vector>

#include "block_options.h"
#include "commands.h"
#include "logits_file.h"
#include "read_argument.h"
#include "stored_logit.h"

namespace tokendraw::cli {
namespace {

struct SoftmaxOptions {
  std::string path;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  bool dtype_given = false;
  TokendrawDtype output_dtype = TOKENDRAW_DTYPE_F32;
  float temperature = 1.0f;
  bool log = false;
  BlockOptions block;
};

ExitCode run_softmax(const SoftmaxOptions& options) {
  const LogitsFile file = load_logits(options.path, options.dtype_given ? std::optional(options.dtype) : std::nullopt);
  const auto rows = static_cast<size_t>(file.matrix.rows);
  std::vector<std::byte> output(rows * static_cast<size_t>(file.vocab) * cases::dtype_bytes(options.output_dtype));
  std::vector<uint32_t> statuses(rows);
  TokendrawSoftmax softmax;
  tokendraw_init_softmax(&softmax);
  softmax.input = file.row(0);
  softmax.dtype = file.dtype;
  softmax.vocab = file.vocab;
  softmax.rows = file.matrix.rows;
  softmax.temperature = options.temperature;
  softmax.log = options.log ? 1 : 0;
  softmax.output = output.data();
  softmax.output_dtype = options.output_dtype;
  softmax.row_status = statuses.data();
  const SamplerHandle sampler = make_sampler(options.block.sampler);
  require_answer(tokendraw_compute_softmax_host(sampler.get(), &softmax), "softmax");
  write_rows(options.block, file, options.output_dtype, output);
  note_row_statuses(statuses);
  return kExitOk;
}

}  // namespace

Command add_softmax_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("softmax", "Turn logits of a NumPy file into probabilities");
  auto options = std::make_shared<SoftmaxOptions>();
  app->add_option("LOGITS", options->path, "As for sample")->required()->type_name("FILE");
  CLI::Option* dtype = add_dtype_option(*app, options->dtype, "What uint16 holds: bf16; else checked [the file's]");
  add_float_option(*app, "--temperature", options->temperature, "Scales the logits first; 0 is greedy [1]");
  app->add_flag("--log", options->log, "Natural logarithms of the probabilities");
  add_named_dtype_option(*app, "--output-dtype", options->output_dtype, "Of the result; bf16 as uint16 [f32]");
  add_block_options(*app, options->block);
  return {app, [options, dtype] {
            options->dtype_given = dtype->count() > 0;
            return run_softmax(*options);
          }};
}

}  // namespace tokendraw::cli
