// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <tokendraw/tokendraw.hpp>

namespace {

TEST(Names, AreThoseOfTheCApi) {
  EXPECT_STREQ(tokendraw::name(tokendraw::Backend::kAuto), "auto");
  EXPECT_STREQ(tokendraw::name(tokendraw::Backend::kHip), "hip");
  EXPECT_STREQ(tokendraw::name(tokendraw::Algorithm::kCandidates), "candidates");
  EXPECT_STREQ(tokendraw::name(tokendraw::Algorithm::kRejection), "rejection");
  EXPECT_STREQ(tokendraw::name(tokendraw::Dtype::kF32), "f32");
  EXPECT_STREQ(tokendraw::name(tokendraw::Dtype::kBf16), "bf16");
  EXPECT_STREQ(tokendraw::name(tokendraw::TopPBase::kAfterTopK), "after-top-k");
  EXPECT_STREQ(tokendraw::name(tokendraw::TopPBase::kAfterAll), "after-all");
  EXPECT_STREQ(tokendraw::name(tokendraw::Backend(77)), "unknown");
}

TEST(RowStatusNames, JoinsTheBits) {
  EXPECT_EQ(tokendraw::row_status_names(0), "");
  EXPECT_EQ(tokendraw::row_status_names(TOKENDRAW_ROW_BAD_PARAMETER), "BAD_PARAMETER");
  EXPECT_EQ(tokendraw::row_status_names(TOKENDRAW_ROW_NO_CANDIDATE | TOKENDRAW_ROW_NAN_LOGIT | TOKENDRAW_ROW_BAD_ID),
            "NAN_LOGIT|BAD_ID|NO_CANDIDATE");
  EXPECT_EQ(tokendraw::row_status_names(0x80000000u), "UNKNOWN");
}

}  // namespace
