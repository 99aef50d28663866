// SPDX-License-Identifier: Apache-2.0
// The emulator's device functions do what src/gpu/platform/platform.h says, for every schedule tried.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <vector>

#include "device_array.h"

namespace tokendraw::gpu::platform {
namespace {

constexpr uint64_t kSeeds = 40;
constexpr uint32_t kThreads = 128;

INSTANTIATE_TEST_SUITE_P(Simt, EachWave, testing::Values(32, 64), wave_name);

void count_visits(uint32_t* visits, uint32_t* shape) {
  const uint32_t block = block_y() * grid_x() + block_x();
  visits[block * block_threads() + thread_index()]++;
  if (block == 0 && thread_index() == 0) {
    shape[0] = grid_x();
    shape[1] = grid_y();
    shape[2] = block_threads();
  }
}

TEST_P(EachWave, EveryThreadOfTheGridRunsOnce) {
  const DeviceArray<uint32_t> visits(std::vector<uint32_t>(5 * 3 * kThreads, 0));
  const DeviceArray<uint32_t> shape(3);
  ASSERT_EQ(report_of(count_visits, {5, 3}, kThreads, visits.get(), shape.get()), "");
  EXPECT_EQ(visits.read(), std::vector<uint32_t>(5 * 3 * kThreads, 1));
  EXPECT_EQ(shape.read(), (std::vector<uint32_t>{5, 3, kThreads}));
}

struct Numbers {
  uint32_t at[1024];
};

void pass_around(uint32_t* sums, uint32_t rounds) {
  TOKENDRAW_SHARED(Numbers, numbers);
  uint32_t sum = 0;
  for (uint32_t round = 0; round < rounds; round++) {
    numbers.at[thread_index()] = thread_index() * (round + 1);
    block_barrier();
    sum += numbers.at[(thread_index() + 33) % block_threads()];
    block_barrier();
  }
  sums[block_x() * block_threads() + thread_index()] = sum;
}

TEST_P(EachWave, BlockBarrierOrdersMemory) {
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    const DeviceArray<uint32_t> sums(4 * kThreads);
    ASSERT_EQ(report_of(pass_around, {4, 1}, kThreads, sums.get(), 3u), "");
    const std::vector<uint32_t> got = sums.read();
    for (uint32_t i = 0; i < 4 * kThreads; i++) ASSERT_EQ(got[i], (i % kThreads + 33) % kThreads * 6) << seed;
  }
}

void ask_any(const uint32_t* which, uint32_t rounds, uint32_t* answers) {
  for (uint32_t round = 0; round < rounds; round++) {
    const bool any = block_any(which[round] == thread_index());
    answers[round * block_threads() + thread_index()] = any ? 1 : 0;
  }
}

TEST_P(EachWave, BlockAnyTellsAllThreads) {
  const std::vector<uint32_t> which = {0, 500, 127, 500, 500, 64, 31, 500};
  const DeviceArray<uint32_t> which_there(which);
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    const DeviceArray<uint32_t> answers(which.size() * kThreads);
    ASSERT_EQ(report_of(ask_any, {1, 1}, kThreads, static_cast<const uint32_t*>(which_there.get()),
                        static_cast<uint32_t>(which.size()), answers.get()),
              "");
    const std::vector<uint32_t> got = answers.read();
    for (size_t i = 0; i < got.size(); i++) ASSERT_EQ(got[i], which[i / kThreads] < kThreads ? 1u : 0u);
  }
}

struct Exchanged {
  uint32_t shuffle;
  int32_t shuffle_signed;
  float shuffle_float;
  uint64_t shuffle_wide;
  uint32_t up;
  int32_t up_signed;
  float up_float;
  uint64_t up_wide;
  uint32_t crossed;
  int32_t crossed_signed;
  float crossed_float;
  uint64_t crossed_wide;
  uint64_t ballot;
  uint32_t sum;
};

constexpr uint64_t kWide = 0x100000001u;

template <int kWave>
void exchange(Exchanged* out) {
  const uint32_t thread = thread_index();
  const uint32_t other = (thread * 7 + 3) % kWave;
  const auto as_int = -static_cast<int32_t>(thread);
  const auto as_float = -0.5f * static_cast<float>(thread);
  Exchanged got;
  got.shuffle = warp_shuffle<kWave>(thread, other);
  got.shuffle_signed = warp_shuffle<kWave>(as_int, other);
  got.shuffle_float = warp_shuffle<kWave>(as_float, other);
  got.shuffle_wide = warp_shuffle<kWave>(thread * kWide, other);
  got.up = warp_shuffle_up<kWave>(thread, 5);
  got.up_signed = warp_shuffle_up<kWave>(as_int, 5);
  got.up_float = warp_shuffle_up<kWave>(as_float, 5);
  got.up_wide = warp_shuffle_up<kWave>(thread * kWide, 5);
  got.crossed = warp_shuffle_xor<kWave>(thread, 9);
  got.crossed_signed = warp_shuffle_xor<kWave>(as_int, 9);
  got.crossed_float = warp_shuffle_xor<kWave>(as_float, 9);
  got.crossed_wide = warp_shuffle_xor<kWave>(thread * kWide, 9);
  got.ballot = warp_ballot<kWave>(thread % 3 == 0);
  got.sum = warp_add<kWave>(thread << 24);
  out[thread] = got;
}

TEST_P(EachWave, ShufflesAndBallots) {
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    const DeviceArray<Exchanged> out(kThreads);
    ASSERT_EQ(report_of(BY_WAVE(exchange), {1, 1}, kThreads, out.get()), "");
    const std::vector<Exchanged> got = out.read();
    for (uint32_t thread = 0; thread < kThreads; thread++) {
      const uint32_t first = thread / wave() * wave();
      const uint32_t other = first + (thread * 7 + 3) % wave();
      const uint32_t below = thread - first < 5 ? thread : thread - 5;
      const uint32_t crossed = first + ((thread - first) ^ 9u);
      const Exchanged& at = got[thread];
      ASSERT_EQ(at.shuffle, other);
      ASSERT_EQ(at.shuffle_signed, -static_cast<int32_t>(other));
      ASSERT_EQ(at.shuffle_float, -0.5f * static_cast<float>(other));
      ASSERT_EQ(at.shuffle_wide, other * kWide);
      ASSERT_EQ(at.up, below);
      ASSERT_EQ(at.up_signed, -static_cast<int32_t>(below));
      ASSERT_EQ(at.up_float, -0.5f * static_cast<float>(below));
      ASSERT_EQ(at.up_wide, below * kWide);
      ASSERT_EQ(at.crossed, crossed);
      ASSERT_EQ(at.crossed_signed, -static_cast<int32_t>(crossed));
      ASSERT_EQ(at.crossed_float, -0.5f * static_cast<float>(crossed));
      ASSERT_EQ(at.crossed_wide, crossed * kWide);
      uint64_t ballot = 0;
      for (uint32_t lane = 0; lane < wave(); lane++) ballot |= uint64_t{(first + lane) % 3 == 0} << lane;
      ASSERT_EQ(at.ballot, ballot);
      uint32_t sum = 0;
      for (uint32_t lane = 0; lane < wave(); lane++) sum += (first + lane) << 24;
      ASSERT_EQ(at.sum, sum);
    }
  }
}

template <int kWave>
void pass_in_warp(uint32_t* sums) {
  TOKENDRAW_SHARED(Numbers, numbers);
  const uint32_t first = thread_index() / kWave * kWave;
  uint32_t sum = 0;
  for (uint32_t round = 0; round < 3; round++) {
    numbers.at[thread_index()] = thread_index() + round;
    warp_barrier<kWave>();
    sum += numbers.at[first + (thread_index() + 1) % kWave];
    warp_barrier<kWave>();
  }
  sums[thread_index()] = sum;
}

TEST_P(EachWave, WarpBarrierOrdersMemory) {
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    const DeviceArray<uint32_t> sums(kThreads);
    ASSERT_EQ(report_of(BY_WAVE(pass_in_warp), {1, 1}, kThreads, sums.get()), "");
    const std::vector<uint32_t> got = sums.read();
    for (uint32_t i = 0; i < kThreads; i++) {
      ASSERT_EQ(got[i], 3 * (i / wave() * wave() + (i + 1) % wave()) + 3);
    }
  }
}

struct Totals {
  uint32_t sum;
  uint32_t largest;
  uint32_t bits;
  uint32_t olds;  // how many additions of the block found an even number
  uint64_t wide_sum;
};

void change_all(Totals* global, uint64_t* smallest, uint64_t* cell, Totals* blocks) {
  TOKENDRAW_SHARED(Totals, totals);
  if (thread_index() == 0) totals = {};
  block_barrier();
  const uint32_t id = block_x() * block_threads() + thread_index();
  if (atomic_add(&totals.sum, 1u) % 2 == 0) atomic_add(&totals.olds, 1u);
  atomic_max(&totals.largest, id);
  atomic_or(&totals.bits, 1u << (id % 30));
  atomic_add(&totals.wide_sum, uint64_t{id} << 20);
  atomic_add(&global->sum, id);
  atomic_max(&global->largest, id);
  atomic_or(&global->bits, 1u << (id % 31));
  atomic_add(&global->wide_sum, uint64_t{id} << 30);
  atomic_min(smallest, (uint64_t{1} << 40) + id);
  uint64_t seen = load_shared_result(cell);
  for (;;) {
    const uint64_t old = atomic_exchange_if(cell, seen, seen + id);
    if (old == seen) break;
    seen = old;
  }
  block_barrier();
  if (thread_index() == 0) blocks[block_x()] = totals;
}

TEST_P(EachWave, Atomics) {
  constexpr uint32_t kBlocks = 6;
  constexpr uint32_t kAll = kBlocks * kThreads;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    simt_set_seed(seed);
    const DeviceArray<Totals> global(std::vector<Totals>(1, Totals{}));
    const DeviceArray<uint64_t> smallest(std::vector<uint64_t>{~uint64_t{0}});
    const DeviceArray<uint64_t> cell(std::vector<uint64_t>{7});
    const DeviceArray<Totals> blocks(kBlocks);
    ASSERT_EQ(report_of(change_all, {kBlocks, 1}, kThreads, global.get(), smallest.get(), cell.get(), blocks.get()),
              "");
    const uint32_t sum = kAll * (kAll - 1) / 2;
    EXPECT_EQ(global.read()[0].sum, sum);
    EXPECT_EQ(global.read()[0].largest, kAll - 1);
    EXPECT_EQ(global.read()[0].bits, 0x7fffffffu);
    EXPECT_EQ(global.read()[0].wide_sum, uint64_t{sum} << 30);
    EXPECT_EQ(smallest.read()[0], uint64_t{1} << 40);
    EXPECT_EQ(cell.read()[0], 7u + sum);
    const std::vector<Totals> got = blocks.read();
    for (uint32_t block = 0; block < kBlocks; block++) {
      EXPECT_EQ(got[block].sum, kThreads);
      EXPECT_EQ(got[block].olds, kThreads / 2);
      EXPECT_EQ(got[block].largest, (block + 1) * kThreads - 1);
      EXPECT_EQ(got[block].bits, 0x3fffffffu);
      const uint64_t ids = uint64_t{kThreads} * kThreads * block + kThreads * (kThreads - 1) / 2;
      EXPECT_EQ(got[block].wide_sum, ids << 20);
    }
  }
}

void load_all(const uint32_t* from, uint32_t* words, const uint16_t* shorts, uint32_t* values) {
  const Words16 four = load_words(from + 4 * thread_index(), thread_index() % 2 == 0);
  for (uint32_t i = 0; i < 4; i++) words[4 * thread_index() + i] = four.word[i];
  values[thread_index()] = load_value(shorts + thread_index()) + load_value(from + thread_index());
}

TEST_P(EachWave, LoadsReturnWhatIsThere) {
  std::vector<uint32_t> words(4 * kThreads);
  std::iota(words.begin(), words.end(), 1000u);
  std::vector<uint16_t> shorts(kThreads);
  std::iota(shorts.begin(), shorts.end(), uint16_t{7});
  const DeviceArray<uint32_t> from(words);
  const DeviceArray<uint16_t> shorts_there(shorts);
  const DeviceArray<uint32_t> to(4 * kThreads);
  const DeviceArray<uint32_t> values(kThreads);
  ASSERT_EQ(report_of(load_all, {1, 1}, kThreads, static_cast<const uint32_t*>(from.get()), to.get(),
                      static_cast<const uint16_t*>(shorts_there.get()), values.get()),
            "");
  EXPECT_EQ(to.read(), words);
  const std::vector<uint32_t> got = values.read();
  for (uint32_t i = 0; i < kThreads; i++) EXPECT_EQ(got[i], 1007u + 2 * i);
}

TEST(SimtArithmetic, WorksOnTheHostToo) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  EXPECT_EQ(max_number(nan, 2.0f), 2.0f);
  EXPECT_EQ(max_number(-3.0f, nan), -3.0f);
  EXPECT_EQ(max_number(-3.0f, 2.0f), 2.0f);
  EXPECT_TRUE(std::isnan(max_number(nan, nan)));
  EXPECT_EQ(count_bits(0), 0);
  EXPECT_EQ(count_bits(0xf0000000000000ffu), 12);
  EXPECT_EQ(first_bit(uint64_t{1} << 63), 63);
  EXPECT_EQ(first_bit(12), 2);
  EXPECT_EQ(leading_zeros(0), 32);
  EXPECT_EQ(leading_zeros(0x00ffffffu), 8);
  for (const double part : {0.0, 0x1p-40, 0.5, 0.75, 1.0 - 0x1p-40}) {
    EXPECT_EQ(add_toward_zero(0x1p52 + 7, 3 + part), 0x1p52 + 10);
  }
}

struct alignas(16) Aligned {
  unsigned char bytes[40];
};

void look_at_shared(uint64_t* addresses, uint32_t* contents) {
  TOKENDRAW_SHARED(uint32_t, small);
  TOKENDRAW_SHARED(Aligned, aligned);
  TOKENDRAW_SHARED(Numbers, numbers);
  uint64_t* mine = addresses + 3 * (block_x() * block_threads() + thread_index());
  mine[0] = reinterpret_cast<uintptr_t>(&small);
  mine[1] = reinterpret_cast<uintptr_t>(&aligned);
  mine[2] = reinterpret_cast<uintptr_t>(&numbers);
  if (thread_index() == 0) {
    for (uint32_t i = 0; i < 1024; i++) contents[1024 * block_x() + i] = numbers.at[i];
  }
  block_barrier();
  numbers.at[thread_index()] = 0;
}

TEST_P(EachWave, SharedMemoryIsOneForABlockAndGarbageAtFirst) {
  constexpr uint32_t kBlocks = 5;
  const DeviceArray<uint64_t> addresses(3 * kBlocks * kThreads);
  const DeviceArray<uint32_t> contents(kBlocks * 1024);
  simt_set_resident_blocks(1);
  ASSERT_EQ(report_of(look_at_shared, {kBlocks, 1}, kThreads, addresses.get(), contents.get()), "");
  const std::vector<uint64_t> at = addresses.read();
  for (size_t i = 0; i < at.size(); i++) {
    ASSERT_EQ(at[i] % 16, 0u);
    ASSERT_EQ(at[i], at[i % 3]);
  }
  EXPECT_GE(std::max(at[0], at[1]) - std::min(at[0], at[1]), 40u);
  const std::vector<uint32_t> words = contents.read();
  for (uint32_t block = 0; block < kBlocks; block++) {
    const auto begin = words.begin() + 1024 * block;
    EXPECT_LT(std::count(begin, begin + 1024, 0u), 4) << "the zeros of the block before are gone";
    EXPECT_GT(std::set<uint32_t>(begin, begin + 1024).size(), 100u);
    EXPECT_EQ(std::equal(begin, begin + 1024, words.begin()), block == 0);
  }
}

template <size_t kBytes>
struct Bytes {
  unsigned char at[kBytes];
};

void use_all_shared() {
  TOKENDRAW_SHARED(Bytes<32 * 1024>, some);
  TOKENDRAW_SHARED(Bytes<16 * 1024>, more);
  some.at[thread_index()] = more.at[thread_index()] = 1;
}

void use_more_shared() {
  TOKENDRAW_SHARED(Bytes<32 * 1024>, some);
  TOKENDRAW_SHARED(Bytes<16 * 1024 + 1>, more);
  some.at[thread_index()] = more.at[thread_index()] = 1;
}

TEST_P(EachWave, SharedMemoryHasALimit) {
  EXPECT_EQ(report_of(use_all_shared, {2, 1}, kThreads), "");
  EXPECT_NE(report_of(use_more_shared, {2, 1}, kThreads).find("too much shared memory"), std::string::npos);
}

// The order in which blocks begin and end.
void note_order(uint32_t* next, uint32_t* order) {
  if (thread_index() == 0) order[atomic_add(next, 1u)] = 2 * block_x();
  block_barrier();
  for (int i = 0; i < 20; i++) fence_device();
  block_barrier();
  if (thread_index() == 0) order[atomic_add(next, 1u)] = 2 * block_x() + 1;
}

class SimtOrder : public SimtTest {
 protected:
  static std::vector<uint32_t> order_of(uint64_t seed, uint32_t resident) {
    simt_set_seed(seed);
    simt_set_resident_blocks(resident);
    const DeviceArray<uint32_t> next(std::vector<uint32_t>{0});
    const DeviceArray<uint32_t> order(16);
    EXPECT_EQ(report_of(note_order, {8, 1}, kThreads, next.get(), order.get()), "");
    return order.read();
  }
};

TEST_F(SimtOrder, FollowsFromTheSeed) {
  std::set<std::vector<uint32_t>> orders;
  for (uint64_t seed = 1; seed <= kSeeds; seed++) {
    const std::vector<uint32_t> order = order_of(seed, 0);
    EXPECT_EQ(order_of(seed, 0), order);
    orders.insert(order);
  }
  EXPECT_GT(orders.size(), kSeeds / 2);
}

TEST_F(SimtOrder, BlocksOverlapAsManyAsAreResident) {
  for (const uint32_t resident : {1u, 2u, 3u}) {
    uint32_t most = 0;
    for (uint64_t seed = 1; seed <= kSeeds; seed++) {
      uint32_t open = 0;
      for (const uint32_t event : order_of(seed, resident)) {
        open = event % 2 == 0 ? open + 1 : open - 1;
        most = std::max(most, open);
      }
    }
    EXPECT_EQ(most, resident);
  }
}

}  // namespace
}  // namespace tokendraw::gpu::platform
