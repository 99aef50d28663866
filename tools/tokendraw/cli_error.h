// SPDX-License-Identifier: Apache-2.0
// How a command fails: an exit code and one line for standard error.
#pragma once

#include <tokendraw/tokendraw.h>

#include <stdexcept>
#include <string>

namespace tokendraw::cli {

// Documented in --help and docs/command_line.md; never renumbered.
enum ExitCode : int {
  kExitOk = 0,
  kExitNoToken = 1,     // `sample --strict`: a row had no token
  kExitUsage = 2,       // an option or argument that cannot be meant
  kExitInput = 3,       // an input file that cannot be read or used
  kExitLibrary = 4,     // the library, the device or the system failed
  kExitDifference = 5,  // `check` found a difference; `bench --goals` missed one
  kExitOutput = 6,      // standard output could not be written
};

struct CliError : std::runtime_error {
  CliError(ExitCode exit_code, const std::string& message) : std::runtime_error(message), code(exit_code) {}
  ExitCode code;
};

// Throws unless the status is a success: kExitUsage for a refused argument (the library looked at what the user wrote),
// kExitLibrary for everything else. `doing` begins the message.
void require_ok(TokendrawStatus status, const std::string& doing);

}  // namespace tokendraw::cli
