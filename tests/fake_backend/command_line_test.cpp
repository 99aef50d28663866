// SPDX-License-Identifier: Apache-2.0
// The command line on a machine whose GPU is the fake one.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "cli/npy_file.h"
#include "cli/program.h"

namespace tokendraw::cli_test {
namespace {

Finished run_with_fault(const std::string& fault, const std::vector<std::string>& arguments) {
  return run_tokendraw(arguments, "", {{"TOKENDRAW_FAKE_FAULT", fault}});
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

TEST(GpuCommands, InfoListsEveryDevice) {
  const Finished text = run_tokendraw({"info"});
  EXPECT_TRUE(contains(text.out, "backend cuda: available, devices: 2\n")) << text.out;
  EXPECT_TRUE(contains(text.out, "  device 1: Fake device 1\n    architecture: sm_00\n    compute units: 7\n"));
  EXPECT_TRUE(contains(text.out, "backend hip: available, devices: 2\n"));
  const std::vector<nlohmann::json> info = json_lines(run_tokendraw({"info", "--format", "json"}));
  EXPECT_EQ(info.at(0)["backends"][1]["devices"][1]["target"], "sm_00");
  EXPECT_EQ(info.at(0)["backends"][2]["devices"][0]["simd_width_f32"], 64);
}

TEST(GpuCommands, InfoSurvivesADeviceOrDriverThatDoesNotAnswer) {
  const Finished device = run_with_fault("describe", {"info"});
  EXPECT_EQ(device.exit_code, 0);
  EXPECT_TRUE(contains(device.out, "device 1: does not answer: cuda device 1: describing the device failed"))
      << device.out;
  const auto json = json_lines(run_with_fault("describe", {"info", "--format", "json"}));
  EXPECT_EQ(json.at(0)["backends"][1]["devices"][0]["failure"], "cuda device 0: describing the device failed");
  const Finished driver = run_with_fault("no-driver", {"info"});
  EXPECT_TRUE(contains(driver.out, "backend cuda: not available: the driver failed\n")) << driver.out;
}

TEST(GpuCommands, SampleDrawsTheSameTokensEverywhere) {
  const std::string file = write_file("gpu.npy", npy_f32("(2, 4)", {1, 2, 3, 4, 4, 3, 2, 1}));
  const std::vector<std::string> plain = {"sample", file, "--draws", "50", "--top-k", "3", "--format", "json"};
  const auto with = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = plain;
    arguments.insert(arguments.end(), more.begin(), more.end());
    return arguments;
  };
  const Finished cpu = run_tokendraw(with({"--backend", "cpu"}));
  ASSERT_EQ(cpu.exit_code, 0) << cpu.err;
  EXPECT_EQ(run_tokendraw(plain).out, cpu.out);
  EXPECT_EQ(run_tokendraw(with({"--backend", "cuda", "--device", "1"})).out, cpu.out);
  EXPECT_EQ(run_tokendraw(with({"--backend", "hip", "--algorithm", "refine"})).out, cpu.out);
  // The fake GPU does draw: its mistakes show.
  EXPECT_NE(run_with_fault("token", with({"--backend", "cuda"})).out, cpu.out);

  EXPECT_TRUE(failed_with(run_with_fault("run", with({"--backend", "cuda"})), 4, "sampling: cuda: the launch failed"));
  EXPECT_TRUE(failed_with(run_with_fault("no-driver", with({"--backend", "cuda"})), 4, "cuda: the driver failed"));
  EXPECT_TRUE(failed_with(run_tokendraw(with({"--backend", "cuda", "--device", "2"})), 2, "devices 0 to 1"));
  EXPECT_TRUE(failed_with(run_tokendraw(with({"--backend", "cuda", "--algorithm", "reference"})), 4,
                          "algorithm reference runs on the cpu only"));
  const std::vector<std::string> by_rejection = with({"--backend", "cpu", "--algorithm", "rejection"});
  EXPECT_EQ(run_tokendraw(with({"--backend", "cuda", "--algorithm", "rejection"})).out,
            run_tokendraw(by_rejection).out);
  EXPECT_EQ(run_tokendraw(with({"--algorithm", "rejection"})).out, run_tokendraw(by_rejection).out);

  const Finished answered = run_with_fault("run", with({"--backend", "cuda", "--on-gpu-failure", "use-cpu"}));
  EXPECT_EQ(answered.exit_code, 0);
  EXPECT_EQ(answered.out, cpu.out);
  EXPECT_EQ(answered.err, "tokendraw: note: sampling: cuda: the launch failed; the cpu answered\n");
  const Finished served = run_with_fault("no-driver", with({"--backend", "cuda", "--on-gpu-failure", "use-cpu"}));
  EXPECT_EQ(served.out, cpu.out);
  EXPECT_EQ(served.err, "tokendraw: note: creating the sampler: cuda: the driver failed; the cpu serves\n");
}

TEST(GpuCommands, PlanIsTheDevices) {
  EXPECT_TRUE(contains(run_tokendraw({"plan", "--vocab", "1000"}).out, "backend: cuda\ntarget: sm_00\n"));
  EXPECT_TRUE(contains(run_tokendraw({"plan", "--vocab", "1000", "--backend", "cpu"}).out, "backend: cpu\n"));
  // The same facts, once of the device that is there and once imagined.
  const Finished there = run_tokendraw({"plan", "--vocab", "70000", "--batch", "3", "--backend", "hip"});
  const Finished imagined = run_tokendraw({"plan", "--vocab", "70000", "--batch", "3", "--backend", "hip",
                                           "--compute-units", "7", "--device-target", "gfx000"});
  EXPECT_EQ(there.exit_code, 0);
  EXPECT_EQ(there.out, imagined.out);
}

TEST(GpuCommands, CheckComparesEveryDevice) {
  for (const char* against : {"reference", "engine"}) {
    const Finished finished = run_tokendraw({"check", "--backend", "cuda", "--quick", "--max-vocab", "64", "--filter",
                                             "after-top-k", "--against", against});
    EXPECT_EQ(finished.exit_code, 0) << finished.out << finished.err;
    EXPECT_TRUE(contains(finished.out, "algorithms: candidates refine auto rejection\n")) << finished.out;
    EXPECT_TRUE(contains(finished.out, "cuda device 0: Fake device 0, sm_00\n  cuda device 1: Fake device 1"));
    EXPECT_TRUE(contains(finished.out, "all agree\n"));
  }
}

TEST(GpuCommands, CheckGoesOnUntilEnoughDrawsWereCompared) {
  const Finished finished = run_tokendraw({"check", "--backend", "hip", "--device", "1", "--quick", "--max-vocab", "7",
                                           "--filter", "after-top-k", "--against", "engine", "--draws", "30000"});
  EXPECT_EQ(finished.exit_code, 0) << finished.out << finished.err;
  const size_t end = finished.out.find(" comparisons: all agree");
  ASSERT_NE(end, std::string::npos) << finished.out;
  const size_t begin = finished.out.rfind(' ', end - 1) + 1;
  const int64_t compared = std::stoll(finished.out.substr(begin, end - begin));
  EXPECT_GE(compared, 30000);
  EXPECT_LT(compared, 31000);
}

TEST(GpuCommands, CheckFindsAndReproducesADifference) {
  const Finished finished = run_with_fault(
      "token", {"check", "--backend", "cuda", "--case", "257/f32/normal1/scalar/plain/packed/seed/after-top-k"});
  EXPECT_EQ(finished.exit_code, 5) << finished.out;
  EXPECT_TRUE(contains(finished.out, "refine on cuda device 1: token"));
  EXPECT_TRUE(contains(finished.out,
                       "reproduce: tokendraw check --case 257/f32/normal1/scalar/plain/packed/seed/after-top-k "
                       "--backend cuda --device 0 --algorithm candidates\n"))
      << finished.out;
  EXPECT_TRUE(failed_with(run_with_fault("no-driver", {"check", "--backend", "cuda"}), 4, "cuda: the driver failed"));
}

}  // namespace
}  // namespace tokendraw::cli_test
