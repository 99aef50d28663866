// SPDX-License-Identifier: Apache-2.0
// A check that cannot fail shows nothing: each fault planted by faulty_sampler.cpp must be found, and named so that it
// can be found again.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "program.h"

namespace tokendraw::cli_test {
namespace {

constexpr const char* kCase = "257/f32/normal1/scalar/plain/packed/seed/after-top-k";

// LD_PRELOAD separates its libraries by spaces and colons, which the path of a build folder may hold: a link without
// them.
class PreloadableLink {
 public:
  PreloadableLink() {
    std::filesystem::remove(path_);
    std::filesystem::create_symlink(TOKENDRAW_FAULTY_SAMPLER, path_);
  }
  ~PreloadableLink() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  PreloadableLink(const PreloadableLink&) = delete;
  PreloadableLink& operator=(const PreloadableLink&) = delete;
  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_ =
      std::filesystem::temp_directory_path() / ("tokendraw_faulty_sampler." + std::to_string(getpid()) + ".so");
};

Finished check_with_fault(const std::string& fault, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "check");
  const PreloadableLink link;
  return run_tokendraw(arguments, "", {{"LD_PRELOAD", link.path()}, {"TOKENDRAW_FAULT", fault}});
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(CheckFaults, WithoutAFaultItPasses) {
  const Finished finished = check_with_fault("", {"--case", kCase});
  EXPECT_EQ(finished.exit_code, 0) << finished.out;
  EXPECT_TRUE(contains(finished.out, "passed in")) << finished.out;
}

TEST(CheckFaults, FindsEveryDisagreement) {
  for (const char* fault : {"token", "mass", "status", "logprob", "logprob-everywhere", "rejection-target",
                            "rejection-kept", "rejection-rounds", "rounds", "kept-set", "place", "tokens-alone"}) {
    const Finished finished = check_with_fault(fault, {"--case", kCase});
    EXPECT_EQ(finished.exit_code, 5) << fault << "\n" << finished.out;
    EXPECT_TRUE(contains(finished.out, std::string("DIFFERENCE case ") + kCase)) << fault << "\n" << finished.out;
    EXPECT_TRUE(contains(finished.out, "FAILED in")) << fault;
  }
}

TEST(CheckFaults, TheCommandReproducesTheDifference) {
  const Finished finished = check_with_fault("token", {"--case", kCase});
  const std::string mark = "reproduce: tokendraw ";
  const size_t start = finished.out.find(mark);
  ASSERT_NE(start, std::string::npos) << finished.out;
  const std::string command =
      finished.out.substr(start + mark.size(), finished.out.find('\n', start) - start - mark.size());
  EXPECT_TRUE(contains(command, "--algorithm refine")) << command;
  EXPECT_TRUE(contains(command, "--threads 2")) << command;
  std::vector<std::string> words;
  std::istringstream stream(command);
  for (std::string word; stream >> word;) words.push_back(word);
  ASSERT_EQ(words.front(), "check");
  words.erase(words.begin());
  EXPECT_EQ(check_with_fault("token", words).exit_code, 5);
  EXPECT_EQ(check_with_fault("", words).exit_code, 0);
}

TEST(CheckFaults, FindsAWrongDistribution) {
  for (const char* fault : {"bias", "outside"}) {
    const Finished finished = check_with_fault(fault, {"--quick", "--case", "distribution/top-k-top-p/auto"});
    EXPECT_EQ(finished.exit_code, 5) << fault << "\n" << finished.out;
    EXPECT_TRUE(contains(finished.out, "DIFFERENCE distribution/top-k-top-p/auto")) << finished.out;
    EXPECT_TRUE(
        contains(finished.out, "reproduce: tokendraw check --case distribution/top-k-top-p/auto --seed 0 --quick"))
        << finished.out;
  }
}

}  // namespace
}  // namespace tokendraw::cli_test
