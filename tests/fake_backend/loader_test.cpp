// SPDX-License-Identifier: Apache-2.0
// Finding a backend, and refusing one that does not fit. The library looks once per process, so each answer is asked
// for in a process of its own.
#include <gtest/gtest.h>
#include <tokendraw/tokendraw.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <string>

#include "fake_backend/device_batch.h"

namespace tokendraw::test {
namespace {

struct Answer {
  int32_t available = -1;
  int32_t device_count = -1;
  std::string reason;
};

Answer ask(TokendrawBackend backend) {
  TokendrawBackendInfo info = {};
  info.struct_size = sizeof info;
  if (tokendraw_get_backend_info(backend - TOKENDRAW_BACKEND_CPU, &info) != TOKENDRAW_OK || info.backend != backend) {
    return {};
  }
  return {info.available, info.device_count, info.reason};
}

// In a new process: runs `prepare`, then the backend must be unavailable for a reason that holds `reason`, everywhere
// that it is asked for. The process ends with 0 if all of that is so.
[[noreturn]] void expect_refused(const std::function<void()>& prepare, TokendrawBackend backend,
                                 const std::string& reason) {
  prepare();
  const Answer answer = ask(backend);
  EXPECT_EQ(answer.available, 0);
  EXPECT_EQ(answer.device_count, 0);
  EXPECT_NE(answer.reason.find(reason), std::string::npos) << answer.reason;
  EXPECT_EQ(ask(backend).reason, answer.reason);  // the second time too

  TokendrawDeviceInfo device = {};
  device.struct_size = sizeof device;
  EXPECT_EQ(tokendraw_get_device_info(backend, 0, &device), TOKENDRAW_ERROR_BACKEND_UNAVAILABLE);
  EXPECT_TRUE(message_has(std::string(tokendraw_backend_name(backend)) + ": "));
  EXPECT_TRUE(message_has(reason));

  TokendrawSamplerOptions options = cuda_options(TOKENDRAW_ON_GPU_FAILURE_RETURN_ERROR);
  options.backend = backend;
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_ERROR_BACKEND_UNAVAILABLE);
  EXPECT_TRUE(message_has(reason));
  options.on_gpu_failure = TOKENDRAW_ON_GPU_FAILURE_USE_CPU;
  options.device = 5;  // unknown devices of a backend that is not there are no error
  EXPECT_EQ(tokendraw_create_sampler(&options, &sampler), TOKENDRAW_OK_CPU_FALLBACK);
  EXPECT_TRUE(message_has(reason));
  EXPECT_TRUE(message_has("; the cpu serves"));
  tokendraw_destroy_sampler(sampler);
  std::exit(testing::Test::HasFailure() ? 1 : 0);
}

class Loader : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  void TearDown() override { setenv("LD_LIBRARY_PATH", library_path_.c_str(), 1); }

 private:
  const char* given_ = std::getenv("LD_LIBRARY_PATH");
  std::string library_path_ = given_ != nullptr ? given_ : "";
};

TEST_F(Loader, FindsABackendOnItsPath) {
  EXPECT_EXIT(
      {
        const Answer answer = ask(TOKENDRAW_BACKEND_CUDA);
        EXPECT_EQ(answer.available, 1);
        EXPECT_EQ(answer.device_count, 2);
        EXPECT_EQ(answer.reason, "");
        EXPECT_EQ(cuda().calls[fake::kCountDevices], 1);
        ask(TOKENDRAW_BACKEND_CUDA);
        EXPECT_EQ(cuda().calls[fake::kCountDevices], 1);  // asked once in a process
        std::exit(testing::Test::HasFailure() ? 1 : 0);
      },
      testing::ExitedWithCode(0), "");
}

TEST_F(Loader, SaysWhichTableDoesNotFit) {
  const std::pair<fake::TableFault, const char*> faults[] = {
      {fake::TableFault::kNoTable, "libtokendraw_cuda.so.0 is no backend: it gives no table"},
      {fake::TableFault::kAbi, "libtokendraw_cuda.so.0 has interface 3, but this library needs 2"},
      {fake::TableFault::kVersion, "libtokendraw_cuda.so.0 is of version 0.2.0, but this library of 0.1.0"},
      {fake::TableFault::kRequestBytes, "libtokendraw_cuda.so.0 has requests of"},
      {fake::TableFault::kPlanBytes, "libtokendraw_cuda.so.0 has requests of"},
      {fake::TableFault::kOperationBytes, "libtokendraw_cuda.so.0 has operations of"},
      {fake::TableFault::kMissingFunction, "libtokendraw_cuda.so.0 is no backend: functions are missing"}};
  for (const auto& [fault, reason] : faults) {
    EXPECT_EXIT(expect_refused([fault = fault] { cuda().table_fault = fault; }, TOKENDRAW_BACKEND_CUDA, reason),
                testing::ExitedWithCode(0), "")
        << reason;
  }
}

TEST_F(Loader, SaysWhatTheBackendSays) {
  EXPECT_EXIT(expect_refused([] { cuda().faults[fake::kCountDevices].status = TOKENDRAW_ERROR_BACKEND_UNAVAILABLE; },
                             TOKENDRAW_BACKEND_CUDA, "the driver failed"),
              testing::ExitedWithCode(0), "");
  EXPECT_EXIT(
      expect_refused([] { cuda().device_count = 0; }, TOKENDRAW_BACKEND_CUDA, "libtokendraw_cuda.so.0 finds no device"),
      testing::ExitedWithCode(0), "");
}

// The dynamic loader reads LD_LIBRARY_PATH when a process starts: the new process gets this one's.
TEST_F(Loader, SaysWhatTheDynamicLoaderSays) {
  setenv("LD_LIBRARY_PATH", TOKENDRAW_FAKE_NO_BACKEND, 1);
  EXPECT_EXIT(expect_refused([] {}, TOKENDRAW_BACKEND_CUDA,
                             "libtokendraw_cuda.so.0 is no backend: it has no function tokendraw_backend_table"),
              testing::ExitedWithCode(0), "");
  setenv("LD_LIBRARY_PATH", TOKENDRAW_FAKE_BROKEN, 1);
  EXPECT_EXIT(expect_refused([] {}, TOKENDRAW_BACKEND_CUDA, "libtokendraw_cuda.so.0 cannot be loaded: "),
              testing::ExitedWithCode(0), "");
  const std::string beside = TOKENDRAW_LIBRARY_FOLDER;
  if (std::filesystem::exists(beside + "/libtokendraw_cuda.so.0")) GTEST_SKIP() << "a real backend is installed";
  setenv("LD_LIBRARY_PATH", "", 1);
  EXPECT_EXIT(expect_refused([] {}, TOKENDRAW_BACKEND_CUDA, "libtokendraw_cuda.so.0 is not installed: "),
              testing::ExitedWithCode(0), "");
}

// What backend AUTO chooses, in a process where `prepare` ran.
[[noreturn]] void expect_chosen(const std::function<void()>& prepare, TokendrawBackend expected) {
  prepare();
  TokendrawSampler* sampler = nullptr;
  EXPECT_EQ(tokendraw_create_sampler(nullptr, &sampler), TOKENDRAW_OK);
  TokendrawSamplerInfo info = {};
  info.struct_size = sizeof info;
  EXPECT_EQ(tokendraw_get_sampler_info(sampler, &info), TOKENDRAW_OK);
  EXPECT_EQ(info.backend, expected);
  tokendraw_destroy_sampler(sampler);
  std::exit(testing::Test::HasFailure() ? 1 : 0);
}

TEST_F(Loader, AutoTakesCudaThenHipThenTheCpu) {
  EXPECT_EXIT(expect_chosen([] {}, TOKENDRAW_BACKEND_CUDA), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(expect_chosen([] { cuda().device_count = 0; }, TOKENDRAW_BACKEND_HIP), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(expect_chosen(
                  [] {
                    cuda().table_fault = fake::TableFault::kVersion;
                    hip().faults[fake::kCountDevices].status = TOKENDRAW_ERROR_BACKEND_UNAVAILABLE;
                  },
                  TOKENDRAW_BACKEND_CPU),
              testing::ExitedWithCode(0), "");
}

}  // namespace
}  // namespace tokendraw::test
