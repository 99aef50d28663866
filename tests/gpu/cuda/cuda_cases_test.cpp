// SPDX-License-Identifier: Apache-2.0
// GPU = CPU, output for output, device memory in and out: the case list, every vocabulary of the numbered cases, batch
// sizes around those where plans change, and a request's token at any place of any batch.
//
// A failure of the case list names the case: TOKENDRAW_TEST_CASE=<id> runs it alone. TOKENDRAW_TEST_QUICK=1 takes a
// sixteenth of the list, TOKENDRAW_TEST_MAX_VOCAB=<n> no larger vocabularies.
#include <case_batch.h>
#include <cases.h>

#include <cstdlib>
#include <optional>

#include "cuda_fixture.h"
#include "support/case_rows.h"
#include "support/random_rows.h"
#include "support/requests.h"

namespace tokendraw::test {
namespace {

constexpr size_t kParts = 16;
constexpr int32_t kLongestRejectionRow = 5000;  // of the case list: the CPU sorts each row for it

const Variant kRejection = on_cuda(TOKENDRAW_ALGORITHM_REJECTION);

std::vector<RowResult> results_of(const cases::CaseOutput& output) {
  std::vector<RowResult> results;
  for (size_t r = 0; r < output.tokens.size(); ++r) {
    results.push_back({output.tokens[r], output.row_status[r], output.kept[r], output.kept_mass[r], output.logprob[r],
                       output.rounds[r]});
  }
  return results;
}

std::vector<RowResult> run_case(const Variant& variant, const cases::CaseBatch& batch,
                                cases::Outputs outputs = cases::Outputs::kAll) {
  cases::CaseOutput output;
  const TokendrawBatch arrays = batch.batch(output, outputs);
  if (variant.backend == TOKENDRAW_BACKEND_CPU) {
    EXPECT_EQ(tokendraw_sample_host(sampler_for(variant), &arrays), TOKENDRAW_OK) << tokendraw_last_error_message();
  } else {
    sample_on_device(sampler_for(variant), arrays);
  }
  return results_of(output);
}

std::vector<cases::Case> cases_to_run(size_t part) {
  if (const char* id = std::getenv("TOKENDRAW_TEST_CASE")) {
    const std::optional<cases::Case> one = cases::parse_case_id(id);
    EXPECT_TRUE(one.has_value()) << "TOKENDRAW_TEST_CASE is no case: " << id;
    return one && part == 0 ? std::vector<cases::Case>{*one} : std::vector<cases::Case>{};
  }
  cases::CaseListOptions options;
  options.quick = std::getenv("TOKENDRAW_TEST_QUICK") != nullptr;
  if (const char* max_vocab = std::getenv("TOKENDRAW_TEST_MAX_VOCAB")) options.max_vocab = std::atoi(max_vocab);
  const std::vector<cases::Case> list = cases::list_cases(options);
  std::vector<cases::Case> chosen;
  for (size_t i = part; i < list.size(); i += kParts) chosen.push_back(list[i]);
  return chosen;
}

class CudaCaseList : public CudaTest, public testing::WithParamInterface<size_t> {};

// The batch as it is, and its last and first row as a batch of two, which is split over more blocks.
TEST_P(CudaCaseList, EqualsTheCpu) {
  int failures = 0;
  int64_t rows = 0;
  for (const cases::Case& c : cases_to_run(GetParam())) {
    const cases::CaseBatch whole(c);
    const cases::CaseBatch two(c, std::vector<int64_t>{whole.rows() - 1, 0});
    const Variant cpu = {TOKENDRAW_ALGORITHM_AUTO, "", 1};
    const std::vector<RowResult> expected = run_case(cpu, whole);
    const std::vector<RowResult> expected_two = {expected.back(), expected.front()};
    const auto compare = [&](const std::string& who, const std::vector<RowResult>& wanted,
                             const std::vector<RowResult>& got) {
      rows += static_cast<int64_t>(wanted.size());
      const std::string found = difference(wanted, got);
      if (found.empty()) return;
      ADD_FAILURE() << who << ": " << found << "\nTOKENDRAW_TEST_CASE=" << case_id(c) << " cuda_cases_test";
      ++failures;
    };
    for (const auto algorithm : {TOKENDRAW_ALGORITHM_CANDIDATES, TOKENDRAW_ALGORITHM_REFINE}) {
      const std::string name = tokendraw_algorithm_name(algorithm);
      compare(name, expected, run_case(on_cuda(algorithm), whole));
      compare(name + ", the last and the first row alone", expected_two, run_case(on_cuda(algorithm), two));
    }
    const auto tokens = [](std::vector<RowResult> results) {
      for (RowResult& result : results) result = {result.token, result.status, 0, 0, 0.0f, result.rounds};
      return results;
    };
    compare("candidates, tokens alone", tokens(expected),
            tokens(run_case(on_cuda(TOKENDRAW_ALGORITHM_CANDIDATES), whole, cases::Outputs::kTokens)));
    const bool handed_in =
        c.randomness == cases::Randomness::kRandomU64 || c.randomness == cases::Randomness::kRandomF32;
    if (!handed_in && c.vocab <= kLongestRejectionRow) {
      compare("rejection", run_case({TOKENDRAW_ALGORITHM_REJECTION, "", 1}, whole), run_case(kRejection, whole));
    }
    if (failures >= 10) return;
  }
  RecordProperty("rows_compared", std::to_string(rows));
}

INSTANTIATE_TEST_SUITE_P(Parts, CudaCaseList, testing::Range(size_t{0}, kParts));

using CudaShapes = CudaTest;

std::vector<RowSpec> filters_in_use() {
  return {filtered(1.0f, 50, 0.9f), filtered(1.0f, 0),    filtered(1.0f, 0, 0.9f), filtered(0.7f, 0, 1.0f, 0.05f),
          filtered(0.0f, 0),        filtered(1.0f, 1000), filtered(1.3f, 40)};
}

TEST_F(CudaShapes, Case24_VocabularySizes) {
  TestRandom random(24);
  for (const int32_t vocab :
       {1,     2,     3,     7,     8,      9,      31,     32,     33,     255,    256,     257,    511,  512,
        513,   1023,  1024,  1025,  2047,   2048,   2049,   4095,   4096,   4097,   8191,    8192,   8193, 32001,
        50257, 65535, 65536, 65537, 128256, 131072, 151665, 201088, 262143, 262144, 1 << 20, 1 << 21}) {
    for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
      BatchSpec spec;
      spec.dtype = dtype;
      for (const auto kind : {cases::RowKind::kNormal1, cases::RowKind::kNormal5}) {
        spec.logits.push_back(make_logits(kind, vocab, dtype, random));
      }
      for (const RowSpec& row : filters_in_use()) {
        for (const int32_t source : {0, 1}) {
          spec.rows.push_back(row);
          spec.rows.back().offset = spec.rows.size();
          spec.row_index.push_back(source);
        }
      }
      const std::vector<RowResult> expected = run(measure(), spec);
      for (const auto algorithm : kGpuAlgorithms) {
        EXPECT_EQ(difference(expected, run_on_device(on_cuda(algorithm), spec)), "")
            << vocab << " " << tokendraw_dtype_name(dtype) << " " << tokendraw_algorithm_name(algorithm);
      }
      EXPECT_EQ(difference(run(measure_of_rejection(), spec), run_on_device(kRejection, spec)), "")
          << vocab << " " << tokendraw_dtype_name(dtype) << " rejection";
    }
  }
}

// `rows` requests, few of them with logits of their own: a large batch costs little to make.
// Plans change around 128 rows and around the number of multiprocessors.
std::vector<size_t> batch_sizes() {
  int multiprocessors = 0;
  succeeded(cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, 0));
  const auto around = static_cast<size_t>(multiprocessors);
  return {1, 2, 3, 5, 8, 17, 63, 64, 65, 127, 128, 129, 131, around - 1, around, around + 1, 256, 512, 1000};
}

BatchSpec batch_of_size(size_t rows, int32_t vocab, TokendrawDtype dtype) {
  TestRandom random(1800 + rows);
  BatchSpec spec;
  spec.dtype = dtype;
  const size_t sources = rows < 16 ? rows : 16;
  for (size_t r = 0; r < sources; ++r) {
    const auto kind = r % 2 == 0 ? cases::RowKind::kNormal1 : cases::RowKind::kNormal5;
    spec.logits.push_back(make_logits(kind, vocab, dtype, random));
  }
  const std::vector<RowSpec> filters = filters_in_use();
  for (size_t r = 0; r < rows; ++r) {
    spec.rows.push_back(filters[r % filters.size()]);
    spec.rows.back().seed = random.bits();
    spec.rows.back().offset = random.below(1000);
    spec.row_index.push_back(static_cast<int32_t>(random.below(sources)));
  }
  return spec;
}

TEST_F(CudaShapes, BatchSizes) {
  for (const int32_t vocab : {700, 32001, 128256}) {
    std::vector<size_t> sizes = batch_sizes();
    sizes.push_back(4096);
    for (const size_t rows : sizes) {
      if (vocab == 128256 && rows > 512) continue;
      const auto dtype = static_cast<TokendrawDtype>(rows % 3);
      const BatchSpec spec = batch_of_size(rows, vocab, dtype);
      const std::vector<RowResult> expected = run(measure(), spec);
      for (const auto algorithm : kGpuAlgorithms) {
        EXPECT_EQ(difference(expected, run_on_device(on_cuda(algorithm), spec)), "")
            << rows << " rows of " << vocab << " " << tokendraw_algorithm_name(algorithm);
      }
    }
  }
}

TEST_F(CudaShapes, Case18_AnyPlaceOfAnyBatch) {
  for (const int32_t vocab : {900, 32001}) {
    const Request mine = request(0, vocab);
    for (const auto algorithm : kGpuAlgorithms) {
      const RowResult alone = run_on_device(on_cuda(algorithm), batch_of({mine})).at(0);
      EXPECT_EQ(difference(run(measure(), batch_of({mine})), {alone}), "");
      for (const size_t rows : batch_sizes()) {
        BatchSpec others = batch_of_size(rows, vocab, TOKENDRAW_DTYPE_F32);
        others.logits.push_back(mine.logits);
        for (const size_t place : {size_t{0}, size_t{17}, size_t{63}, rows - 1}) {
          if (place >= rows) continue;
          BatchSpec batch = others;
          batch.rows[place] = mine.row;
          batch.row_index[place] = static_cast<int32_t>(batch.logits.size() - 1);
          EXPECT_EQ(same(alone, run_on_device(on_cuda(algorithm), batch).at(place)), "")
              << tokendraw_algorithm_name(algorithm) << ", place " << place << " of " << rows;
        }
      }
    }
  }
}

// Each kernel at least once, quickly: compute-sanitizer, which slows everything down, runs this one.
TEST_F(CudaShapes, EveryKernel) {
  TestRandom random(30);
  for (const auto dtype : {TOKENDRAW_DTYPE_F32, TOKENDRAW_DTYPE_F16, TOKENDRAW_DTYPE_BF16}) {
    for (const RowInputs& inputs : {RowInputs{}, RowInputs{.mask = true, .dense_bias = true},
                                    RowInputs{.mask = true, .sparse_bias = true, .history = true, .bad_ids = true}}) {
      for (const auto& [rows, vocab] : {std::pair<size_t, int32_t>{4, 20011}, {140, 1037}}) {
        BatchSpec spec;
        spec.dtype = dtype;
        const std::vector<RowSpec> filters = filters_in_use();
        for (size_t r = 0; r < rows; ++r) {
          const auto kind = r % 3 == 1 ? cases::RowKind::kEqual : cases::RowKind::kNormal1;
          spec.logits.push_back(make_logits(kind, vocab, dtype, random));
          spec.rows.push_back(filters[r % filters.size()]);
          add_row_inputs(spec.rows.back(), vocab, inputs, random);
        }
        Layout layout;
        layout.lead_elements = 1;
        layout.padding_columns = 2;
        const std::vector<RowResult> expected = run(measure(), spec, layout);
        // What the plan chooses, and a way that serves so many rows too.
        const auto other = rows < 64 ? TOKENDRAW_GPU_WAY_SPLIT : TOKENDRAW_GPU_WAY_SMALL_BLOCK;
        for (const Variant& path : {on_cuda(TOKENDRAW_ALGORITHM_CANDIDATES), on_cuda(TOKENDRAW_ALGORITHM_REFINE),
                                    on_cuda(TOKENDRAW_ALGORITHM_CANDIDATES, other)}) {
          EXPECT_EQ(difference(expected, run_on_device(path, spec, layout)), "")
              << rows << " rows of " << vocab << " " << tokendraw_dtype_name(dtype) << " " << to_text(path);
        }
        EXPECT_EQ(difference(run(measure_of_rejection(), spec, layout), run_on_device(kRejection, spec, layout)), "")
            << rows << " rows of " << vocab << " " << tokendraw_dtype_name(dtype) << " rejection";
        // What a block lists and estimates in its first read, of rows that are asked for tokens alone.
        if (vocab <= 2048) continue;
        spec.top_p_base = TOKENDRAW_TOP_P_ALL;
        const std::vector<RowResult> of_all = run(measure(), spec, layout);
        for (const TokendrawGpuWay way : {TOKENDRAW_GPU_WAY_BLOCK, TOKENDRAW_GPU_WAY_SMALL_BLOCK}) {
          PackedBatch packed(spec, layout);
          packed.batch.kept = nullptr;
          packed.batch.kept_mass = nullptr;
          packed.batch.logprob = nullptr;
          const std::vector<RowResult> tokens =
              run_on_device(sampler_for(on_cuda(TOKENDRAW_ALGORITHM_CANDIDATES, way)), packed);
          for (size_t r = 0; r < rows; ++r) {
            EXPECT_EQ(tokens[r].token, of_all[r].token) << "row " << r << " " << tokendraw_dtype_name(dtype);
          }
        }
      }
    }
  }
}

// Rows with parameters that have no meaning, in every field, among good ones.
TEST_F(CudaShapes, BadRowsAmongGoodOnes) {
  TestRandom random(29);
  for (const int32_t vocab : {50, 5000, 60000}) {
    BatchSpec spec;
    for (size_t r = 0; r < 96; ++r) {
      spec.logits.push_back(make_logits(cases::RowKind::kNormal5, vocab, TOKENDRAW_DTYPE_F32, random));
      spec.rows.push_back(make_row_parameters(vocab, random, r % 3 == 1));
      add_row_inputs(spec.rows.back(), vocab,
                     {.mask = r % 2 == 0, .sparse_bias = r % 4 == 0, .history = true, .bad_ids = true}, random);
      spec.row_index.push_back(r % 31 == 30 ? -1 : r % 37 == 36 ? 1 << 30 : static_cast<int32_t>(r));
    }
    const std::vector<RowResult> expected = run(measure(), spec);
    for (const auto algorithm : kGpuAlgorithms) {
      EXPECT_EQ(difference(expected, run_on_device(on_cuda(algorithm), spec)), "")
          << vocab << " " << tokendraw_algorithm_name(algorithm);
    }
    EXPECT_EQ(difference(run(measure_of_rejection(), spec), run_on_device(kRejection, spec)), "")
        << vocab << " rejection";
  }
}

}  // namespace
}  // namespace tokendraw::test
