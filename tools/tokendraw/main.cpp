// SPDX-License-Identifier: Apache-2.0
#include <tokendraw/tokendraw.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "commands.h"
#include "terminal.h"

namespace {

using namespace tokendraw::cli;

constexpr const char* kExitCodes =
    "Exit codes:\n"
    "  0  success\n"
    "  1  sample --strict: a row had no token\n"
    "  2  an option or argument that cannot be meant\n"
    "  3  an input file that cannot be read or used\n"
    "  4  the library, the device or the system failed\n"
    "  5  check found a difference, or bench --goals missed one\n"
    "  6  standard output could not be written\n"
    "Errors are one line on standard error: \"tokendraw: error: ...\".";

// What CLI11 says about a command line that it cannot read, and where to look.
void print_usage_error(const CLI::App& program, const CLI::ParseError& error) {
  std::string command = "tokendraw";
  for (const CLI::App* chosen : program.get_subcommands()) command += " " + chosen->get_name();
  print_error(std::string(error.what()) + " (try: " + command + " --help)");
}

int run(int argc, char** argv) {
  CLI::App program{"From LLM logits to tokens: the same token for the same row, parameters and seed, everywhere.",
                   "tokendraw"};
  program.set_version_flag("--version", std::string("tokendraw ") + tokendraw_version_string());
  program.footer(kExitCodes);
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  const Command commands[] = {
      add_sample_command(program),     add_info_command(program),   add_plan_command(program),
      add_check_command(program),      add_bench_command(program),  add_softmax_command(program),
      add_prefix_sum_command(program), add_random_command(program), add_filter_command(program)};
  try {
    program.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    const auto chosen = program.get_subcommands();
    write_output(chosen.empty() ? program.help() : chosen.front()->help(program.get_name()));
    flush_output();
    return kExitOk;
  } catch (const CLI::CallForAllHelp&) {
    write_output(program.help("", CLI::AppFormatMode::All));
    flush_output();
    return kExitOk;
  } catch (const CLI::CallForVersion& version) {
    write_output(std::string(version.what()) + "\n");
    flush_output();
    return kExitOk;
  } catch (const CLI::ParseError& error) {
    print_usage_error(program, error);
    return kExitUsage;
  }
  for (const Command& command : commands) {
    if (!command.app->parsed()) continue;
    const ExitCode code = command.run();
    flush_output();
    return code;
  }
  return kExitUsage;
}

}  // namespace

int main(int argc, char** argv) {
#ifdef SIGPIPE
  std::signal(SIGPIPE, SIG_IGN);  // a reader that went away shows as an error of the write
#endif
  try {
    return run(argc, argv);
  } catch (const BrokenPipe&) {
    return kExitOk;
  } catch (const CliError& error) {
    print_error(error.what());
    return error.code;
  } catch (const CLI::ParseError& error) {  // an argument that a command looked at after parsing
    print_error(error.what());
    return kExitUsage;
  } catch (const std::bad_alloc&) {
    print_error("out of memory");
  } catch (const std::exception& error) {
    print_error(error.what());
  }
  return kExitLibrary;
}
