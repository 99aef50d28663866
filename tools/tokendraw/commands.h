// SPDX-License-Identifier: Apache-2.0
// The commands. Each function adds one to the program and gives back what runs it after the options were read; the
// result is the exit code. Failures are CliError.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

#include "cli_error.h"

namespace tokendraw::cli {

struct Command {
  CLI::App* app;
  std::function<ExitCode()> run;
};

Command add_sample_command(CLI::App& program);
Command add_info_command(CLI::App& program);
Command add_plan_command(CLI::App& program);
Command add_check_command(CLI::App& program);
Command add_bench_command(CLI::App& program);
Command add_softmax_command(CLI::App& program);
Command add_filter_command(CLI::App& program);
Command add_prefix_sum_command(CLI::App& program);
Command add_random_command(CLI::App& program);

}  // namespace tokendraw::cli
