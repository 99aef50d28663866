// SPDX-License-Identifier: Apache-2.0
// Everything that goes wrong ends with its exit code and one line, and nothing else.
#include <gtest/gtest.h>

#include <filesystem>

#include "npy_file.h"
#include "program.h"

namespace tokendraw::cli_test {
namespace {

using Arguments = std::vector<std::string>;

std::string small_file() { return write_file("small.npy", npy_f32("(2, 3)", {1.0f, 2.0f, 3.0f, 4.0f, 5.0f, 6.0f})); }

TEST(Errors, UsageIsExitCode2) {
  const std::string file = small_file();
  struct {
    Arguments arguments;
    const char* text;
  } const cases[] = {
      {{}, "subcommand"},
      {{"draw"}, "draw"},
      {{"sample"}, "LOGITS"},
      {{"sample", file, "second"}, "second"},
      {{"sample", file, "--nonsense"}, "--nonsense"},
      {{"sample", file, "--top-k"}, "--top-k"},
      {{"sample", file, "--top-k", "many"}, "'many'"},
      {{"sample", file, "--top-k", "2147483648"}, "'2147483648'"},
      {{"sample", file, "--top-k", "5.0"}, "'5.0'"},
      {{"sample", file, "--temperature", "warm"}, "'warm'"},
      {{"sample", file, "--temperature", "1e99"}, "'1e99'"},
      {{"sample", file, "--temperature", " 1"}, "' 1'"},
      {{"sample", file, "--temperature", "1x"}, "'1x'"},
      {{"sample", file, "--temperature", ""}, "--temperature"},
      {{"sample", file, "--temperature", "-1"}, "INVALID_TEMPERATURE"},
      {{"sample", file, "--temperature", "nan"}, "INVALID_TEMPERATURE"},
      {{"sample", file, "--top-p", "nan"}, "INVALID_TOP_P"},
      {{"sample", file, "--min-p", "1.5"}, "INVALID_MIN_P"},
      {{"sample", file, "--top-p-base", "none"}, "after-top-k|all|after-all"},
      {{"sample", file, "--seed", "-1"}, "'-1'"},
      {{"sample", file, "--seed", "18446744073709551616"}, "[0, 2^64)"},
      {{"sample", file, "--seed", "0x"}, "'0x'"},
      {{"sample", file, "--stream", "4294967296"}, "'4294967296'"},
      {{"sample", file, "--stream", "-1"}, "'-1'"},
      {{"sample", file, "--offset", "0xffffffffffffffff", "--draws", "2"}, "2^64"},
      {{"sample", file, "--random", "1.0"}, "[0, 1)"},
      {{"sample", file, "--random", "0.99999999"}, "[0, 1)"},  // rounds to 1 as a float
      {{"sample", file, "--random", "-0.5"}, "[0, 1)"},
      {{"sample", file, "--random", "nan"}, "[0, 1)"},
      {{"sample", file, "--random", ""}, "--random"},
      {{"sample", file, "--random", "1", "--seed", "1"}, "--random"},
      {{"sample", file, "--random", "1", "--offset", "1"}, "--random"},
      {{"sample", file, "--random", "1", "--stream", "1"}, "--random"},
      {{"sample", file, "--random", "1", "--algorithm", "rejection"}, "INVALID_RANDOM"},
      {{"sample", file, "--rows", "2"}, "2 rows"},
      {{"sample", file, "--rows", "0:3"}, "2 rows"},
      {{"sample", file, "--rows", "2:"}, "2 rows"},
      {{"sample", file, "--rows", "1:1"}, "holds no row"},
      {{"sample", file, "--rows", ":0"}, "holds no row"},
      {{"sample", file, "--rows", "-1"}, "'-1'"},
      {{"sample", file, "--rows", "1:2:3"}, "'1:2:3'"},
      {{"sample", file, "--rows", "9223372036854775807"}, "--rows"},
      {{"sample", file, "--draws", "0"}, "'0'"},
      {{"sample", file, "--draws", "2147483648"}, "'2147483648'"},
      {{"sample", file, "--algorithm", "fast"}, "auto|candidates|refine|reference|rejection"},
      {{"sample", file, "--backend", "metal"}, "auto|cpu|cuda|hip"},
      {{"sample", file, "--backend", "cpu", "--device", "1"}, "INVALID_DEVICE"},
      {{"sample", file, "--device", "-1"}, "'-1'"},
      {{"sample", file, "--on-gpu-failure", "panic"}, "error|use-cpu"},
      {{"sample", file, "--threads", "257"}, "'257'"},
      {{"sample", file, "--threads", "-1"}, "'-1'"},
      {{"sample", file, "--cpu-target", "AVX9"}, "INVALID_CPU_TARGET"},
      {{"sample", file, "--gpu-way", "fast"}, "auto|block|small-block|split|cluster"},
      {{"sample", file, "--format", "xml"}, "table|json|csv"},
      {{"sample", file, "--dtype", "f64"}, "f32|f16|bf16"},
      {{"info", "--format", "csv"}, "text|json"},
      {{"plan"}, "--vocab"},
      {{"plan", "--vocab", "0"}, "'0'"},
      {{"plan", "--vocab", "2097153"}, "'2097153'"},
      {{"plan", "--vocab", "10", "--batch", "0"}, "'0'"},
      {{"plan", "--vocab", "10", "--device", "h100"}, "'h100'"},
      {{"plan", "--vocab", "10", "--backend", "cpu", "--device", "1"}, "INVALID_DEVICE"},
      {{"plan", "--vocab", "10", "--compute-units", "8"}, "--backend cuda"},
      {{"plan", "--vocab", "10", "--device-target", "sm_90"}, "--backend cuda"},
      {{"plan", "--vocab", "10", "--backend", "cuda", "--device-target", "sm_90"}, "compute_units"},
      {{"plan", "--vocab", "10", "--backend", "hip", "--device-target", "gfx9999"}, "compute_units"},
      {{"plan", "--vocab", "10", "--backend", "hip", "--compute-units", "8", "--wave-width", "48"}, "INVALID_DEVICE"},
      {{"plan", "--vocab", "10", "--backend", "cuda", "--compute-units", "8", "--device", "0"}, "--device"},
      {{"plan", "--vocab", "10", "--temperature", "-1"}, "INVALID_TEMPERATURE"},
      {{"check", "--case", "no/such/case"}, "'no/such/case' is no case"},
      {{"check", "--case", "distribution/none"}, "no case"},
      {{"check", "--filter", "no such text"}, "no case"},
      {{"check", "--against", "hearsay"}, "reference|engine"},
      {{"check", "--draws", "0"}, "'0'"},
      {{"check", "--backend", "cuda", "--algorithm", "reference"}, "runs on the cpu only"},
      {{"check", "--case", "a", "--filter", "b"}, "--case"},
      {{"bench", "--data", "fake"}, "fake"},
      {{"bench", "--time", "0"}, "--time"},
      {{"bench", "--time", "nan"}, "--time"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(failed_with(run_tokendraw(c.arguments), 2, c.text)) << testing::PrintToString(c.arguments);
  }
}

TEST(Errors, UnusableFilesAreExitCode3) {
  const std::string u16 = write_file("u16.npy", npy("<u2", "(2,)", std::string(4, '\0')));
  const std::string good = small_file();
  const std::string folder = std::filesystem::temp_directory_path().string();
  struct {
    Arguments arguments;
    const char* text;
  } const cases[] = {
      {{"sample", "/no/such/file.npy"}, "/no/such/file.npy: No such file or directory"},
      {{"sample", folder}, "is a directory"},
      {{"sample", u16}, "uint16: say --dtype bf16"},
      {{"sample", u16, "--dtype", "f16"}, "uint16: say --dtype bf16"},
      {{"sample", good, "--dtype", "bf16"}, "--dtype bf16 does not fit: the file holds float32"},
      {{"sample", write_file("cut.npy", npy_f32("(2, 3)", {1.0f, 2.0f}))}, "truncated"},
      {{"sample", write_file("wide.npy", npy_f32("(2097153,)", std::vector<float>(2097153)))}, "larger than 2097152"},
      {{"sample", write_file("not.npy", "PK")}, "not.npy: not a .npy file"},
      {{"sample", "-"}, "standard input: the file is empty"},
      {{"sample", good, "--tokens", "/no/such/tokens"}, "/no/such/tokens: No such file or directory"},
      {{"sample", good, "--tokens", write_file("bad.json", "{")}, "bad.json: not valid JSON"},
      {{"bench", "/no/such/file.npy", "--time", "0.001"}, "/no/such/file.npy"},
  };
  for (const auto& c : cases) {
    EXPECT_TRUE(failed_with(run_tokendraw(c.arguments), 3, c.text)) << testing::PrintToString(c.arguments);
  }
}

TEST(Errors, TheLibrarysFailuresAreExitCode4) {
  const nlohmann::json info = nlohmann::json::parse(run_tokendraw({"info", "--format", "json"}).out);
  for (const nlohmann::json& backend : info["backends"]) {
    if (backend["available"]) continue;
    const std::string name = backend["name"];
    EXPECT_TRUE(failed_with(run_tokendraw({"sample", small_file(), "--backend", name}), 4,
                            backend["reason"].get<std::string>()));
  }
}

TEST(Errors, AReaderThatLeavesIsNoError) {
  // `head` reads one line of some megabytes.
  const Finished finished = run_shell("{ \"$TOKENDRAW\" sample " + small_file() +
                                      " --draws 100000; echo \"code $?\" >&2; } | head -n 1 >/dev/null");
  EXPECT_EQ(finished.err, "code 0\n");
}

TEST(Errors, AFullDiskIsExitCode6) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "this system has no /dev/full";
  const Finished finished = run_shell("\"$TOKENDRAW\" info >/dev/full");
  EXPECT_TRUE(failed_with(finished, 6, "standard output: No space left on device"));
}

// A name that holds control characters stays one line.
TEST(Errors, StayOneLine) {
  EXPECT_TRUE(failed_with(run_tokendraw({"sample", "no\nsuch\x1b[31m"}), 3, "no such [31m"));
}

}  // namespace
}  // namespace tokendraw::cli_test
