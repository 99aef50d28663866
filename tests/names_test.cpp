// SPDX-License-Identifier: Apache-2.0
// Values that never change, their names, and the version.
#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <set>
#include <string>

#include "support/case_rows.h"

namespace tokendraw::test {
namespace {

struct PinnedStatus {
  TokendrawStatus status;
  int32_t value;
  const char* name;
};
#define TOKENDRAW_TEST_PIN(name, value) \
  PinnedStatus { name, value, #name }
constexpr PinnedStatus kStatuses[] = {
    TOKENDRAW_TEST_PIN(TOKENDRAW_OK, 0),
    TOKENDRAW_TEST_PIN(TOKENDRAW_OK_CPU_FALLBACK, 1),
    TOKENDRAW_TEST_PIN(TOKENDRAW_ERROR_OUT_OF_MEMORY, 10),
    TOKENDRAW_TEST_PIN(TOKENDRAW_ERROR_BACKEND_UNAVAILABLE, 11),
    TOKENDRAW_TEST_PIN(TOKENDRAW_ERROR_BACKEND_FAILED, 12),
    TOKENDRAW_TEST_PIN(TOKENDRAW_ERROR_UNSUPPORTED, 13),
    TOKENDRAW_TEST_PIN(TOKENDRAW_ERROR_SYSTEM, 14),
    TOKENDRAW_TEST_PIN(TOKENDRAW_ERROR_INTERNAL, 15),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_SAMPLER, 100),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_OPTIONS, 101),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_STRUCT_SIZE, 102),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_OUTPUT_POINTER, 103),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_BACKEND, 104),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_DEVICE, 105),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_ALGORITHM, 106),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_THREADS, 107),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_ON_GPU_FAILURE, 108),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_CPU_TARGET, 109),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_INDEX, 110),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_GPU_WAY, 111),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_BATCH, 200),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_LOGITS, 201),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_DTYPE, 202),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_LOGITS_MEMORY, 203),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_PARAMS_MEMORY, 204),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_ROWS, 205),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_LOGITS_ROWS, 206),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_VOCAB, 207),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_ROW_STRIDE, 208),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_ROW_INDEX, 209),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_TEMPERATURE, 210),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_TOP_K, 211),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_TOP_P, 212),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_MIN_P, 213),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_TOP_P_BASE, 214),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_SEED, 215),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_STREAM, 216),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_OFFSET, 217),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_RANDOM, 218),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_MASK, 219),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_MASK_STRIDE, 220),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_BIAS, 221),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_BIAS_STRIDE, 222),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_BIAS_LIST, 223),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_HISTORY, 224),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_REPETITION_PENALTY, 225),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_FREQUENCY_PENALTY, 226),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_PRESENCE_PENALTY, 227),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_TOKENS, 228),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_OUTPUTS, 229),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_WORKSPACE, 230),
    TOKENDRAW_TEST_PIN(TOKENDRAW_INVALID_WORKSPACE_BYTES, 231),
};
#undef TOKENDRAW_TEST_PIN

TEST(Names, StatusesArePinned) {
  std::set<int32_t> values;
  for (const PinnedStatus& pinned : kStatuses) {
    EXPECT_EQ(pinned.status, pinned.value) << pinned.name;
    EXPECT_STREQ(tokendraw_status_name(pinned.status), pinned.name);
    values.insert(pinned.value);
  }
  for (int32_t value = -5; value < 400; ++value) {
    if (values.count(value) == 0) {
      EXPECT_STREQ(tokendraw_status_name(static_cast<TokendrawStatus>(value)), "TOKENDRAW_UNKNOWN_STATUS") << value;
    }
  }
  static_assert(TOKENDRAW_ROW_NAN_LOGIT == 1 && TOKENDRAW_ROW_BAD_ID == 2 && TOKENDRAW_ROW_BAD_PARAMETER == 4 &&
                TOKENDRAW_ROW_NO_CANDIDATE == 8);
  static_assert(TOKENDRAW_BACKEND_AUTO == 0 && TOKENDRAW_BACKEND_CPU == 1 && TOKENDRAW_BACKEND_CUDA == 2 &&
                TOKENDRAW_BACKEND_HIP == 3);
  static_assert(TOKENDRAW_ALGORITHM_AUTO == 0 && TOKENDRAW_ALGORITHM_CANDIDATES == 1 &&
                TOKENDRAW_ALGORITHM_REFINE == 2 && TOKENDRAW_ALGORITHM_REFERENCE == 3 &&
                TOKENDRAW_ALGORITHM_REJECTION == 4);
  static_assert(TOKENDRAW_GPU_WAY_AUTO == 0 && TOKENDRAW_GPU_WAY_BLOCK == 1 && TOKENDRAW_GPU_WAY_SMALL_BLOCK == 2 &&
                TOKENDRAW_GPU_WAY_SPLIT == 3 && TOKENDRAW_GPU_WAY_CLUSTER == 4);
  static_assert(TOKENDRAW_DTYPE_F32 == 0 && TOKENDRAW_DTYPE_F16 == 1 && TOKENDRAW_DTYPE_BF16 == 2);
  static_assert(TOKENDRAW_MEMORY_HOST == 0 && TOKENDRAW_MEMORY_DEVICE == 1);
  static_assert(TOKENDRAW_TOP_P_AFTER_TOP_K == 0 && TOKENDRAW_TOP_P_ALL == 1 && TOKENDRAW_TOP_P_AFTER_ALL == 2);
  static_assert(TOKENDRAW_ON_GPU_FAILURE_USE_CPU == 0 && TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR == 1);
  static_assert(sizeof(TokendrawStatus) == 4 && sizeof(TokendrawDtype) == 4);  // as in C
}

TEST(Names, OfChoices) {
  EXPECT_STREQ(tokendraw_row_status_name(1), "NAN_LOGIT");
  EXPECT_STREQ(tokendraw_row_status_name(2), "BAD_ID");
  EXPECT_STREQ(tokendraw_row_status_name(4), "BAD_PARAMETER");
  EXPECT_STREQ(tokendraw_row_status_name(8), "NO_CANDIDATE");
  for (const uint32_t bits : {0u, 3u, 16u, ~0u}) EXPECT_STREQ(tokendraw_row_status_name(bits), "UNKNOWN");

  EXPECT_STREQ(tokendraw_backend_name(TOKENDRAW_BACKEND_AUTO), "auto");
  EXPECT_STREQ(tokendraw_backend_name(TOKENDRAW_BACKEND_CPU), "cpu");
  EXPECT_STREQ(tokendraw_backend_name(TOKENDRAW_BACKEND_CUDA), "cuda");
  EXPECT_STREQ(tokendraw_backend_name(TOKENDRAW_BACKEND_HIP), "hip");
  EXPECT_STREQ(tokendraw_algorithm_name(TOKENDRAW_ALGORITHM_AUTO), "auto");
  EXPECT_STREQ(tokendraw_algorithm_name(TOKENDRAW_ALGORITHM_CANDIDATES), "candidates");
  EXPECT_STREQ(tokendraw_algorithm_name(TOKENDRAW_ALGORITHM_REFINE), "refine");
  EXPECT_STREQ(tokendraw_algorithm_name(TOKENDRAW_ALGORITHM_REFERENCE), "reference");
  EXPECT_STREQ(tokendraw_algorithm_name(TOKENDRAW_ALGORITHM_REJECTION), "rejection");
  EXPECT_STREQ(tokendraw_gpu_way_name(TOKENDRAW_GPU_WAY_AUTO), "auto");
  EXPECT_STREQ(tokendraw_gpu_way_name(TOKENDRAW_GPU_WAY_BLOCK), "block");
  EXPECT_STREQ(tokendraw_gpu_way_name(TOKENDRAW_GPU_WAY_SMALL_BLOCK), "small-block");
  EXPECT_STREQ(tokendraw_gpu_way_name(TOKENDRAW_GPU_WAY_SPLIT), "split");
  EXPECT_STREQ(tokendraw_gpu_way_name(TOKENDRAW_GPU_WAY_CLUSTER), "cluster");
  EXPECT_STREQ(tokendraw_dtype_name(TOKENDRAW_DTYPE_F32), "f32");
  EXPECT_STREQ(tokendraw_dtype_name(TOKENDRAW_DTYPE_F16), "f16");
  EXPECT_STREQ(tokendraw_dtype_name(TOKENDRAW_DTYPE_BF16), "bf16");
  EXPECT_STREQ(tokendraw_top_p_base_name(TOKENDRAW_TOP_P_AFTER_TOP_K), "after-top-k");
  EXPECT_STREQ(tokendraw_top_p_base_name(TOKENDRAW_TOP_P_ALL), "all");
  EXPECT_STREQ(tokendraw_top_p_base_name(TOKENDRAW_TOP_P_AFTER_ALL), "after-all");
  for (const int32_t value : {-1, 5, 99, kMinInt, kMaxInt}) {
    EXPECT_STREQ(tokendraw_backend_name(static_cast<TokendrawBackend>(value)), "unknown");
    EXPECT_STREQ(tokendraw_algorithm_name(static_cast<TokendrawAlgorithm>(value)), "unknown");
    EXPECT_STREQ(tokendraw_gpu_way_name(static_cast<TokendrawGpuWay>(value)), "unknown");
    EXPECT_STREQ(tokendraw_dtype_name(static_cast<TokendrawDtype>(value)), "unknown");
    EXPECT_STREQ(tokendraw_top_p_base_name(static_cast<TokendrawTopPBase>(value)), "unknown");
  }
}

TEST(Version, AgreesWithTheHeader) {
  EXPECT_EQ(tokendraw_version(), static_cast<uint32_t>(TOKENDRAW_VERSION_MAJOR * 10000 + TOKENDRAW_VERSION_MINOR * 100 +
                                                       TOKENDRAW_VERSION_PATCH));
  EXPECT_EQ(tokendraw_version_string(), std::to_string(TOKENDRAW_VERSION_MAJOR) + "." +
                                            std::to_string(TOKENDRAW_VERSION_MINOR) + "." +
                                            std::to_string(TOKENDRAW_VERSION_PATCH));
}

}  // namespace
}  // namespace tokendraw::test
