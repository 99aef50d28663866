// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <tokendraw/tokendraw.hpp>

namespace {

using tokendraw::Error;
using tokendraw::Result;

TEST(Error, HoldsStatusNameAndSentence) {
  const Error error(TOKENDRAW_INVALID_VOCAB, "vocab is 0");
  EXPECT_EQ(error.status(), TOKENDRAW_INVALID_VOCAB);
  EXPECT_STREQ(error.status_name(), "TOKENDRAW_INVALID_VOCAB");
  EXPECT_STREQ(error.what(), "vocab is 0");
}

TEST(Error, CutsLongSentences) {
  const Error error(TOKENDRAW_ERROR_SYSTEM, std::string(1000, 'x').c_str());
  EXPECT_EQ(error.what(), std::string(255, 'x'));
}

TEST(Error, IsNothingByDefault) {
  EXPECT_EQ(Error().status(), TOKENDRAW_OK);
  EXPECT_STREQ(Error().what(), "");
}

TEST(IsSuccess, EndsAtTen) {
  EXPECT_TRUE(tokendraw::is_success(TOKENDRAW_OK));
  EXPECT_TRUE(tokendraw::is_success(TOKENDRAW_OK_CPU_FALLBACK));
  EXPECT_FALSE(tokendraw::is_success(TOKENDRAW_ERROR_OUT_OF_MEMORY));
  EXPECT_FALSE(tokendraw::is_success(TOKENDRAW_INVALID_WORKSPACE_BYTES));
}

TEST(Result, GivesItsValue) {
  Result<std::string> result(std::string("four"));
  ASSERT_TRUE(result);
  EXPECT_TRUE(result.ok());
  EXPECT_EQ(result.status(), TOKENDRAW_OK);
  EXPECT_EQ(*result, "four");
  EXPECT_EQ(result->size(), 4u);
  EXPECT_EQ(result.value(), "four");
}

TEST(Result, MayCarryARemark) {
  const Result<int> result(4, Error(TOKENDRAW_OK_CPU_FALLBACK, "no device answered"));
  ASSERT_TRUE(result);
  EXPECT_EQ(*result, 4);
  EXPECT_EQ(result.status(), TOKENDRAW_OK_CPU_FALLBACK);
  EXPECT_STREQ(result.error().what(), "no device answered");
  EXPECT_EQ(result.value(), 4);
}

TEST(Result, ThrowsItsError) {
  const Result<int> result(Error(TOKENDRAW_INVALID_TOP_P, "top_p is NaN"));
  EXPECT_FALSE(result);
  EXPECT_EQ(result.status(), TOKENDRAW_INVALID_TOP_P);
  try {
    static_cast<void>(result.value());
    FAIL() << "nothing was thrown";
  } catch (const std::exception& exception) {
    EXPECT_STREQ(exception.what(), "top_p is NaN");
    const auto* error = dynamic_cast<const Error*>(&exception);
    ASSERT_NE(error, nullptr);
    EXPECT_EQ(error->status(), TOKENDRAW_INVALID_TOP_P);
  }
}

TEST(Result, MovesWhatCannotBeCopied) {
  Result<std::unique_ptr<int>> result(std::make_unique<int>(4));
  const std::unique_ptr<int> value = std::move(result).value();
  ASSERT_NE(value, nullptr);
  EXPECT_EQ(*value, 4);
}

TEST(ResultOfVoid, IsAStatus) {
  EXPECT_TRUE(Result<void>());
  EXPECT_NO_THROW(Result<void>().value());
  const Result<void> remark(Error(TOKENDRAW_OK_CPU_FALLBACK, "no device answered"));
  EXPECT_TRUE(remark);
  EXPECT_NO_THROW(remark.value());
  const Result<void> failure(Error(TOKENDRAW_INVALID_TOKENS, "tokens is NULL"));
  EXPECT_FALSE(failure);
  EXPECT_EQ(failure.status(), TOKENDRAW_INVALID_TOKENS);
  EXPECT_THROW(failure.value(), Error);
}

}  // namespace
