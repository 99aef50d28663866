// SPDX-License-Identifier: Apache-2.0
// `tokendraw sample`: tokens from a file of logits.
#include <fmt/format.h>
#include <tokendraw/tokendraw.h>

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "commands.h"
#include "logits_file.h"
#include "output_format.h"
#include "read_argument.h"
#include "sampler_options.h"
#include "terminal.h"
#include "token_place.h"
#include "tokens.h"

namespace tokendraw::cli {
namespace {

enum class SampleFormat { kTable, kJson, kCsv };

constexpr Choice<SampleFormat> kFormats[] = {
    {"table", SampleFormat::kTable},
    {"json", SampleFormat::kJson},
    {"csv", SampleFormat::kCsv},
};

constexpr int64_t kRowsPerCall = 4096;  // output rows; bounds memory however many draws are asked for

struct SampleOptions {
  std::string path;
  TokendrawDtype dtype = TOKENDRAW_DTYPE_F32;
  bool dtype_given = false;
  FilterOptions filters;
  SamplerChoice sampler;
  uint64_t seed = 0;
  int64_t stream = -1;
  uint64_t offset = 0;
  std::optional<HandedRandom> random;
  RowRange rows;
  int64_t draws = 1;
  SampleFormat format = SampleFormat::kTable;
  std::string tokens_path;
  bool strict = false;
};

// One token that was drawn.
struct Draw {
  int64_t row;  // in the file
  int64_t draw;
  int32_t token;
  uint32_t status;
  int64_t kept;
  uint64_t kept_mass;
  float logprob;
  int32_t rounds;

  bool has_token() const { return token >= 0; }
};

std::vector<std::string> status_names(uint32_t status) {
  std::vector<std::string> names;
  for (uint32_t rest = status; rest != 0; rest &= rest - 1) {
    names.emplace_back(tokendraw_row_status_name(rest & (~rest + 1)));
  }
  return names;
}

int count_digits(int64_t value) { return static_cast<int>(fmt::formatted_size("{}", value)); }

class DrawPrinter {
 public:
  DrawPrinter(const SampleOptions& options, const LogitsFile& file, const TokenTexts* texts, int64_t end_row)
      : options_(options),
        file_(file),
        texts_(texts),
        rounds_(options.sampler.algorithm == TOKENDRAW_ALGORITHM_REJECTION),
        row_width_(std::max(3, count_digits(end_row - 1))),
        draw_width_(std::max(4, count_digits(options.draws - 1))),
        id_width_(std::max(5, count_digits(file.vocab))) {}

  void print_header() {
    if (options_.format == SampleFormat::kCsv) {
      write_output(fmt::format("row,draw,token,status,kept,kept_mass,logprob{}{}\n", rounds_ ? ",rounds" : "",
                               texts_ != nullptr ? ",text" : ""));
    } else if (options_.format == SampleFormat::kTable) {
      write_output(fmt::format("{:>{}}  {:>{}}  {:>{}}  {:>{}}  {:>9}  {:>{}}  {:>10}  {}{}{}\n", "row", row_width_,
                               "draw", draw_width_, "token", id_width_, "rank", id_width_, "share", "kept", id_width_,
                               "logprob", rounds_ ? "rounds  " : "", "status", texts_ != nullptr ? "  text" : ""));
    }
  }

  void print(const Draw& draw) {
    switch (options_.format) {
      case SampleFormat::kTable:
        return print_table(draw);
      case SampleFormat::kJson:
        return print_json(draw);
      case SampleFormat::kCsv:
        return print_csv(draw);
    }
  }

 private:
  void print_table(const Draw& draw) {
    const std::string status = draw.status == 0 ? "ok" : fmt::format("{}", fmt::join(status_names(draw.status), ","));
    std::string rank = "-", share = "-", logprob = "-", text;
    if (draw.has_token()) {
      if (loaded_row_ != draw.row) {
        places_.load(file_.row(draw.row), file_.vocab, file_.dtype);
        loaded_row_ = draw.row;
      }
      rank = fmt::format("{}", places_.rank(draw.token));
      share = fmt::format("{:.3f} %", 100.0 * places_.share(draw.token, options_.filters.temperature, draw.kept_mass));
      if (std::isfinite(draw.logprob)) logprob = fmt::format("{:.6f}", draw.logprob);
      if (texts_ != nullptr) text = "  \"" + escape_text(texts_->text(draw.token)) + "\"";
    }
    const std::string rounds = rounds_ ? fmt::format("{:>6}  ", draw.rounds) : "";
    write_output(fmt::format("{:>{}}  {:>{}}  {:>{}}  {:>{}}  {:>9}  {:>{}}  {:>10}  {}{:{}}{}\n", draw.row, row_width_,
                             draw.draw, draw_width_, draw.token, id_width_, rank, id_width_, share, draw.kept,
                             id_width_, logprob, rounds, status, text.empty() ? 0 : 6, text));
  }

  void print_json(const Draw& draw) {
    nlohmann::ordered_json object;
    object["row"] = draw.row;
    object["draw"] = draw.draw;
    object["token"] = draw.token;
    object["status"] = status_names(draw.status);
    object["kept"] = draw.kept;
    object["kept_mass"] = std::to_string(draw.kept_mass);
    object["logprob"] = float_as_json(draw.logprob);
    if (rounds_) object["rounds"] = draw.rounds;
    if (texts_ != nullptr) object["text"] = to_valid_utf8(texts_->text(draw.token));
    write_output(dump_json(object) + "\n");
  }

  void print_csv(const Draw& draw) {
    const std::string logprob = std::isfinite(draw.logprob) ? fmt::format("{}", draw.logprob) : "";
    std::string line = fmt::format("{},{},{},{},{},{},{}", draw.row, draw.draw, draw.token,
                                   fmt::join(status_names(draw.status), "|"), draw.kept, draw.kept_mass, logprob);
    if (rounds_) line += fmt::format(",{}", draw.rounds);
    if (texts_ != nullptr) {
      line += ",\"";
      for (const char c : to_valid_utf8(texts_->text(draw.token))) line += c == '"' ? "\"\"" : std::string(1, c);
      line += '"';
    }
    write_output(line + "\n");
  }

  const SampleOptions& options_;
  const LogitsFile& file_;
  const TokenTexts* texts_;
  bool rounds_;  // are shown: the algorithm is the one that has them
  int row_width_, draw_width_, id_width_;
  RowPlaces places_;
  int64_t loaded_row_ = -1;
};

// The rows of the file that are asked for.
struct RowSpan {
  int64_t begin;
  int64_t end;
};

RowSpan resolve_rows(const RowRange& range, const LogitsFile& file) {
  const int64_t end = range.end.value_or(file.matrix.rows);
  if (range.begin >= file.matrix.rows || end > file.matrix.rows) {
    throw CliError(kExitUsage,
                   fmt::format("--rows: the file has {} rows, 0 to {}", file.matrix.rows, file.matrix.rows - 1));
  }
  return {range.begin, end};
}

// Samples output rows [first, first + count) of the run: output row n is draw n % draws of row n / draws.
std::vector<Draw> sample_some(const SampleOptions& options, const LogitsFile& file, const RowSpan& rows,
                              TokendrawSampler* sampler, int64_t first, int64_t count) {
  const auto n = static_cast<size_t>(count);
  std::vector<Draw> result(n);
  std::vector<int32_t> row_index(n), tokens(n), rounds(n);
  std::vector<uint32_t> streams(n), status(n);
  std::vector<uint64_t> offsets(n), kept_mass(n), random_u64;
  std::vector<int64_t> kept(n);
  std::vector<float> logprob(n), random_f32;
  const int64_t first_row = rows.begin + first / options.draws;
  for (size_t i = 0; i < n; ++i) {
    const int64_t output = first + static_cast<int64_t>(i);
    result[i].row = rows.begin + output / options.draws;
    result[i].draw = output % options.draws;
    row_index[i] = static_cast<int32_t>(result[i].row - first_row);
    // The row's number in the file, whatever was selected, so that a selection changes no token.
    streams[i] = static_cast<uint32_t>(options.stream >= 0 ? options.stream : result[i].row);
    offsets[i] = options.offset + static_cast<uint64_t>(result[i].draw);
  }

  TokendrawBatch batch;
  tokendraw_init_batch(&batch);
  batch.logits = file.row(first_row);
  batch.dtype = file.dtype;
  batch.vocab = file.vocab;
  batch.rows = count;
  batch.logits_rows = result.back().row - first_row + 1;
  batch.row_index = row_index.data();
  set_filters(batch, options.filters);
  if (!options.random) {
    batch.seed = options.seed;
    batch.stream_per_row = streams.data();
    batch.offset_per_row = offsets.data();
  } else if (const auto* bits = std::get_if<uint64_t>(&*options.random)) {
    random_u64.assign(n, *bits);
    batch.random_u64 = random_u64.data();
  } else {
    random_f32.assign(n, std::get<float>(*options.random));
    batch.random_f32 = random_f32.data();
  }
  batch.tokens = tokens.data();
  batch.row_status = status.data();
  batch.kept = kept.data();
  batch.kept_mass = kept_mass.data();
  batch.logprob = logprob.data();
  batch.rounds = rounds.data();
  require_answer(tokendraw_sample_host(sampler, &batch), "sampling");
  for (size_t i = 0; i < n; ++i) {
    result[i].token = tokens[i];
    result[i].status = status[i];
    result[i].kept = kept[i];
    result[i].kept_mass = kept_mass[i];
    result[i].logprob = logprob[i];
    result[i].rounds = rounds[i];
  }
  return result;
}

ExitCode run_sample(const SampleOptions& options) {
  if (options.offset > std::numeric_limits<uint64_t>::max() - static_cast<uint64_t>(options.draws - 1)) {
    throw CliError(kExitUsage, "--offset: offset + draws passes 2^64");
  }
  const LogitsFile file = load_logits(options.path, options.dtype_given ? std::optional(options.dtype) : std::nullopt);
  const RowSpan rows = resolve_rows(options.rows, file);
  if (rows.end > int64_t{std::numeric_limits<uint32_t>::max()} + 1) {
    throw CliError(kExitUsage, "--rows: a stream is below 2^32, and so must be the rows' numbers");
  }
  std::optional<TokenTexts> texts;
  if (!options.tokens_path.empty()) {
    try {
      texts = TokenTexts::from_file_content(options.tokens_path, load_whole_file(options.tokens_path));
    } catch (const TokensError& error) {
      throw CliError(kExitInput, fmt::format("{}: {}", options.tokens_path, error.what()));
    }
  }
  const SamplerHandle sampler = make_sampler(options.sampler);

  DrawPrinter printer(options, file, texts ? &*texts : nullptr, rows.end);
  bool every_row_has_token = true;
  const int64_t outputs = (rows.end - rows.begin) * options.draws;
  for (int64_t first = 0; first < outputs; first += kRowsPerCall) {
    const int64_t count = std::min(kRowsPerCall, outputs - first);
    const std::vector<Draw> draws = sample_some(options, file, rows, sampler.get(), first, count);
    if (first == 0) printer.print_header();
    for (const Draw& draw : draws) {
      printer.print(draw);
      every_row_has_token = every_row_has_token && draw.has_token();
    }
  }
  return options.strict && !every_row_has_token ? kExitNoToken : kExitOk;
}

}  // namespace

Command add_sample_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("sample", "Draw tokens from a NumPy file of logits");
  auto options = std::make_shared<SampleOptions>();
  app->add_option("LOGITS", options->path,
                  "float32, float16 or uint16 .npy of shape (vocab) or (rows, vocab); -: stdin")
      ->required()
      ->type_name("FILE");
  CLI::Option* dtype = add_dtype_option(*app, options->dtype, "What uint16 holds: bf16; else checked [the file's]");
  add_filter_options(*app, options->filters);
  CLI::Option* seed = add_u64_option(*app, "--seed", options->seed, "Of all rows [0]");
  CLI::Option* stream = add_integer_option(*app, "--stream", options->stream, 0, std::numeric_limits<uint32_t>::max(),
                                           "Of all rows [the row's number in the file]");
  CLI::Option* offset = add_u64_option(*app, "--offset", options->offset, "Of the first draw; draw j adds j [0]");
  app->add_option_function<std::string>(
         "--random", [options](const std::string& text) { options->random = read_random("--random", text); },
         "Use this for every draw: an integer is a u64, else a float in [0,1)")
      ->type_name("NUMBER")
      ->excludes(seed)
      ->excludes(stream)
      ->excludes(offset);
  app->add_option_function<std::string>(
         "--rows", [options](const std::string& text) { options->rows = read_row_range("--rows", text); },
         "Rows A to B - 1, or row A alone [all]")
      ->type_name("A:B");
  add_integer_option(*app, "--draws", options->draws, 1, std::numeric_limits<int32_t>::max(),
                     "Tokens from each row [1]");
  add_algorithm_option(*app, options->sampler);
  add_backend_options(*app, options->sampler);
  add_gpu_failure_option(*app, options->sampler);
  add_thread_options(*app, options->sampler);
  add_choice_option(*app, "--format", options->format, kFormats, "How to print [table]");
  app->add_option("--tokens", options->tokens_path, "Texts to show: tokenizer.json, or one token a line")
      ->type_name("FILE");
  app->add_flag("--strict", options->strict, "Exit 1 if a row has no token");
  const auto run = [options, dtype] {
    options->dtype_given = dtype->count() > 0;
    return run_sample(*options);
  };
  return {app, run};
}

}  // namespace tokendraw::cli
