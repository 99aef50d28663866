// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <string>
#include <tokendraw/tokendraw.hpp>
#include <vector>

namespace {

using tokendraw::Backend;

TEST(Version, IsTheHeaders) {
  EXPECT_EQ(tokendraw::version(), static_cast<uint32_t>(TOKENDRAW_VERSION_MAJOR * 10000 +
                                                        TOKENDRAW_VERSION_MINOR * 100 + TOKENDRAW_VERSION_PATCH));
  EXPECT_EQ(tokendraw::version_string(), std::to_string(TOKENDRAW_VERSION_MAJOR) + "." +
                                             std::to_string(TOKENDRAW_VERSION_MINOR) + "." +
                                             std::to_string(TOKENDRAW_VERSION_PATCH));
}

TEST(Backends, BeginWithTheCpuAndSayWhyOthersAreMissing) {
  const std::vector<tokendraw::BackendInfo> backends = tokendraw::list_backends();
  ASSERT_EQ(backends.size(), static_cast<size_t>(tokendraw_get_backend_count()));
  ASSERT_FALSE(backends.empty());
  EXPECT_EQ(backends[0].backend, Backend::kCpu);
  EXPECT_TRUE(backends[0].available);
  EXPECT_EQ(backends[0].device_count, 1);
  for (const tokendraw::BackendInfo& info : backends) {
    EXPECT_EQ(info.reason.empty(), info.available) << tokendraw::name(info.backend);
  }
}

TEST(Devices, TellOfTheCpu) {
  const tokendraw::DeviceInfo info = tokendraw::device_info(Backend::kCpu, 0);
  EXPECT_EQ(info.backend, Backend::kCpu);
  EXPECT_EQ(info.device, 0);
  EXPECT_GE(info.compute_units, 1);
  EXPECT_GE(info.simd_width_f32, 1);
  EXPECT_EQ(info.target, tokendraw::list_cpu_targets().at(0));
}

TEST(Devices, AreRefusedWhereThereAreNone) {
  const auto info = tokendraw::try_device_info(Backend::kCpu, 1);
  EXPECT_EQ(info.status(), TOKENDRAW_INVALID_DEVICE);
  EXPECT_STRNE(info.error().what(), "");
  EXPECT_EQ(tokendraw::try_device_info(Backend(9), 0).status(), TOKENDRAW_INVALID_BACKEND);
  EXPECT_THROW(tokendraw::device_info(Backend::kCpu, -7), tokendraw::Error);
}

TEST(CpuTargets, CanAllBeAskedFor) {
  const std::vector<const char*> targets = tokendraw::list_cpu_targets();
  ASSERT_FALSE(targets.empty());
  for (const char* target : targets) {
    EXPECT_STREQ(tokendraw::Sampler({.backend = Backend::kCpu, .threads = 1, .cpu_target = target}).info().target,
                 target);
  }
}

}  // namespace
