// SPDX-License-Identifier: Apache-2.0
// Runs the command line as a user does: a process of its own, its exit code, standard output and standard error.
#pragma once

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace tokendraw::cli_test {

struct Finished {
  int exit_code = -1;  // -1: ended by a signal
  std::string out;
  std::string err;
};

struct Environment {
  std::string name, value;
};

// `tokendraw` with these arguments; `input` is its standard input.
Finished run_tokendraw(const std::vector<std::string>& arguments, const std::string& input = "",
                       const std::vector<Environment>& environment = {});

// A command line of the shell, in which $TOKENDRAW is the program.
Finished run_shell(const std::string& command);

// A file in a folder of this test process, which goes when it ends. Returns its path.
std::string write_file(const std::string& name, const std::string& content);

std::string read_file(const std::string& path);

std::vector<std::string> lines_of(const std::string& text);

// Every line of a successful run's standard output as JSON.
std::vector<nlohmann::json> json_lines(const Finished& finished);

// Ended with this code, wrote nothing to standard output and one line "tokendraw: error: ..." that holds `text`.
testing::AssertionResult failed_with(const Finished& finished, int exit_code, const std::string& text);

// The SIMD target of this machine that comes last, and is most unlike the best.
std::string last_cpu_target();

// The project's data folder.
std::string data_path(const std::string& name);

}  // namespace tokendraw::cli_test
