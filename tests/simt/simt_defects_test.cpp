// SPDX-License-Identifier: Apache-2.0
// Kernels with a defect planted in them: the emulator must report it, or show a wrong result under some of the seeds.
#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "device_array.h"
#include "fiber.h"

namespace tokendraw::gpu::platform {
namespace {

constexpr uint64_t kSeeds = 40;
constexpr uint32_t kThreads = 128;

INSTANTIATE_TEST_SUITE_P(Simt, EachWave, testing::Values(32, 64), wave_name);

// How many seeds give what is not right.
uint64_t count_wrong(const std::function<bool()>& is_right) {
  uint64_t wrong = 0;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    if (!is_right()) wrong++;
  }
  return wrong;
}

struct Numbers {
  uint32_t at[1024];
};

void exchange(uint32_t* out, bool barrier) {
  TOKENDRAW_SHARED(Numbers, numbers);
  numbers.at[thread_index()] = thread_index();
  if (barrier) block_barrier();
  out[thread_index()] = numbers.at[block_threads() - 1 - thread_index()];
}

TEST_P(EachWave, AMissingBarrierShows) {
  const DeviceArray<uint32_t> out(kThreads);
  for (const bool barrier : {false, true}) {
    const uint64_t wrong = count_wrong([&] {
      EXPECT_EQ(report_of(exchange, {1, 1}, kThreads, out.get(), barrier), "");
      const std::vector<uint32_t> got = out.read();
      for (uint32_t i = 0; i < kThreads; i++) {
        if (got[i] != kThreads - 1 - i) return false;
      }
      return true;
    });
    EXPECT_EQ(wrong > 0, !barrier) << wrong;
  }
}

// Writes the next round's values while others may still read this round's.
void exchange_twice(uint32_t* out, bool barrier) {
  TOKENDRAW_SHARED(Numbers, numbers);
  uint32_t sum = 0;
  for (uint32_t round = 1; round <= 2; round++) {
    numbers.at[thread_index()] = round;
    block_barrier();
    sum += numbers.at[block_threads() - 1 - thread_index()];
    if (barrier) block_barrier();
  }
  out[thread_index()] = sum;
}

TEST_P(EachWave, AMissingBarrierBeforeTheNextWriteShows) {
  const DeviceArray<uint32_t> out(kThreads);
  for (const bool barrier : {false, true}) {
    const uint64_t wrong = count_wrong([&] {
      EXPECT_EQ(report_of(exchange_twice, {1, 1}, kThreads, out.get(), barrier), "");
      return out.read() == std::vector<uint32_t>(kThreads, 3);
    });
    EXPECT_EQ(wrong > 0, !barrier) << wrong;
  }
}

void count_carelessly(uint32_t* count) {
  const uint32_t seen = load_shared_result(count);
  fence_device();
  *count = seen + 1;
}

TEST_P(EachWave, AnUpdateThatIsNotAtomicShows) {
  EXPECT_GT(count_wrong([&] {
              const DeviceArray<uint32_t> count(std::vector<uint32_t>{0});
              EXPECT_EQ(report_of(count_carelessly, {3, 1}, kThreads, count.get()), "");
              return count.read()[0] == 3 * kThreads;
            }),
            kSeeds / 2);
}

// Each block adds up its part; the last block to finish adds up the parts.
template <bool kBarrier>
void add_up(uint32_t* parts, uint32_t* finished, uint32_t* sum) {
  TOKENDRAW_SHARED(uint32_t, is_last);
  TOKENDRAW_SHARED(uint32_t, total);
  atomic_add(parts + block_x(), thread_index());
  fence_device();
  if constexpr (kBarrier) block_barrier();
  if (thread_index() == 0) {
    is_last = atomic_add(finished, 1u) == grid_x() - 1 ? 1 : 0;
    total = 0;
  }
  block_barrier();
  if (is_last == 0) return;
  fence_device();
  if (thread_index() < grid_x()) atomic_add(&total, load_shared_result(parts + thread_index()));
  block_barrier();
  if (thread_index() == 0) {
    *sum = total;
    *finished = 0;
  }
}

TEST_P(EachWave, TheLastBlockSeesAllPartsOnlyWithABarrier) {
  constexpr uint32_t kBlocks = 7;
  for (const bool barrier : {false, true}) {
    const uint64_t wrong = count_wrong([&] {
      const DeviceArray<uint32_t> parts(std::vector<uint32_t>(kBlocks, 0));
      const DeviceArray<uint32_t> finished(std::vector<uint32_t>{0});
      const DeviceArray<uint32_t> sum(1);
      EXPECT_EQ(report_of(barrier ? add_up<true> : add_up<false>, {kBlocks, 1}, kThreads, parts.get(), finished.get(),
                          sum.get()),
                "");
      EXPECT_EQ(finished.read()[0], 0u);
      return sum.read()[0] == kBlocks * kThreads * (kThreads - 1) / 2;
    });
    EXPECT_EQ(wrong > 0, !barrier) << wrong;
  }
}

// ---- Lanes that do not meet

enum class Defect : int {
  kNone,
  kEndsInsteadOfShuffle,
  kEndsInsteadOfBarrier,
  kBarrierInsteadOfShuffle,
  kBallotInsteadOfShuffle,
  kOtherPlace,
  kAnyInsteadOfBarrierInOneWarp,
  kBarrierAfterEnd,
  kOtherWave,
  kFarLane,
  kNoBit,
  kThrows
};

template <int kWave>
void diverge(Defect defect, uint32_t odd_one) {
  const uint32_t thread = thread_index();
  const bool odd = thread == odd_one;
  const bool odd_warp = thread / kWave == odd_one / kWave;
  switch (defect) {
    case Defect::kNone:
      block_barrier();
      (void)warp_shuffle<kWave>(1u, 0);
      break;
    case Defect::kEndsInsteadOfShuffle:
      if (!odd) (void)warp_shuffle<kWave>(1u, 0);
      break;
    case Defect::kEndsInsteadOfBarrier:
      if (!odd_warp) block_barrier();
      break;
    case Defect::kBarrierInsteadOfShuffle:
      if (odd) {
        block_barrier();
      } else {
        (void)warp_shuffle<kWave>(1u, 0);
      }
      break;
    case Defect::kBallotInsteadOfShuffle:
      if (odd) {
        (void)warp_ballot<kWave>(true);
      } else {
        (void)warp_shuffle<kWave>(1u, 0);
      }
      break;
    case Defect::kOtherPlace:
      if (odd) {  // NOLINT(bugprone-branch-clone): that is the defect
        (void)warp_shuffle<kWave>(1u, 0);
      } else {
        (void)warp_shuffle<kWave>(1u, 0);
      }
      break;
    case Defect::kAnyInsteadOfBarrierInOneWarp:
      if (odd_warp) {
        (void)block_any(true);
      } else {
        block_barrier();
      }
      break;
    case Defect::kBarrierAfterEnd:
      block_barrier();
      if (thread == 0) block_barrier();
      break;
    case Defect::kOtherWave:
      warp_barrier<96 - kWave>();
      break;
    case Defect::kFarLane:
      (void)warp_shuffle<kWave>(1u, kWave);
      break;
    case Defect::kNoBit:
      (void)first_bit(thread == odd_one ? 0 : 1);
      break;
    case Defect::kThrows:
      if (odd) throw std::runtime_error("planted");
      break;
  }
}

TEST_P(EachWave, DivergenceIsReported) {
  const struct {
    Defect defect;
    const char* report;
  } cases[] = {
      {Defect::kEndsInsteadOfShuffle, "divergence"},
      {Defect::kEndsInsteadOfBarrier, "divergence"},
      {Defect::kBarrierInsteadOfShuffle, "divergence"},
      {Defect::kBallotInsteadOfShuffle, "divergence"},
      {Defect::kOtherPlace, "divergence"},
      {Defect::kAnyInsteadOfBarrierInOneWarp, "divergence"},
      {Defect::kBarrierAfterEnd, "divergence"},
      {Defect::kOtherWave, "on a device whose warps have"},
      {Defect::kFarLane, "a shuffle names lane"},
      {Defect::kNoBit, "first_bit of zero"},
      {Defect::kThrows, "the kernel threw: planted"},
  };
  for (const auto& each : cases) {
    for (uint64_t seed = 1; seed <= kSeeds; seed++) {
      simt_reset();
      simt_set_seed(seed);
      const std::string report = report_of(BY_WAVE(diverge), {3, 1}, kThreads, each.defect, 77u);
      ASSERT_NE(report.find(each.report), std::string::npos)
          << static_cast<int>(each.defect) << ", seed " << seed << ": '" << report << "'";
      EXPECT_NE(synchronize(nullptr).code, 0) << "the device stays broken";
      EXPECT_NE(launch(BY_WAVE(diverge), {3, 1}, kThreads, nullptr, Defect::kNone, 77u).code, 0);
    }
  }
  simt_reset();
  EXPECT_EQ(report_of(BY_WAVE(diverge), {3, 1}, kThreads, Defect::kNone, 77u), "");
}

TEST_P(EachWave, AReportNamesTheLaneAndThePlace) {
  const std::string report = report_of(BY_WAVE(diverge), {1, 1}, wave(), Defect::kEndsInsteadOfShuffle, 3u);
  EXPECT_NE(report.find("block (0, 0), thread "), std::string::npos) << report;
  EXPECT_NE(report.find("warp_shuffle at simt_defects_test.cpp:"), std::string::npos) << report;
  EXPECT_NE(report.find("seed "), std::string::npos) << report;
}

// ---- Waiting for what does not come

void wait_for_block(uint32_t* flags) {
  if (thread_index() == 0) {
    atomic_add(flags + block_x(), 1u);
    while (load_shared_result(flags + (block_x() + 1) % grid_x()) == 0) {
    }
  }
}

TEST_P(EachWave, WaitingForABlockThatDoesNotRunIsReported) {
  simt_set_resident_blocks(1);
  simt_set_step_limit(100000);
  const DeviceArray<uint32_t> flags(std::vector<uint32_t>(4, 0));
  const std::string report = report_of(wait_for_block, {4, 1}, kThreads, flags.get());
  EXPECT_NE(report.find("it waits at simt_defects_test.cpp:"), std::string::npos) << report;
}

TEST_P(EachWave, WaitingForABlockThatRunsIsNot) {
  simt_set_resident_blocks(4);
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    const DeviceArray<uint32_t> flags(std::vector<uint32_t>(4, 0));
    EXPECT_EQ(report_of(wait_for_block, {4, 1}, kThreads, flags.get()), "");
  }
}

void lock_and_keep(uint64_t* lock) {
  while (atomic_exchange_if(lock, 0, 1) != 0) {
  }
}

TEST_P(EachWave, ALockThatNobodyGivesBackIsReported) {
  const DeviceArray<uint64_t> lock(std::vector<uint64_t>{0});
  EXPECT_NE(report_of(lock_and_keep, {2, 1}, kThreads, lock.get()).find("it waits at"), std::string::npos);
}

// ---- Memory

void load_word(const uint32_t* from, uint32_t* to) { *to = load_value(from); }
void load_four(const uint32_t* from, uint32_t* to) { *to = load_words(from, false).word[0]; }
void add_one(uint32_t* to) { atomic_add(to, 1u); }

TEST_P(EachWave, AddressesAreChecked) {
  uint32_t on_host = 0;
  const DeviceArray<uint32_t> from(std::vector<uint32_t>(8, 1));
  const DeviceArray<uint32_t> to(1);
  const auto load_at = [&](const uint32_t* address, auto kernel) {
    simt_reset();
    return report_of(kernel, {1, 1}, kThreads, address, to.get());
  };
  EXPECT_EQ(load_at(from.get() + 7, load_word), "");
  EXPECT_EQ(load_at(from.get() + 4, load_four), "");
  EXPECT_NE(load_at(from.get() + 8, load_word).find("no device memory"), std::string::npos);
  EXPECT_NE(load_at(from.get() - 1, load_word).find("no device memory"), std::string::npos);
  EXPECT_NE(load_at(&on_host, load_word).find("no device memory"), std::string::npos);
  EXPECT_NE(load_at(nullptr, load_word).find("no device memory"), std::string::npos);
  EXPECT_NE(load_at(from.get() + 2, load_four).find("misaligned"), std::string::npos);
  simt_reset();
  EXPECT_NE(report_of(add_one, {1, 1}, kThreads, &on_host).find("no device memory"), std::string::npos);
  EXPECT_EQ(on_host, 0u);
}

TEST_P(EachWave, MemoryOfTheOtherDeviceIsNotReadable) {
  ASSERT_FALSE(use_device(wave() == 32 ? 1 : 0));
  const DeviceArray<uint32_t> elsewhere(std::vector<uint32_t>{1});
  ASSERT_FALSE(use_device(wave() == 32 ? 0 : 1));
  const DeviceArray<uint32_t> to(1);
  EXPECT_NE(report_of(load_word, {1, 1}, kThreads, static_cast<const uint32_t*>(elsewhere.get()), to.get())
                .find("no device memory"),
            std::string::npos);
}

#if SIMT_ASAN
struct Few {
  uint32_t at[5];
};

void write_past_shared(uint32_t index) {
  TOKENDRAW_SHARED(Few, few);
  TOKENDRAW_SHARED(Few, others);
  others.at[0] = 0;
  few.at[index == 5 ? thread_index() % 6 : 0] = 1;
}

void write_to(uint32_t* to) { *to = 1; }

TEST(SimtDeathTest, AddressSanitizerSeesSharedAndDeviceMemory) {
  const auto run_shared = [](uint32_t index) {
    (void)launch(write_past_shared, {1, 1}, kThreads, nullptr, index);
    (void)synchronize(nullptr);
  };
  simt_reset();
  run_shared(0);
  EXPECT_EQ(std::string(simt_last_report()), "");
  EXPECT_DEATH(run_shared(5), "use-after-poison|runtime error: index 5 out of bounds");
  const DeviceArray<uint32_t> array(3);
  EXPECT_DEATH((void)launch(write_to, {1, 1}, kThreads, nullptr, array.get() + 3), "heap-buffer-overflow");
}
#endif

}  // namespace
}  // namespace tokendraw::gpu::platform
