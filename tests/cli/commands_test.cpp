// SPDX-License-Identifier: Apache-2.0
// `tokendraw info`, `plan`, `check` and `bench` by their real output.
#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <set>

#include "program.h"

namespace tokendraw::cli_test {
namespace {

using nlohmann::json;

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

json json_of(const std::vector<std::string>& arguments) {
  const Finished finished = run_tokendraw(arguments);
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_EQ(finished.err, "");
  return json::parse(finished.out);
}

TEST(Program, HelpAndVersion) {
  const Finished help = run_tokendraw({"--help"});
  EXPECT_EQ(help.exit_code, 0);
  for (const char* part :
       {"sample", "info", "plan", "check", "bench", "softmax", "prefix-sum", "random", "filter", "Exit codes:"}) {
    EXPECT_TRUE(contains(help.out, part)) << part;
  }
  const Finished sample = run_tokendraw({"sample", "--help"});
  EXPECT_EQ(sample.exit_code, 0);
  for (const char* option :
       {"--dtype",  "--temperature",    "--top-k",   "--top-p",      "--min-p",  "--top-p-base", "--seed",
        "--stream", "--offset",         "--random",  "--rows",       "--draws",  "--algorithm",  "--backend",
        "--device", "--on-gpu-failure", "--threads", "--cpu-target", "--format", "--tokens",     "--strict"}) {
    EXPECT_TRUE(contains(sample.out, option)) << option;
  }
  EXPECT_EQ(run_tokendraw({"--version"}).out, std::string("tokendraw ") + tokendraw_version_string() + "\n");
}

TEST(Info, TellsWhatTheLibraryTells) {
  const json info = json_of({"info", "--format", "json"});
  EXPECT_EQ(info["version"], tokendraw_version_string());
  ASSERT_EQ(info["backends"].size(), static_cast<size_t>(tokendraw_get_backend_count()));
  EXPECT_EQ(info["backends"][0]["name"], "cpu");
  EXPECT_EQ(info["backends"][0]["available"], true);
  EXPECT_EQ(info["backends"][0]["devices"].size(), 1u);
  std::vector<std::string> targets;
  for (int32_t i = 0; const char* name = tokendraw_get_cpu_target_name(i); ++i) targets.emplace_back(name);
  EXPECT_EQ(info["cpu_targets"], targets);
  EXPECT_EQ(info["struct_bytes"]["batch"], sizeof(TokendrawBatch));

  const Finished text = run_tokendraw({"info"});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_TRUE(text.out.starts_with(std::string("tokendraw ") + tokendraw_version_string() + "\n"));
  EXPECT_TRUE(contains(text.out, "backend cpu: available"));
  EXPECT_TRUE(contains(text.out, "SIMD target: " + targets.front()));
}

TEST(Plan, DescribesABatchWithoutLogits) {
  const std::vector<std::string> arguments = {"plan",    "--vocab",   "128256",  "--batch", "64",
                                              "--dtype", "bf16",      "--top-k", "50",      "--threads",
                                              "2",       "--backend", "cpu"};
  const Finished text = run_tokendraw(arguments);
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_TRUE(contains(text.out, "backend: cpu\n"));
  EXPECT_TRUE(contains(text.out, "algorithm: "));
  std::vector<std::string> as_json = arguments;
  as_json.insert(as_json.end(), {"--format", "json"});
  const json plan = json_of(as_json);
  EXPECT_EQ(plan["vocab"], "128256");
  EXPECT_EQ(plan["rows"], "64");
  EXPECT_EQ(plan["dtype"], "bf16");
  // The same facts, in the same order, in both forms.
  EXPECT_EQ(plan.size(), lines_of(text.out).size());
  for (const auto& [key, value] : plan.items()) {
    EXPECT_TRUE(contains(text.out, key + ": " + value.get<std::string>() + "\n")) << key;
  }
}

TEST(Plan, TheAlgorithmAskedForIsTheOnePlanned) {
  for (const char* algorithm : {"candidates", "refine", "reference", "rejection"}) {
    EXPECT_EQ(json_of({"plan", "--vocab", "1000", "--algorithm", algorithm, "--format", "json"})["algorithm"],
              algorithm);
  }
  EXPECT_EQ(json_of({"plan", "--vocab", "1000", "--backend", "cpu", "--format", "json"})["backend"], "cpu");
}

// A GPU that need not be here: its plan is a function of the facts given.
TEST(Plan, TakesTheFactsOfAGpu) {
  const std::vector<std::string> arguments = {
      "plan", "--vocab",         "128256", "--batch",  "32",  "--backend", "cuda", "--compute-units",
      "132",  "--device-target", "sm_90",  "--format", "json"};
  const json plan = json_of(arguments);
  EXPECT_EQ(plan["backend"], "cuda");
  EXPECT_EQ(plan["target"], "sm_90");
  EXPECT_EQ(plan["vocab"], "128256");
  EXPECT_EQ(std::string(plan["blocks"]).rfind("a cluster of 8 a row", 0), 0u) << plan;
  std::vector<std::string> more = arguments;
  more[2] = "262144";
  more[4] = "64";  // so many do not find room on the chip at the same time
  EXPECT_EQ(std::string(json_of(more)["blocks"]).rfind("4 a row", 0), 0u) << json_of(more);
  std::vector<std::string> older = arguments;
  older[10] = "sm_80";  // without clusters
  EXPECT_EQ(std::string(json_of(older)["blocks"]).rfind("8 a row", 0), 0u) << json_of(older);
  std::vector<std::string> small = older;
  small[8] = "8";
  EXPECT_NE(json_of(small), json_of(older));
}

// Of AMD's architectures the numbers are known.
TEST(Plan, KnowsAmdTargets) {
  const auto plan = [](const std::string& target, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"plan", "--vocab", "128256", "--batch", "4", "--backend", "hip", "--target", target,
                               "--format", "json"});
    return json_of(more);
  };
  // As many blocks as all multiprocessors hold at once, but no more than have two lines for each warp.
  const std::pair<const char*, const char*> expected[] = {
      {"gfx90a", "32 a row"},  {"gfx942", "32 a row"},  {"gfx1030", "20 a row"},
      {"gfx1100", "32 a row"}, {"gfx1151", "15 a row"}, {"gfx1201", "24 a row"},
  };
  for (const auto& [target, blocks] : expected) {
    const json known = plan(target);
    EXPECT_EQ(known["backend"], "hip");
    EXPECT_EQ(known["target"], target);
    EXPECT_EQ(std::string(known["blocks"]).rfind(blocks, 0), 0u) << known;
  }
  // What is given counts more than what is known.
  EXPECT_EQ(plan("gfx1100", {"--compute-units", "48", "--wave-width", "32"}), plan("gfx1100"));
  EXPECT_NE(plan("gfx1100", {"--compute-units", "8"}), plan("gfx1100"));
  // A group of a short row is one line: 16 bytes for each lane of a wave.
  const auto chunk = [](const char* target) {
    return json_of({"plan", "--vocab", "1000", "--backend", "hip", "--target", target, "--format", "json"})["chunk"];
  };
  EXPECT_EQ(chunk("gfx942"), "256 logits, 4 a row");
  EXPECT_EQ(chunk("gfx1100"), "128 logits, 8 a row");
}

TEST(Plan, RejectionOnAGpuNeedsNoWorkspaceButForLists) {
  for (const char* batch : {"1", "64", "1000"}) {
    const std::vector<std::string> arguments = {
        "plan", "--vocab",         "128256", "--batch",     batch,       "--backend", "cuda", "--compute-units",
        "132",  "--device-target", "sm_90",  "--algorithm", "rejection", "--format",  "json"};
    const json plan = json_of(arguments);
    EXPECT_EQ(plan["algorithm"], "rejection");
    EXPECT_EQ(plan["way"], "block (one block reads a row, once more in every round)");
    EXPECT_EQ(plan["blocks"], "1 a row, 512 threads each");
    EXPECT_EQ(plan["launches"], "1");
    EXPECT_EQ(plan["workspace"], "0 bytes");
    std::vector<std::string> lists = arguments;
    lists.emplace_back("--history");
    EXPECT_EQ(json_of(lists)["launches"], "3");
    EXPECT_NE(json_of(lists)["workspace"], "0 bytes");
  }
}

TEST(Plan, TakesMasksBiasesAndHistories) {
  const std::vector<std::string> plain = {"plan", "--vocab", "1000", "--batch", "3"};
  for (const std::vector<std::string>& more :
       {std::vector<std::string>{"--mask"},
        {"--bias", "dense"},
        {"--bias", "sparse"},
        {"--history"},
        {"--mask", "--bias", "sparse", "--history", "--top-p", "0.9", "--min-p", "0.1"}}) {
    std::vector<std::string> arguments = plain;
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Finished finished = run_tokendraw(arguments);
    EXPECT_EQ(finished.exit_code, 0) << finished.err;
    EXPECT_NE(finished.out, run_tokendraw(plain).out) << testing::PrintToString(more);  // edited logits show
  }
}

TEST(Check, ListsItsCases) {
  const std::vector<std::string> all = lines_of(run_tokendraw({"check", "--list"}).out);
  const std::vector<std::string> quick = lines_of(run_tokendraw({"check", "--list", "--quick"}).out);
  EXPECT_GT(all.size(), 15000u);
  EXPECT_GT(quick.size(), all.size() / 40);
  EXPECT_LT(quick.size(), all.size() / 10);
  EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
  for (const std::string& line : lines_of(run_tokendraw({"check", "--list", "--filter", "f16/stairs"}).out)) {
    EXPECT_TRUE(contains(line, "f16/stairs")) << line;
  }
}

TEST(Check, OneCaseOnEveryPath) {
  const std::string id = "1025/bf16/normal5/edges/everything/misaligned/seeds/after-all";
  const Finished finished = run_tokendraw({"check", "--case", id});
  EXPECT_EQ(finished.exit_code, 0) << finished.out << finished.err;
  EXPECT_TRUE(contains(finished.out, "1 cases, 24 rows, ")) << finished.out;
  EXPECT_TRUE(contains(finished.out, "all agree"));
  EXPECT_EQ(finished.err, "");  // no progress bar, since this is no terminal
  // Another seed is another case, and one path does fewer comparisons.
  const Finished one = run_tokendraw(
      {"check", "--case", id + "/7", "--algorithm", "refine", "--cpu-target", last_cpu_target(), "--threads", "1"});
  EXPECT_EQ(one.exit_code, 0);
  EXPECT_TRUE(contains(one.out, "1 cases, 24 rows, 48 comparisons: all agree")) << one.out;
}

TEST(Check, ADistributionTest) {
  const Finished finished = run_tokendraw({"check", "--quick", "--case", "distribution/top-k-top-p/refine"});
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_TRUE(contains(finished.out, "32768 draws each"));
  EXPECT_TRUE(contains(finished.out, "1 tests, smallest p = ")) << finished.out;
}

TEST(Bench, MeasuresWhatIsAskedFor) {
  const json report = json_of({"bench", "--vocab", "5000", "--data", "normal1,equal", "--dtypes", "f16", "--filters",
                               "top-k,greedy", "--time", "0.001", "--format", "json"});
  ASSERT_EQ(report["cells"].size(), 4u);
  for (const json& cell : report["cells"]) {
    EXPECT_EQ(cell["vocab"], 5000);
    EXPECT_EQ(cell["dtype"], "f16");
    EXPECT_GE(cell["passes"], 7);
    for (const char* figure : {"us_per_row", "one_read_us", "usual_way_us", "ratio_to_read", "times_faster"}) {
      EXPECT_GT(cell[figure].get<double>(), 0.0) << figure;
    }
  }
  EXPECT_EQ(report["cells"][0]["rows"], "normal1");
  EXPECT_EQ(report["cells"][0]["filter"], "top-k");
  EXPECT_EQ(report["cells"][3]["rows"], "equal");
  EXPECT_EQ(report["cells"][3]["filter"], "greedy");

  // A list ends before the file.
  const Finished text = run_tokendraw({"bench", "--filters", "top-k+top-p", "--dtypes", "bf16", "--time", "0.001",
                                       "--data", "real", data_path("real_logits_128256_bf16.npy")});
  EXPECT_EQ(text.exit_code, 0);
  EXPECT_TRUE(contains(text.out, "real         128256 bf16  top-k+top-p")) << text.out;
  EXPECT_EQ(text.err, "");
}

// Goals are judged on what was measured, whether they are met on a busy machine or not.
TEST(Bench, JudgesGoals) {
  const Finished finished =
      run_tokendraw({"bench", data_path("real_logits_128256_bf16.npy"), "--data", "real,normal1", "--dtypes", "bf16",
                     "--filters", "top-k+top-p", "--time", "0.001", "--goals", "--format", "json"});
  const json report = json::parse(finished.out);
  bool met = true;
  std::set<std::string> names;
  for (const json& goal : report["goals"]) {
    const bool at_most = goal.contains("at_most");
    const double measured = goal["measured"];
    EXPECT_EQ(goal["met"], at_most ? measured <= goal["at_most"] : measured >= goal["at_least"]);
    met = met && goal["met"];
    names.insert(goal["name"]);
  }
  EXPECT_EQ(finished.exit_code, met ? 0 : 5);
  EXPECT_TRUE(names.contains("real bf16 top-k+top-p, times one read"));
  EXPECT_TRUE(names.contains("real bf16 top-k+top-p, times faster than sorting"));
  EXPECT_TRUE(names.contains("normal1 bf16 top-k+top-p, times one read"));
  EXPECT_TRUE(names.contains("real bf16 top-k+top-p, 2 rows a call, two threads"));
}

TEST(Bench, GoalsNeedRealLogits) {
  const Finished finished = run_shell("cd / && \"$TOKENDRAW\" bench --goals");
  EXPECT_TRUE(failed_with(finished, 3, "name a file"));
}

}  // namespace
}  // namespace tokendraw::cli_test
