// SPDX-License-Identifier: Apache-2.0
// Case17: more than 2^32 logits, and more rows than a grid's second dimension has. (large_batch_test has rows far
// apart; TOKENDRAW_TEST_CUDA=1 runs it here too.)
#include <algorithm>

#include "cuda_fixture.h"
#include "support/case_rows.h"
#include "support/random_rows.h"

namespace tokendraw::test {
namespace {

using CudaLarge = CudaTest;

// Fills `rows` rows with copies of the first `known` ones.
void repeat_rows(unsigned char* memory, size_t row_bytes, size_t known, size_t rows) {
  while (known < rows) {
    const size_t more = std::min(known, rows - known);
    succeeded(cudaMemcpy(memory + known * row_bytes, memory, more * row_bytes, cudaMemcpyDeviceToDevice));
    known += more;
  }
}

// 65536 rows of 65537 fp16 logits, all of them drawn from; 64 are different. Only the row's number, which is its
// stream, tells the copies apart.
TEST_F(CudaLarge, Case17_EveryRowOfMoreThan2To32Logits) {
  constexpr int32_t kVocab = 65537;
  constexpr size_t kRows = 65536;
  constexpr size_t kDistinct = 64;
  constexpr size_t kRowBytes = size_t{kVocab} * 2;
  size_t free = 0;
  size_t total = 0;
  succeeded(cudaMemGetInfo(&free, &total));
  if (free < kRows * kRowBytes + (size_t{1} << 30)) GTEST_SKIP() << "the device has " << free << " bytes free";

  TestRandom random(17);
  BatchSpec distinct;
  distinct.dtype = TOKENDRAW_DTYPE_F16;
  for (size_t r = 0; r < kDistinct; ++r) {
    const auto kind = r % 2 == 0 ? cases::RowKind::kNormal1 : cases::RowKind::kNormal5;
    distinct.logits.push_back(make_logits(kind, kVocab, TOKENDRAW_DTYPE_F16, random));
    distinct.rows.push_back(filtered(1.0f, 50, 0.9f));
  }
  PackedBatch packed(distinct);
  const DeviceBlock logits(kRows * kRowBytes);
  succeeded(cudaMemcpy(logits.data(), packed.batch.logits, kDistinct * kRowBytes, cudaMemcpyHostToDevice));
  repeat_rows(logits.data(), kRowBytes, kDistinct, kRows);

  // The ends, the rows around 2^31 and 2^32 elements and bytes, and others.
  std::vector<size_t> places = {0, 1, 16383, 16384, 32766, 32767, 32768, 49151, 65534, 65535};
  for (int i = 0; i < 150; ++i) places.push_back(random.below(kRows));

  for (const RowSpec& filters : {filtered(1.0f, 50, 0.9f), filtered(1.0f, 0), filtered(1.0f, 0, 0.9f)}) {
    TokendrawSampler* sampler = sampler_for(on_cuda());
    const DeviceArray<int32_t> tokens(kRows);
    const DeviceArray<uint64_t> kept_mass(kRows);
    TokendrawBatch batch;
    tokendraw_init_batch(&batch);
    batch.logits = logits.data();
    batch.dtype = TOKENDRAW_DTYPE_F16;
    batch.logits_memory = batch.params_memory = TOKENDRAW_MEMORY_DEVICE;
    batch.vocab = kVocab;
    batch.rows = kRows;
    batch.temperature = filters.temperature;
    batch.top_k = filters.top_k;
    batch.top_p = filters.top_p;
    batch.seed = filters.seed;
    batch.tokens = tokens.get();
    batch.kept_mass = kept_mass.get();
    size_t bytes = 0;
    ASSERT_EQ(tokendraw_get_workspace_bytes(sampler, &batch, &bytes), TOKENDRAW_OK);
    const DeviceBlock workspace(bytes);
    ASSERT_EQ(tokendraw_sample(sampler, &batch, workspace.data(), bytes, nullptr), TOKENDRAW_OK)
        << tokendraw_last_error_message();
    const std::vector<int32_t> drawn = tokens.read();
    const std::vector<uint64_t> masses = kept_mass.read();

    BatchSpec chosen = distinct;
    chosen.rows.assign(places.size(), filters);
    for (size_t i = 0; i < places.size(); ++i) {
      chosen.rows[i].stream = static_cast<uint32_t>(places[i]);
      chosen.row_index.push_back(static_cast<int32_t>(places[i] % kDistinct));
    }
    const std::vector<RowResult> expected = run(measure(), chosen);
    for (size_t i = 0; i < places.size(); ++i) {
      EXPECT_EQ(drawn[places[i]], expected[i].token) << "row " << places[i];
      EXPECT_EQ(masses[places[i]], expected[i].kept_mass) << "row " << places[i];
    }
    // Every row, too: copies of one row have one kept mass.
    for (size_t r = kDistinct; r < kRows; ++r) ASSERT_EQ(masses[r], masses[r % kDistinct]) << "row " << r;
  }
}

TEST_F(CudaLarge, MoreRowsThan2To16) {
  TestRandom random(18);
  BatchSpec spec;
  for (int r = 0; r < 32; ++r) {
    spec.logits.push_back(make_logits(cases::RowKind::kNormal5, 61, TOKENDRAW_DTYPE_F32, random));
  }
  for (int32_t r = 0; r < 200000; ++r) {
    spec.rows.push_back(filtered(1.0f, r % 5, r % 7 == 0 ? 0.9f : 1.0f));
    spec.rows.back().offset = static_cast<uint64_t>(r);
    if (r % 1000 == 0) spec.rows.back().history = {{r % 61, 2}, {-1, 1}};
    spec.row_index.push_back(r % 32);
  }
  const std::vector<RowResult> expected = run(measure(), spec);
  for (const auto algorithm : kGpuAlgorithms) {
    EXPECT_EQ(difference(expected, run_on_device(on_cuda(algorithm), spec)), "") << tokendraw_algorithm_name(algorithm);
  }
}

}  // namespace
}  // namespace tokendraw::test
