// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

using tokendraw::Batch;
using tokendraw::RequestColumns;
using tokendraw::SamplingParams;

template <class T>
std::vector<T> values(const tokendraw::PerRow<T>& param) {
  EXPECT_TRUE(param.values.has_value());
  return param.values ? std::vector<T>(param.values->begin(), param.values->end()) : std::vector<T>();
}

template <class T>
std::vector<T> copy(std::span<const T> span) {
  return {span.begin(), span.end()};
}

TEST(RequestColumns, HoldEveryParameter) {
  const std::vector<int32_t> history = {4, 5}, counts = {2, 0}, bias_ids = {1};
  const std::vector<float> bias_values = {0.5f};
  const std::vector<uint32_t> mask = {6, 7};
  const std::vector<SamplingParams> requests = {
      {.temperature = 0.5f, .top_k = 3, .top_p = 0.25f, .min_p = 0.125f, .seed = 11, .offset = 12, .stream = 13},
      {.repetition_penalty = 1.5f,
       .frequency_penalty = 0.75f,
       .presence_penalty = -1.0f,
       .history_ids = history,
       .history_counts = counts,
       .bias_ids = bias_ids,
       .bias_values = bias_values,
       .mask = mask},
      {.history_ids = bias_ids},
  };
  RequestColumns columns;
  columns.assign(requests);
  EXPECT_EQ(columns.rows(), 3u);
  const Batch batch = columns.batch();
  EXPECT_EQ(values(batch.temperature), (std::vector<float>{0.5f, 1, 1}));
  EXPECT_EQ(values(batch.top_k), (std::vector<int32_t>{3, 0, 0}));
  EXPECT_EQ(values(batch.top_p), (std::vector<float>{0.25f, 1, 1}));
  EXPECT_EQ(values(batch.min_p), (std::vector<float>{0.125f, 0, 0}));
  EXPECT_EQ(values(batch.seed), (std::vector<uint64_t>{11, 0, 0}));
  EXPECT_EQ(values(batch.offset), (std::vector<uint64_t>{12, 0, 0}));
  ASSERT_TRUE(batch.stream.has_value());
  EXPECT_EQ(values(*batch.stream), (std::vector<uint32_t>{13, 0, 0}));
  EXPECT_EQ(values(batch.repetition_penalty), (std::vector<float>{1, 1.5f, 1}));
  EXPECT_EQ(values(batch.frequency_penalty), (std::vector<float>{0, 0.75f, 0}));
  EXPECT_EQ(values(batch.presence_penalty), (std::vector<float>{0, -1, 0}));
  EXPECT_EQ(copy(batch.histories.ids), (std::vector<int32_t>{4, 5, 1}));
  EXPECT_EQ(copy(batch.histories.counts), (std::vector<int32_t>{2, 0, 1}));
  EXPECT_EQ(copy(batch.histories.offsets), (std::vector<int64_t>{0, 0, 2, 3}));
  EXPECT_EQ(copy(batch.bias_lists.ids), (std::vector<int32_t>{1}));
  EXPECT_EQ(copy(batch.bias_lists.values), (std::vector<float>{0.5f}));
  EXPECT_EQ(copy(batch.bias_lists.offsets), (std::vector<int64_t>{0, 0, 1, 1}));
  EXPECT_EQ(copy(batch.mask), (std::vector<uint32_t>{~0u, ~0u, 6, 7, ~0u, ~0u}));
  EXPECT_EQ(batch.mask_row_stride, 2);
}

TEST(RequestColumns, GiveOnlyWhatIsThere) {
  RequestColumns columns;
  columns.assign(std::vector<SamplingParams>(2));
  const Batch batch = columns.batch();
  EXPECT_TRUE(batch.mask.empty());
  EXPECT_TRUE(batch.bias_lists.offsets.empty());
  EXPECT_TRUE(batch.histories.offsets.empty());
  EXPECT_FALSE(batch.repetition_penalty.values.has_value());
}

TEST(RequestColumns, DropPenaltiesWithoutHistory) {
  const std::vector<int32_t> history = {1};
  RequestColumns columns;
  columns.assign(std::vector<SamplingParams>{{.repetition_penalty = -1.0f, .frequency_penalty = 2.0f},
                                             {.repetition_penalty = 1.5f, .history_ids = history}});
  EXPECT_EQ(values(columns.batch().repetition_penalty), (std::vector<float>{1, 1.5f}));
  EXPECT_EQ(values(columns.batch().frequency_penalty), (std::vector<float>{0, 0}));
}

TEST(RequestColumns, RefuseListsOfUnequalLength) {
  const std::vector<int32_t> two = {1, 2}, one = {1};
  const std::vector<float> value = {1.0f};
  const std::vector<uint32_t> mask = {1, 2};
  RequestColumns columns;
  const auto status = [&](std::vector<SamplingParams> requests) {
    const auto assigned = columns.try_assign(requests);
    EXPECT_EQ(columns.rows(), assigned ? requests.size() : 0u);
    return assigned.status();
  };
  EXPECT_EQ(status({{}, {.history_ids = two, .history_counts = two}}), TOKENDRAW_OK);
  EXPECT_EQ(status({{}, {.history_ids = two, .history_counts = one}}), TOKENDRAW_INVALID_HISTORY);
  EXPECT_EQ(status({{}, {.history_counts = one}}), TOKENDRAW_INVALID_HISTORY);
  EXPECT_EQ(status({{}, {.bias_ids = two, .bias_values = value}}), TOKENDRAW_INVALID_BIAS_LIST);
  EXPECT_EQ(status({{}, {.bias_values = value}}), TOKENDRAW_INVALID_BIAS_LIST);
  EXPECT_EQ(status({{.mask = mask}, {}, {.mask = std::span(mask).first(1)}}), TOKENDRAW_INVALID_MASK);
  EXPECT_EQ(status({{.mask = mask}, {}, {.mask = mask}}), TOKENDRAW_OK);
  EXPECT_THROW(columns.assign(std::vector<SamplingParams>{{.bias_values = value}}), tokendraw::Error);
}

TEST(RequestColumns, ForgetEarlierRequests) {
  const std::vector<int32_t> ids = {1};
  const std::vector<float> value = {1.0f};
  const std::vector<uint32_t> mask = {1};
  RequestColumns columns;
  columns.assign(
      std::vector<SamplingParams>{{.history_ids = ids, .bias_ids = ids, .bias_values = value, .mask = mask}, {}});
  columns.assign(std::vector<SamplingParams>{{.top_k = 9}});
  EXPECT_EQ(columns.rows(), 1u);
  const Batch batch = columns.batch();
  EXPECT_EQ(values(batch.top_k), (std::vector<int32_t>{9}));
  EXPECT_TRUE(batch.mask.empty());
  EXPECT_TRUE(batch.bias_lists.ids.empty());
  EXPECT_TRUE(batch.histories.ids.empty());
  columns.clear();
  EXPECT_EQ(columns.rows(), 0u);
}

}  // namespace
