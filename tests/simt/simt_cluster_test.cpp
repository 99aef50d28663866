// SPDX-License-Identifier: Apache-2.0
// Dynamic shared memory, and clusters whose blocks look at each other's.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "device_array.h"

namespace tokendraw::gpu::platform {
namespace {

constexpr uint64_t kSeeds = 30;
constexpr uint32_t kThreads = 64;

INSTANTIATE_TEST_SUITE_P(Simt, EachWave, testing::Values(32, 64), wave_name);

template <typename... Parameters>
std::string report_shaped(void (*kernel)(Parameters...), const LaunchShape& shape, Parameters... arguments) {
  if (launch_shaped(kernel, shape, nullptr, arguments...)) return std::string("refused: ") + simt_last_report();
  return synchronize(nullptr) ? simt_last_report() : "";
}

struct Few {
  uint32_t at[16];
};

inline uint32_t* find_dynamic() {
  TOKENDRAW_SHARED_DYNAMIC(uint32_t, words);
  return words;
}

void use_dynamic(uint32_t* garbage, uint32_t* out, uint32_t words) {
  TOKENDRAW_SHARED(Few, few);
  TOKENDRAW_SHARED_DYNAMIC(uint32_t, all);
  if (reinterpret_cast<uintptr_t>(all) % 16 != 0 || all != find_dynamic()) return;
  if (thread_index() < 16) few.at[thread_index()] = 1;
  for (uint32_t i = thread_index(); i < words; i += block_threads()) garbage[block_x() * words + i] = all[i];
  block_barrier();
  for (uint32_t i = thread_index(); i < words; i += block_threads()) all[i] = i;
  block_barrier();
  for (uint32_t i = thread_index(); i < words; i += block_threads()) out[block_x() * words + i] = all[words - 1 - i];
}

TEST_P(EachWave, DynamicSharedMemoryIsAsLargeAsTheLaunchSays) {
  constexpr uint32_t kWords = 40000;
  const DeviceArray<uint32_t> garbage(2 * kWords);
  const DeviceArray<uint32_t> out(2 * kWords);
  const LaunchShape shape{{2, 1}, kThreads, 1, kWords * 4};
  ASSERT_EQ(report_shaped(use_dynamic, shape, garbage.get(), out.get(), kWords), "");
  const std::vector<uint32_t> got = out.read();
  for (uint32_t i = 0; i < got.size(); i++) ASSERT_EQ(got[i], kWords - 1 - i % kWords);
  const std::vector<uint32_t> before = garbage.read();
  EXPECT_LT(std::count(before.begin(), before.end(), 0u), 100);
  EXPECT_LT(std::count(before.begin(), before.end(), 5u), 100);

  const LaunchShape largest{{1, 1}, kThreads, 1, 227 * 1024 - 64};
  EXPECT_EQ(report_shaped(use_dynamic, largest, garbage.get(), out.get(), kWords), "");
  const LaunchShape too_large{{1, 1}, kThreads, 1, 227 * 1024 + 1};
  EXPECT_EQ(report_shaped(use_dynamic, too_large, garbage.get(), out.get(), kWords).find("refused"), 0u);
  const LaunchShape too_large_together{{1, 1}, kThreads, 1, 227 * 1024};
  EXPECT_NE(
      report_shaped(use_dynamic, too_large_together, garbage.get(), out.get(), kWords).find("too much shared memory"),
      std::string::npos);
}

// Each block adds its number into the memory of all blocks of its cluster, and tells what it got.
void share_in_cluster(uint32_t* sums, uint32_t* ranks) {
  TOKENDRAW_SHARED(uint32_t, sum);
  TOKENDRAW_SHARED_DYNAMIC(uint32_t, mine);
  if (thread_index() == 0) {
    sum = 0;
    mine[0] = block_x() + 1;
  }
  cluster_barrier();
  if (thread_index() < cluster_blocks()) {
    atomic_add(cluster_map(&sum, thread_index()), *cluster_map(mine, cluster_rank()));
  }
  cluster_barrier();
  if (thread_index() == 0) {
    sums[block_y() * grid_x() + block_x()] = sum;
    ranks[block_y() * grid_x() + block_x()] = cluster_rank();
  }
}

TEST_P(EachWave, BlocksOfAClusterShareMemory) {
  for (const uint32_t blocks : {1u, 2u, 8u, 16u}) {
    const LaunchShape shape{{32, 2}, kThreads, blocks, 16};
    for (uint64_t seed = 1; seed <= kSeeds; seed++) {
      simt_set_seed(seed);
      const DeviceArray<uint32_t> sums(64);
      const DeviceArray<uint32_t> ranks(64);
      ASSERT_EQ(report_shaped(share_in_cluster, shape, sums.get(), ranks.get()), "");
      const std::vector<uint32_t> got = sums.read();
      const std::vector<uint32_t> got_ranks = ranks.read();
      for (uint32_t i = 0; i < 64; i++) {
        const uint32_t first = i % 32 / blocks * blocks + 1;  // of the numbers that its blocks add
        ASSERT_EQ(got[i], (first + first + blocks - 1) * blocks / 2) << blocks;
        ASSERT_EQ(got_ranks[i], i % 32 % blocks);
      }
    }
  }
}

// Looks at the numbers of the others. Without the second barrier a block may end while others still look.
void look_in_cluster(uint32_t* sums, bool first_barrier, bool second_barrier) {
  TOKENDRAW_SHARED(uint32_t, mine);
  if (thread_index() == 0) mine = block_x() + 1;
  if (first_barrier) {
    cluster_barrier();
  } else {
    block_barrier();
  }
  if (thread_index() < cluster_blocks()) atomic_add(sums + block_x(), *cluster_map(&mine, thread_index()));
  if (second_barrier) cluster_barrier();
}

TEST_P(EachWave, AMissingClusterBarrierShows) {
  const LaunchShape shape{{8, 1}, kThreads, 4, 0};
  const auto look = [&](uint64_t seed, bool first_barrier, bool second_barrier) {
    simt_reset();
    simt_set_seed(seed);
    const DeviceArray<uint32_t> sums(std::vector<uint32_t>(8, 0));
    std::string report = report_shaped(look_in_cluster, shape, sums.get(), first_barrier, second_barrier);
    if (report.empty()) {
      EXPECT_EQ(sums.read(), (std::vector<uint32_t>{10, 10, 10, 10, 26, 26, 26, 26}));
    }
    return report;
  };
  uint64_t reported = 0;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    EXPECT_EQ(look(seed, true, true), "");
    EXPECT_NE(look(seed, false, true).find("before a cluster_barrier"), std::string::npos);
    if (look(seed, true, false).find("of a block that has ended") != std::string::npos) reported++;
  }
  EXPECT_GT(reported, kSeeds / 2);
}

struct Letters {
  uint64_t from[16];
  Inbox inbox;
};

// Each block sends its number to all, and adds up what it gets.
template <int kWave>
void send_in_cluster(uint32_t* sums, uint32_t announced, bool waits) {
  TOKENDRAW_SHARED(Letters, letters);
  if (thread_index() == 0) open_inbox(&letters.inbox, cluster_blocks());
  cluster_barrier();
  if (thread_index() < cluster_blocks()) {
    send(letters.from, cluster_rank(), uint64_t{block_x() + 1}, &letters.inbox, thread_index());
    announce(&letters.inbox, thread_index(), announced);
  }
  if (waits) wait_for_inbox<kWave>(&letters.inbox);
  if (thread_index() != 0) return;
  uint64_t sum = 0;
  for (uint32_t rank = 0; rank < cluster_blocks(); rank++) sum += letters.from[rank];
  sums[block_x()] = static_cast<uint32_t>(sum);
}

TEST_P(EachWave, MessagesArriveByTheEndOfTheWaitForThem) {
  const auto report_of = [](uint64_t seed, uint32_t announced, bool waits) {
    simt_reset();
    simt_set_seed(seed);
    const DeviceArray<uint32_t> sums(8);
    const LaunchShape shape{{8, 1}, kThreads, 4, 0};
    std::string report =
        report_shaped(wave() == 32 ? send_in_cluster<32> : send_in_cluster<64>, shape, sums.get(), announced, waits);
    if (report.empty() && sums.read() != std::vector<uint32_t>{10, 10, 10, 10, 26, 26, 26, 26}) report = "wrong";
    return report;
  };
  uint64_t shown = 0;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    EXPECT_EQ(report_of(seed, 8, true), "");
    EXPECT_NE(report_of(seed, 12, true), "");  // more than is sent
    if (!report_of(seed, 8, false).empty()) shown++;
  }
  EXPECT_GT(shown, kSeeds / 2);
}

enum class Defect : int { kOneBlockEnds, kOneBlockAtItsOwnBarrier, kFarRank, kNotShared };

void diverge_in_cluster(Defect defect, uint32_t* global) {
  TOKENDRAW_SHARED(uint32_t, shared);
  shared = 0;
  const bool odd = cluster_rank() == 1;
  switch (defect) {
    case Defect::kOneBlockEnds:
      if (!odd) cluster_barrier();
      break;
    case Defect::kOneBlockAtItsOwnBarrier:
      if (odd) block_barrier();
      if (!odd) cluster_barrier();
      break;
    case Defect::kFarRank:
      cluster_barrier();
      (void)cluster_map(&shared, cluster_blocks());
      break;
    case Defect::kNotShared:
      cluster_barrier();
      (void)cluster_map(global, 0);
      break;
  }
}

TEST_P(EachWave, MisuseOfClustersIsReported) {
  const DeviceArray<uint32_t> global(1);
  const LaunchShape shape{{8, 1}, kThreads, 4, 0};
  const auto report_of_defect = [&](Defect defect) {
    simt_reset();
    return report_shaped(diverge_in_cluster, shape, defect, global.get());
  };
  EXPECT_NE(report_of_defect(Defect::kOneBlockEnds).find("divergence"), std::string::npos);
  EXPECT_NE(report_of_defect(Defect::kOneBlockAtItsOwnBarrier).find("divergence"), std::string::npos);
  EXPECT_NE(report_of_defect(Defect::kFarRank).find("maps block 4"), std::string::npos);
  EXPECT_NE(report_of_defect(Defect::kNotShared).find("not its shared memory"), std::string::npos);
  simt_reset();
  EXPECT_EQ(report_shaped(diverge_in_cluster, {{9, 1}, kThreads, 4, 0}, Defect::kFarRank, global.get()).find("refused"),
            0u);
  EXPECT_EQ(
      report_shaped(diverge_in_cluster, {{17, 1}, kThreads, 17, 0}, Defect::kFarRank, global.get()).find("refused"),
      0u);
}

}  // namespace
}  // namespace tokendraw::gpu::platform
