// SPDX-License-Identifier: Apache-2.0
// `tokendraw random`: random numbers of the library's generators.
#include <tokendraw/tokendraw.h>

#include <limits>
#include <memory>
#include <vector>

#include "block_options.h"
#include "commands.h"
#include "npy_file.h"
#include "read_argument.h"

namespace tokendraw::cli {
namespace {

constexpr Choice<TokendrawGenerator> kGenerators[] = {
    {"philox", TOKENDRAW_GENERATOR_PHILOX},
    {"xorwow", TOKENDRAW_GENERATOR_XORWOW},
};
constexpr Choice<TokendrawRandomKind> kKinds[] = {
    {"u32", TOKENDRAW_RANDOM_U32},
    {"u64", TOKENDRAW_RANDOM_U64},
    {"f32", TOKENDRAW_RANDOM_F32},
    {"f32-positive", TOKENDRAW_RANDOM_F32_POSITIVE},
};

struct RandomOptions {
  TokendrawRandom random;
  BlockOptions block;
};

ExitCode run_random(const RandomOptions& options) {
  TokendrawRandom random = options.random;
  const bool wide = random.kind == TOKENDRAW_RANDOM_U64;
  std::vector<std::byte> output(static_cast<size_t>(random.rows * random.count) * (wide ? 8 : 4));
  random.output = output.data();
  const SamplerHandle sampler = make_sampler(options.block.sampler);
  require_answer(tokendraw_fill_random_host(sampler.get(), &random), "random numbers");
  const char* descr = wide ? "<u8" : random.kind == TOKENDRAW_RANDOM_U32 ? "<u4" : "<f4";
  write_npy(options.block.out, descr, random.rows, random.count, random.rows == 1, output);
  return kExitOk;
}

}  // namespace

Command add_random_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("random", "Random numbers of Philox4x32-10 or XORWOW as a NumPy file");
  auto options = std::make_shared<RandomOptions>();
  TokendrawRandom& random = options->random;
  tokendraw_init_random(&random);
  random.rows = 1;
  constexpr int64_t kMost = int64_t{1} << 31;
  add_integer_option(*app, "--count", random.count, 1, kMost, "Numbers in a row")->required();
  add_integer_option(*app, "--rows", random.rows, 1, kMost - 1, "Rows [1]");
  add_choice_option(*app, "--generator", random.generator, kGenerators, "Which [philox]");
  add_choice_option(*app, "--kind", random.kind, kKinds, "f32: [0, 1), f32-positive: (0, 1] [u32]");
  add_u64_option(*app, "--seed", random.seed, "Of all rows [0]");
  add_integer_option(*app, "--subsequence", random.subsequence, 0, std::numeric_limits<int64_t>::max(),
                     "Of all rows [the row's number; 0 for xorwow]");
  add_u64_option(*app, "--offset", random.offset, "Words to leave out [0]");
  add_block_options(*app, options->block);
  return {app, [options] { return run_random(*options); }};
}

}  // namespace tokendraw::cli
