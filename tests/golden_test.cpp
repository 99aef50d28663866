// SPDX-License-Identifier: Apache-2.0
// data/golden.jsonl: rows with every parameter and the answer that the contract demands, from another implementation.
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <tuple>

#include "support/data_file.h"
#include "support/oracle.h"
#include "support/samplers.h"

namespace tokendraw::test {
namespace {

struct GoldenRow {
  BatchSpec spec;  // one row
  RowResult expected;
};

TokendrawTopPBase base_of(const std::string& name) {
  if (name == "after_top_k") return TOKENDRAW_TOP_P_AFTER_TOP_K;
  if (name == "all") return TOKENDRAW_TOP_P_ALL;
  EXPECT_EQ(name, "after_all");
  return TOKENDRAW_TOP_P_AFTER_ALL;
}

uint64_t number_in(const nlohmann::json& text) { return std::stoull(text.get<std::string>()); }

GoldenRow parse_row(const std::string& line) {
  const nlohmann::json json = nlohmann::json::parse(line);
  RowSpec row;
  row.temperature = float_of(json.at("temperature_f32_bits").get<uint32_t>());
  row.top_k = json.at("top_k").get<int32_t>();
  row.top_p = float_of(json.at("top_p_f32_bits").get<uint32_t>());
  row.min_p = float_of(json.at("min_p_f32_bits").get<uint32_t>());
  row.seed = number_in(json.at("seed"));
  row.stream = json.at("stream").get<uint32_t>();
  row.offset = number_in(json.at("offset"));
  std::vector<float> logits;
  for (const nlohmann::json& bits : json.at("logits_f32_bits")) logits.push_back(float_of(bits.get<uint32_t>()));

  GoldenRow golden{single_row(std::move(logits), row), {}};
  golden.spec.top_p_base = base_of(json.at("top_p_base").get<std::string>());
  if (!json.at("random").is_null()) golden.spec.random_u64 = {number_in(json.at("random"))};

  const nlohmann::json& expect = json.at("expect");
  golden.expected.token = expect.at("token").get<int32_t>();
  if (expect.at("bad_parameter").get<bool>()) golden.expected.status |= TOKENDRAW_ROW_BAD_PARAMETER;
  if (expect.at("no_candidate").get<bool>()) golden.expected.status |= TOKENDRAW_ROW_NO_CANDIDATE;
  if (expect.at("nan_logit").get<bool>()) golden.expected.status |= TOKENDRAW_ROW_NAN_LOGIT;
  golden.expected.kept = expect.at("kept").get<int64_t>();
  golden.expected.kept_mass = number_in(expect.at("kept_mass"));
  return golden;
}

const std::vector<GoldenRow>& golden_rows() {
  static const std::vector<GoldenRow> rows = [] {
    std::vector<GoldenRow> parsed;
    std::ifstream file(data_file("golden.jsonl"));
    for (std::string line; std::getline(file, line);) parsed.push_back(parse_row(line));
    return parsed;
  }();
  return rows;
}

// The file has no log-probabilities.
std::string difference_without_logprob(RowResult expected, RowResult actual) {
  expected.logprob = actual.logprob = 0.0f;
  return difference({expected}, {actual});
}

TEST(Golden, FileIsWhole) {
  ASSERT_EQ(golden_rows().size(), 600u);
  size_t with_random = 0;
  for (const GoldenRow& row : golden_rows()) with_random += row.spec.random_u64.size();
  EXPECT_EQ(with_random, 55u);
}

TEST(Golden, TheTestsOracleAgrees) {
  for (size_t i = 0; i < golden_rows().size(); ++i) {
    const GoldenRow& golden = golden_rows()[i];
    EXPECT_EQ(difference_without_logprob(golden.expected, oracle_row(golden.spec, 0).result), "") << "line " << i + 1;
  }
}

// Row by row, for every algorithm and SIMD target.
TEST(Golden, EveryAlgorithmAndTargetAgrees) {
  for (const Variant& variant : exact_variants()) {
    for (size_t i = 0; i < golden_rows().size(); ++i) {
      const GoldenRow& golden = golden_rows()[i];
      const RowResult actual = run(variant, golden.spec).at(0);
      EXPECT_EQ(difference_without_logprob(golden.expected, actual), "")
          << "line " << i + 1 << ", " << to_text(variant);
    }
  }
}

// All lines of one vocabulary size, base and source of randomness as one batch.
TEST(Golden, AsBatches) {
  std::map<std::tuple<int32_t, int, bool>, std::pair<BatchSpec, std::vector<RowResult>>> batches;
  for (const GoldenRow& golden : golden_rows()) {
    const bool handed_in = !golden.spec.random_u64.empty();
    auto& [batch, expected] = batches[{golden.spec.vocab(), golden.spec.top_p_base, handed_in}];
    batch.top_p_base = golden.spec.top_p_base;
    batch.logits.push_back(golden.spec.logits[0]);
    batch.rows.push_back(golden.spec.rows[0]);
    if (handed_in) batch.random_u64.push_back(golden.spec.random_u64[0]);
    expected.push_back(golden.expected);
  }
  size_t rows = 0;
  for (const Variant& variant : exact_algorithms(3)) {
    for (const auto& [key, batch] : batches) {
      const std::vector<RowResult> actual = run(variant, batch.first);
      for (size_t r = 0; r < actual.size(); ++r) {
        EXPECT_EQ(difference_without_logprob(batch.second[r], actual[r]), "") << to_text(variant);
      }
      rows += actual.size();
    }
  }
  EXPECT_EQ(rows, 600u * exact_algorithms().size());
}

}  // namespace
}  // namespace tokendraw::test
