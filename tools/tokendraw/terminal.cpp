// SPDX-License-Identifier: Apache-2.0
#include "terminal.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "cli_error.h"

namespace tokendraw::cli {
namespace {

void require_written(bool written) {
  if (written) return;
  const int reason = errno;
  std::clearerr(stdout);
  if (reason == EPIPE) throw BrokenPipe{};
  throw CliError(kExitOutput, fmt::format("standard output: {}", std::strerror(reason)));
}

constexpr int kBarCells = 30;

void print_line(const char* kind, std::string_view message) {
  std::string line(message);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' ' || c == '\x7f'; }, ' ');
  std::fprintf(stderr, "tokendraw: %s: %s\n", kind, line.c_str());
}

}  // namespace

void write_output(std::string_view text) {
  errno = 0;
  require_written(std::fwrite(text.data(), 1, text.size(), stdout) == text.size());
}

void flush_output() {
  errno = 0;
  require_written(std::fflush(stdout) == 0);
}

void print_error(std::string_view message) { print_line("error", message); }

void print_note(std::string_view message) { print_line("note", message); }

ProgressBar::ProgressBar(bool shown) : active_(shown && isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() { clear(); }

void ProgressBar::update(double fraction, std::string_view label) {
  if (!active_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + std::chrono::milliseconds(100);
  const int cells = static_cast<int>(std::clamp(fraction, 0.0, 1.0) * kBarCells);
  const std::string bar(static_cast<size_t>(cells), '#');
  const std::string line = fmt::format("\r[{:<{}}] {:3.0f} % {:<44.44}", bar, kBarCells, 100.0 * fraction, label);
  std::fputs(line.c_str(), stderr);
  std::fflush(stderr);
  drawn_ = true;
}

void ProgressBar::clear() {
  if (!drawn_) return;
  std::fprintf(stderr, "\r%*s\r", kBarCells + 54, "");
  std::fflush(stderr);
  drawn_ = false;
}

}  // namespace tokendraw::cli
