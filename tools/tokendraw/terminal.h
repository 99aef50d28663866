// SPDX-License-Identifier: Apache-2.0
// Standard output and standard error.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace tokendraw::cli {

// Whoever read standard output went away, as `head` does: the program ends quietly.
struct BrokenPipe {};

// Buffered. Both throw BrokenPipe, or CliError{kExitOutput} where the output cannot be written.
void write_output(std::string_view text);
void flush_output();

// "tokendraw: error: ..." on standard error, in one line whatever the text holds.
void print_error(std::string_view message);

// The same for what is worth knowing and no error: "tokendraw: note: ...".
void print_note(std::string_view message);

// A bar on standard error, if that is a terminal and `shown` is true; otherwise nothing is written. It is wiped away
// when the object ends.
class ProgressBar {
 public:
  explicit ProgressBar(bool shown = true);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // `fraction` in [0, 1]. Cheap: draws at most ten times a second.
  void update(double fraction, std::string_view label);

  // Wipes the bar, so that a line may be printed.
  void clear();

 private:
  bool active_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point next_draw_{};
};

}  // namespace tokendraw::cli
