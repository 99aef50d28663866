// SPDX-License-Identifier: Apache-2.0
// The commands of the building blocks by their real output.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "npy_file.h"
#include "program.h"

namespace tokendraw::cli_test {
namespace {

// The data behind a .npy header, as T; the header must hold `said`.
template <typename T>
std::vector<T> npy_data(const std::string& file, const std::string& said) {
  EXPECT_EQ(file.substr(0, 6), "\x93NUMPY");
  if (file.size() < 10) return {};
  const size_t header = static_cast<unsigned char>(file[8]) + 256u * static_cast<unsigned char>(file[9]);
  EXPECT_EQ((10 + header) % 64, 0u);
  EXPECT_NE(file.substr(10, header).find(said), std::string::npos) << file.substr(10, header);
  std::vector<T> values((file.size() - 10 - header) / sizeof(T));
  std::memcpy(values.data(), file.data() + 10 + header, values.size() * sizeof(T));
  return values;
}

TEST(Softmax, WritesProbabilities) {
  const std::string logits = write_file("logits.npy", npy_f32("(2, 2)", {0.0f, std::log(3.0f), 5.0f, 5.0f}));
  const Finished plain = run_tokendraw({"softmax", logits});
  EXPECT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_EQ(plain.err, "");
  const std::vector<float> p =
      npy_data<float>(plain.out, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2), }");
  ASSERT_EQ(p.size(), 4u);
  EXPECT_NEAR(p[0], 0.25f, 1e-6f);
  EXPECT_NEAR(p[1], 0.75f, 1e-6f);
  EXPECT_EQ(p[2], 0.5f);

  const std::string out = write_file("out.npy", "");
  const Finished logs = run_tokendraw({"softmax", logits, "--log", "--temperature", "0.5", "--output-dtype", "bf16",
                                       "--out", out, "--backend", "cpu", "--threads", "2"});
  EXPECT_EQ(logs.exit_code, 0) << logs.err;
  EXPECT_EQ(logs.out, "");
  const std::vector<uint16_t> bits = npy_data<uint16_t>(read_file(out), "'<u2'");
  ASSERT_EQ(bits.size(), 4u);
  EXPECT_EQ(bits[2], 0xbf31);  // -ln 2 = -0.6931
}

TEST(Softmax, TellsOfRowsAndErrors) {
  const std::string logits = write_file("logits.npy", npy_f32("(3,)", {-INFINITY, -INFINITY, -INFINITY}));
  const Finished none = run_tokendraw({"softmax", logits});
  EXPECT_EQ(none.exit_code, 0);
  EXPECT_EQ(none.err, "tokendraw: note: row 0: NO_CANDIDATE\n");
  EXPECT_EQ(npy_data<float>(none.out, "'shape': (3,)"), std::vector<float>(3, 0.0f));
  EXPECT_TRUE(failed_with(run_tokendraw({"softmax", logits, "--temperature", "-1"}), 2, "temperature is -1"));
  EXPECT_TRUE(failed_with(run_tokendraw({"softmax", logits, "--out", "/nowhere/x.npy"}), 6, "/nowhere/x.npy"));
  EXPECT_TRUE(failed_with(run_tokendraw({"softmax", "/nowhere.npy"}), 3, "/nowhere.npy"));
}

TEST(PrefixSum, WritesSums) {
  const std::string p = write_file("p.npy", npy_f32("(2, 2)", {0.25f, 0.5f, -1.0f, 0.125f}));
  const Finished sums = run_tokendraw({"prefix-sum", p});
  EXPECT_EQ(sums.exit_code, 0) << sums.err;
  EXPECT_EQ(sums.err, "tokendraw: note: row 1: BAD_PROBABILITY\n");
  EXPECT_EQ(npy_data<float>(sums.out, "'shape': (2, 2)"), (std::vector<float>{0.25f, 0.75f, 0.0f, 0.125f}));
  const Finished before = run_tokendraw({"prefix-sum", p, "--exclusive"});
  EXPECT_EQ(npy_data<float>(before.out, "'<f4'"), (std::vector<float>{0.0f, 0.25f, 0.0f, 0.0f}));
}

TEST(Random, WritesNumbers) {
  const Finished words = run_tokendraw({"random", "--count", "4"});
  EXPECT_EQ(words.exit_code, 0) << words.err;
  EXPECT_EQ(npy_data<uint32_t>(words.out, "{'descr': '<u4', 'fortran_order': False, 'shape': (4,), }"),
            (std::vector<uint32_t>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  const Finished rows = run_tokendraw({"random", "--count", "1", "--rows", "2", "--kind", "u64", "--seed", "42",
                                       "--offset", "0", "--subsequence", "7"});
  EXPECT_EQ(npy_data<uint64_t>(rows.out, "'<u8', 'fortran_order': False, 'shape': (2, 1)"),
            (std::vector<uint64_t>(2, 0xe55410cc67ee6f2cu)));
  const Finished xorwow =
      run_tokendraw({"random", "--count", "2", "--generator", "xorwow", "--seed", "1", "--kind", "f32"});
  EXPECT_EQ(npy_data<float>(xorwow.out, "'<f4'"),
            (std::vector<float>{static_cast<float>(0xacbf08) / 0x1p24f, static_cast<float>(0xb9784e) / 0x1p24f}));
  EXPECT_TRUE(failed_with(run_tokendraw({"random"}), 2, "--count"));
  EXPECT_TRUE(failed_with(run_tokendraw({"random", "--count", "1", "--generator", "xorwow", "--subsequence", "3"}), 2,
                          "xorwow"));
}

TEST(Filter, WritesWhatIsKept) {
  const std::string logits = write_file("l.npy", npy_f32("(1, 4)", {1.0f, 3.0f, 2.0f, 3.0f}));
  const Finished masked = run_tokendraw({"filter", logits, "--top-k", "2", "--mask"});
  EXPECT_EQ(masked.exit_code, 0) << masked.err;
  EXPECT_EQ(npy_data<float>(masked.out, "'<f4', 'fortran_order': False, 'shape': (1, 4)"),
            (std::vector<float>{-INFINITY, 3.0f, -INFINITY, 3.0f}));
  const Finished shares = run_tokendraw({"filter", logits, "--top-k", "2"});
  EXPECT_EQ(npy_data<float>(shares.out, "'<f4'"), (std::vector<float>{0.0f, 0.5f, 0.0f, 0.5f}));

  const std::string p = write_file("p.npy", npy_f32("(4,)", {0.125f, 0.5f, 0.25f, 0.125f}));
  const Finished nucleus = run_tokendraw({"filter", p, "--form", "probabilities", "--top-p", "0.75"});
  const std::vector<float> kept = npy_data<float>(nucleus.out, "'shape': (4,)");
  ASSERT_EQ(kept.size(), 4u);
  EXPECT_NEAR(kept[1], 2.0f / 3.0f, 1e-6f);
  EXPECT_NEAR(kept[2], 1.0f / 3.0f, 1e-6f);
  EXPECT_EQ(kept[0] + kept[3], 0.0f);
  const Finished token = run_tokendraw({"filter", p, "--form", "probabilities", "--top-k", "1", "--tokens"});
  EXPECT_EQ(npy_data<int32_t>(token.out, "'<i4'"), std::vector<int32_t>{1});
  EXPECT_TRUE(
      failed_with(run_tokendraw({"filter", p, "--form", "probabilities", "--temperature", "2"}), 2, "temperature"));
  EXPECT_TRUE(failed_with(run_tokendraw({"filter", p, "--mask", "--tokens"}), 2, "--tokens"));
}

}  // namespace
}  // namespace tokendraw::cli_test
