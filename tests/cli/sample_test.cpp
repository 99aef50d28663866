// SPDX-License-Identifier: Apache-2.0
// `tokendraw sample` by its real output.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "npy_file.h"
#include "program.h"

namespace tokendraw::cli_test {
namespace {

using nlohmann::json;
using Arguments = std::vector<std::string>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

std::string real_logits() { return data_path("real_logits_128256_bf16.npy"); }

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Rows and draws with their tokens, as text, to compare whole runs.
std::vector<std::string> tokens_of(const std::vector<json>& lines) {
  std::vector<std::string> tokens;
  for (const json& line : lines) {
    tokens.push_back(line["row"].dump() + " " + line["draw"].dump() + " " + line["token"].dump());
  }
  return tokens;
}

std::vector<json> sample_json(const Arguments& arguments, const std::string& input = "") {
  return json_lines(run_tokendraw(Arguments{"sample"} + arguments + Arguments{"--format", "json"}, input));
}

std::vector<json> sample_real(const Arguments& arguments) {
  return sample_json(Arguments{real_logits(), "--dtype", "bf16"} + arguments);
}

// Four equal logits: a random number says which token, by hand.
std::string equal_logits() { return write_file("equal.npy", npy_f32("(4,)", {1.5f, 1.5f, 1.5f, 1.5f})); }

TEST(Sample, GreedyTokensAreTheArgmaxOfTheModel) {
  const json facts = json::parse(read_file(data_path("real_logits_128256.json")));
  const std::vector<json> lines = sample_real({"--temperature", "0"});
  ASSERT_EQ(lines.size(), facts.size());
  for (size_t row = 0; row < lines.size(); ++row) EXPECT_EQ(lines[row]["token"], facts[row]["argmax"]) << row;
}

TEST(Sample, JsonHasEveryField) {
  const std::vector<json> lines = sample_json({equal_logits(), "--random", "0.5"});
  ASSERT_EQ(lines.size(), 1u);
  const json expected = json::parse(R"({"row": 0, "draw": 0, "token": 2, "status": [], "kept": 4,
                                        "kept_mass": "17592186044416", "logprob": -1.3862944})");
  EXPECT_EQ(lines[0], expected);
  // The order of the fields and the digits of the log-probability are part of the form.
  EXPECT_EQ(run_tokendraw({"sample", equal_logits(), "--random", "0.5", "--format", "json"}).out,
            "{\"row\":0,\"draw\":0,\"token\":2,\"status\":[],\"kept\":4,\"kept_mass\":\"17592186044416\","
            "\"logprob\":-1.3862944}\n");
}

TEST(Sample, CsvHasAHeader) {
  EXPECT_EQ(run_tokendraw({"sample", equal_logits(), "--random", "0.5", "--format", "csv"}).out,
            "row,draw,token,status,kept,kept_mass,logprob\n0,0,2,,4,17592186044416,-1.3862944\n");
}

TEST(Sample, TableShowsShareAndRank) {
  const Finished finished = run_tokendraw({"sample", equal_logits(), "--random", "0.5"});
  const std::vector<std::string> lines = lines_of(finished.out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "row  draw  token   rank      share   kept     logprob  status");
  EXPECT_EQ(lines[1], "  0     0      2      2   25.000 %      4   -1.386294  ok");
}

TEST(Sample, RejectionTellsItsRounds) {
  const Arguments arguments = {"sample", equal_logits(), "--algorithm", "rejection", "--top-k", "1"};
  const std::vector<json> objects = json_lines(run_tokendraw(arguments + Arguments{"--format", "json"}));
  ASSERT_EQ(objects.size(), 1u);
  EXPECT_EQ(objects[0]["token"], 0);
  const auto rounds = objects[0]["rounds"].get<int64_t>();
  EXPECT_GE(rounds, 1);
  EXPECT_LE(rounds, 65);
  EXPECT_EQ(run_tokendraw(arguments + Arguments{"--format", "csv"}).out,
            "row,draw,token,status,kept,kept_mass,logprob,rounds\n0,0,0,,1,4398046511104,-1.3862944," +
                std::to_string(rounds) + "\n");
  const std::vector<std::string> lines = lines_of(run_tokendraw(arguments).out);
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], "row  draw  token   rank      share   kept     logprob  rounds  status");
  EXPECT_EQ(lines[1], "  0     0      0      0  100.000 %      1   -1.386294       " + std::to_string(rounds) + "  ok");
  EXPECT_EQ(json_lines(run_tokendraw(arguments + Arguments{"--temperature", "0", "--format", "json"}))[0]["rounds"], 0);
}

TEST(Sample, ShareIsOfTheKeptMass) {
  // With T = log2(e) a logit one lower weighs half: 1/2 and 1/4 are kept, and share 2/3 and 1/3.
  const std::string file = write_file("halves.npy", npy_f32("(4,)", {-2.0f, -1.0f, 0.0f, -2.0f}));
  const Finished finished =
      run_tokendraw({"sample", file, "--temperature", "1.442695021629333", "--top-p", "0.75", "--random", "0"});
  ASSERT_EQ(lines_of(finished.out).size(), 2u);
  EXPECT_EQ(lines_of(finished.out)[1], "  0     0      1      1   33.333 %      2   -1.386294  ok");
}

TEST(Sample, AllFormatsTellTheSame) {
  const Arguments arguments = {"sample", real_logits(), "--dtype", "bf16", "--top-k", "50", "--draws", "3"};
  const std::vector<json> objects = json_lines(run_tokendraw(arguments + Arguments{"--format", "json"}));
  const std::vector<std::string> csv = lines_of(run_tokendraw(arguments + Arguments{"--format", "csv"}).out);
  const std::vector<std::string> table = lines_of(run_tokendraw(arguments).out);
  ASSERT_EQ(objects.size(), 72u);
  ASSERT_EQ(csv.size(), 73u);
  ASSERT_EQ(table.size(), 73u);
  for (size_t i = 0; i < objects.size(); ++i) {
    const json& o = objects[i];
    EXPECT_EQ(csv[i + 1], o["row"].dump() + "," + o["draw"].dump() + "," + o["token"].dump() + ",," + o["kept"].dump() +
                              "," + o["kept_mass"].get<std::string>() + "," + o["logprob"].dump());
    std::istringstream words(table[i + 1]);
    int64_t row = -1, draw = -1, token = -1;
    words >> row >> draw >> token;
    EXPECT_EQ(row, o["row"]);
    EXPECT_EQ(draw, o["draw"]);
    EXPECT_EQ(token, o["token"]);
  }
}

TEST(Sample, ANumberHandedInChoosesTheToken) {
  const auto token = [](const std::string& number) {
    return sample_json({equal_logits(), "--random", number}).at(0)["token"].get<int>();
  };
  EXPECT_EQ(token("0"), 0);
  EXPECT_EQ(token("0.0"), 0);
  EXPECT_EQ(token("1"), 0);  // an integer is one of 2^64, not a share
  EXPECT_EQ(token("0.25"), 1);
  EXPECT_EQ(token("0x4000000000000000"), 1);
  EXPECT_EQ(token("0x3fffffffffffffff"), 0);
  EXPECT_EQ(token("9223372036854775808"), 2);
  EXPECT_EQ(token("1e-3"), 0);
  EXPECT_EQ(token("0.99999994"), 3);
  EXPECT_EQ(token("18446744073709551615"), 3);
}

TEST(Sample, SelectingRowsChangesNoToken) {
  const std::vector<std::string> all = tokens_of(sample_real({"--draws", "4"}));
  ASSERT_EQ(all.size(), 96u);
  const auto part = [&](size_t begin, size_t end) {
    return std::vector<std::string>(all.begin() + static_cast<std::ptrdiff_t>(4 * begin),
                                    all.begin() + static_cast<std::ptrdiff_t>(4 * end));
  };
  EXPECT_EQ(tokens_of(sample_real({"--draws", "4", "--rows", "5:9"})), part(5, 9));
  EXPECT_EQ(tokens_of(sample_real({"--draws", "4", "--rows", "20:"})), part(20, 24));
  EXPECT_EQ(tokens_of(sample_real({"--draws", "4", "--rows", ":2"})), part(0, 2));
  EXPECT_EQ(tokens_of(sample_real({"--draws", "4", "--rows", "17"})), part(17, 18));
}

TEST(Sample, DrawJAddsJToTheOffset) {
  const std::vector<json> draws = sample_real({"--draws", "3", "--rows", "6:8", "--offset", "100"});
  ASSERT_EQ(draws.size(), 6u);
  for (int j = 0; j < 3; ++j) {
    const std::vector<json> single = sample_real({"--rows", "6:8", "--offset", std::to_string(100 + j)});
    EXPECT_EQ(single.at(0)["token"], draws[static_cast<size_t>(j)]["token"]);
    EXPECT_EQ(single.at(1)["token"], draws[static_cast<size_t>(j) + 3]["token"]);
    EXPECT_EQ(draws[static_cast<size_t>(j)]["draw"], j);
  }
}

TEST(Sample, TheStreamIsTheRowNumber) {
  for (const char* row : {"0", "11"}) {
    EXPECT_EQ(sample_real({"--rows", row, "--draws", "5"}),
              sample_real({"--rows", row, "--draws", "5", "--stream", row}));
  }
  EXPECT_NE(tokens_of(sample_real({"--rows", "0", "--draws", "9"})),
            tokens_of(sample_real({"--rows", "0", "--draws", "9", "--stream", "7"})));
}

TEST(Sample, SeedsAreDecimalOrHexadecimal) {
  EXPECT_EQ(sample_real({"--seed", "255"}), sample_real({"--seed", "0xff"}));
  EXPECT_EQ(sample_real({}), sample_real({"--seed", "0"}));
  EXPECT_NE(tokens_of(sample_real({"--seed", "1"})), tokens_of(sample_real({"--seed", "2"})));
  // Both halves of the seed count.
  EXPECT_NE(tokens_of(sample_real({"--seed", "1"})), tokens_of(sample_real({"--seed", "0x100000001"})));
}

TEST(Sample, NeitherThreadsNorAlgorithmNorTargetChangeATokenOrAMass) {
  const Arguments filters = {"--top-k", "40", "--top-p", "0.9", "--draws", "2"};
  const auto expected = sample_real(filters + Arguments{"--algorithm", "reference"});
  for (const Arguments& path : {Arguments{},
                                {"--algorithm", "candidates", "--threads", "1"},
                                {"--algorithm", "refine", "--threads", "7"},
                                {"--cpu-target", last_cpu_target()}}) {
    const auto lines = sample_real(filters + path);
    EXPECT_EQ(tokens_of(lines), tokens_of(expected));
    for (size_t i = 0; i < lines.size(); ++i) EXPECT_EQ(lines[i]["kept_mass"], expected[i]["kept_mass"]);
  }
}

TEST(Sample, ManyDrawsGoOverSeveralCalls) {
  const std::vector<json> lines = sample_json({equal_logits(), "--draws", "10001"});
  ASSERT_EQ(lines.size(), 10001u);
  std::vector<int> hits(4);
  for (size_t j = 0; j < lines.size(); ++j) {
    EXPECT_EQ(lines[j]["draw"], j);
    ++hits.at(lines[j]["token"].get<size_t>());
  }
  for (const int n : hits) EXPECT_NEAR(n, 2500, 250);  // more than five standard deviations
}

TEST(Sample, ReadsEveryDtypeAndStandardInput) {
  // 1, 3, 2 in each dtype.
  const std::string f32 = npy_f32("(1, 3)", {1.0f, 3.0f, 2.0f});
  const std::string f16 = npy("<f2", "(3,)", bytes_of(std::vector<uint16_t>{0x3c00, 0x4200, 0x4000}));
  const std::string u16 = npy("<u2", "(3,)", bytes_of(std::vector<uint16_t>{0x3f80, 0x4040, 0x4000}));
  const std::string v16 = npy("|V2", "(3,)", bytes_of(std::vector<uint16_t>{0x3f80, 0x4040, 0x4000}));
  for (const auto& [file, options] :
       {std::pair{f32, Arguments{}}, std::pair{f32, Arguments{"--dtype", "f32"}}, std::pair{f16, Arguments{}},
        std::pair{f16, Arguments{"--dtype", "f16"}}, std::pair{u16, Arguments{"--dtype", "bf16"}},
        std::pair{v16, Arguments{"--dtype", "bf16"}}}) {
    const std::vector<json> lines = sample_json(Arguments{"-", "--top-p", "0.5"} + options, file);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_EQ(lines[0]["token"], 1);
    EXPECT_EQ(lines[0]["kept"], 1);
    // ln(e^3 / (e + e^2 + e^3)): the values were read as they are.
    EXPECT_NEAR(lines[0]["logprob"].get<double>(), -0.407606, 1e-6);
  }
}

TEST(Sample, StatusesAreNames) {
  const std::string file =
      write_file("statuses.npy", npy_f32("(3, 2)", {kNan, 1.0f, -kInfinity, -kInfinity, kNan, kNan}));
  const std::vector<json> lines = sample_json({file});
  ASSERT_EQ(lines.size(), 3u);
  EXPECT_EQ(lines[0]["status"], json::parse(R"(["NAN_LOGIT"])"));
  EXPECT_EQ(lines[0]["token"], 1);
  EXPECT_EQ(lines[1]["status"], json::parse(R"(["NO_CANDIDATE"])"));
  EXPECT_EQ(lines[1]["token"], -1);
  EXPECT_EQ(lines[1]["kept"], 0);
  EXPECT_EQ(lines[1]["kept_mass"], "0");
  EXPECT_TRUE(lines[1]["logprob"].is_null());
  EXPECT_EQ(lines[2]["status"], json::parse(R"(["NAN_LOGIT", "NO_CANDIDATE"])"));
  const std::vector<std::string> csv = lines_of(run_tokendraw({"sample", file, "--format", "csv"}).out);
  ASSERT_EQ(csv.size(), 4u);
  EXPECT_EQ(csv[3], "2,0,-1,NAN_LOGIT|NO_CANDIDATE,0,0,");
  const std::vector<std::string> table = lines_of(run_tokendraw({"sample", file}).out);
  ASSERT_EQ(table.size(), 4u);
  EXPECT_EQ(table[3], "  2     0     -1      -          -      0           -  NAN_LOGIT,NO_CANDIDATE");
}

TEST(Sample, StrictFailsWithoutAToken) {
  const std::string file = write_file("removed.npy", npy_f32("(2, 2)", {1.0f, 1.0f, -kInfinity, -kInfinity}));
  EXPECT_EQ(run_tokendraw({"sample", file}).exit_code, 0);
  const Finished strict = run_tokendraw({"sample", file, "--strict"});
  EXPECT_EQ(strict.exit_code, 1);
  EXPECT_EQ(lines_of(strict.out).size(), 3u);  // the table is still printed
  EXPECT_EQ(run_tokendraw({"sample", file, "--strict", "--rows", "0"}).exit_code, 0);
}

TEST(Sample, TextsStandBesideTheTokens) {
  const std::string file = write_file("two.npy", npy_f32("(2, 3)", {9.0f, 0.0f, 0.0f, 0.0f, 0.0f, 9.0f}));
  const std::string tokens = write_file("tokens.txt", " say \"hi\"\nb\n\x1b[2J\n");
  const Arguments arguments = {"sample", file, "--top-k", "1", "--tokens", tokens};
  const std::vector<std::string> table = lines_of(run_tokendraw(arguments).out);
  ASSERT_EQ(table.size(), 3u);
  EXPECT_TRUE(table[0].ends_with("  status  text"));
  EXPECT_TRUE(table[1].ends_with("  ok      \" say \\\"hi\\\"\"")) << table[1];
  EXPECT_TRUE(table[2].ends_with("  ok      \"\\x1b[2J\"")) << table[2];
  const std::vector<json> objects = json_lines(run_tokendraw(arguments + Arguments{"--format", "json"}));
  EXPECT_EQ(objects.at(0)["text"], " say \"hi\"");
  const std::vector<std::string> csv = lines_of(run_tokendraw(arguments + Arguments{"--format", "csv"}).out);
  EXPECT_TRUE(csv.at(0).ends_with(",text"));
  EXPECT_TRUE(csv.at(1).ends_with(",\" say \"\"hi\"\"\"")) << csv.at(1);

  const std::string tokenizer = write_file("tokenizer.json", R"({"decoder": {"type": "ByteLevel"},
      "model": {"vocab": {"Ġthe": 0, "Ċ": 2}}, "added_tokens": []})");
  const std::vector<std::string> decoded =
      lines_of(run_tokendraw({"sample", file, "--top-k", "1", "--tokens", tokenizer}).out);
  EXPECT_TRUE(decoded.at(1).ends_with("\" the\""));
  EXPECT_TRUE(decoded.at(2).ends_with("\"\\n\""));
}

TEST(Sample, TopPBasesDiffer) {
  const std::string file = write_file("base.npy", npy_f32("(4,)", {0.0f, -1.0f, -2.0f, -2.0f}));
  const auto kept = [&](const std::string& base) {
    return sample_json(
               {file, "--temperature", "1.442695021629333", "--top-k", "2", "--top-p", "0.6", "--top-p-base", base})
        .at(0)["kept"]
        .get<int>();
  };
  EXPECT_EQ(kept("after-top-k"), 1);  // 1/2 of 3/4 is above 0.6
  EXPECT_EQ(kept("all"), 2);          // 1/2 of 1 is below 0.6
  EXPECT_EQ(kept("after-all"), 1);
}

}  // namespace
}  // namespace tokendraw::cli_test
