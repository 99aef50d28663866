// SPDX-License-Identifier: Apache-2.0
// Inside of the emulated multiprocessor: which lane runs, and who waits for whom.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "machine.h"
#include "shared_memory.h"
#include "switch_context.h"

namespace tokendraw::gpu::platform::simt {

inline constexpr uint32_t kMaxWave = 64;

struct Warp {
  uint64_t runnable = 0;  // lanes that wait for nothing, the running one included
  uint32_t list_place = 0;
  uint32_t waiting = 0;  // lanes
  uint32_t ended = 0;    // lanes
  Meeting meeting = Meeting::kNone;
  Site site = {};
  uint32_t phase = 0;
  Lane* lanes = nullptr;
  // A lane reads its answers before it comes to the next meeting, so two sets suffice.
  uint64_t values[2][kMaxWave];
};

struct Block {
  size_t place = 0;  // among the resident ones
  bool running = false;
  uint32_t x = 0;
  uint32_t y = 0;
  uint32_t warps_waiting = 0;
  uint32_t ended = 0;  // lanes
  Meeting meeting = Meeting::kNone;
  Site site = {};
  uint32_t phase = 0;
  uint32_t count = 0;  // of values that were true
  uint32_t answers[2] = {};
  SharedMemory shared;
  std::vector<Lane> lanes;
  std::vector<Warp> warps;
};

// Blocks that run together; a block that was launched without a cluster is one of its own.
struct Cluster {
  uint32_t blocks_left = 0;
  uint32_t blocks_waiting = 0;
  uint32_t ended = 0;  // lanes
  Site site = {};
  bool met = false;  // at a barrier, so all its blocks are known to have begun
};

// On its way to a block of the cluster.
struct Message {
  Inbox* inbox;
  unsigned char* to;
  size_t bytes;
  unsigned char content[16];
};

struct InboxWaiter {
  const Inbox* inbox;
  Warp* warp;
};

// What is kept from one kernel to the next, and the state of the kernel that runs.
class Scheduler {
 public:
  bool run(const std::function<void()>& kernel, const Schedule& schedule,
           const std::function<Range(uintptr_t)>& find_range, std::string* report);

  // For the running lane.
  void run_lane();
  [[noreturn]] void fail(std::string&& what);
  const uint64_t* meet_warp(Meeting meeting, uint64_t value, Site site);
  uint32_t meet_block(Meeting meeting, bool value, Site site);
  void* map_shared(const void* shared, uint32_t rank, Site site);
  void preempt(Site site);
  void announce_bytes(Inbox* inbox, uint32_t bytes, Site site);
  void send_bytes(void* to, const void* from, size_t bytes, Inbox* inbox, Site site);
  void wait_for_inbox(const Inbox* inbox, Site site);
  void check_address(uintptr_t address, size_t bytes, Site site);
  void* find_shared(const void* key, size_t bytes, bool dynamic, const char* name);

 private:
  uint64_t draw() {  // xorshift64*
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1du;
  }
  uint32_t draw_below(uint64_t bound) { return static_cast<uint32_t>(((draw() >> 32) * bound) >> 32); }
  void draw_preemption() { machine.until_preemption = draw_below(2 * preemption_mean_); }

  void make_room(size_t clusters);
  void start_block(Block* block, uint32_t x, uint32_t y);
  bool run_blocks(const std::vector<uint32_t>& order);
  void end_lane();

  void list(Warp* warp);
  void unlist(Warp* warp);
  void release(Warp* warp);
  Lane* pick(Warp* preferred);
  void leave(Warp* preferred);
  void release_block(Block* block);
  bool join_cluster(const Block* block, Site site);
  size_t cluster_of(const Block* block) const { return block->place / machine.shape.cluster_blocks; }
  void join_meeting(Warp* warp, Meeting meeting, Site site);
  void wait_in_warp(Warp* warp, uint32_t index);
  void deliver_if_complete(Inbox* inbox);

  StackPool stacks_;
  std::vector<std::unique_ptr<Block>> blocks_;
  SharedLayout layout_;
  std::vector<Warp*> ready_;  // warps with a runnable lane
  Context home_;              // of run_blocks
  const std::function<void()>* kernel_ = nullptr;
  const std::function<Range(uintptr_t)>* find_range_ = nullptr;
  std::string report_;
  bool failed_ = false;
  Schedule schedule_;
  uint64_t state_ = 1;
  uint64_t idle_steps_ = 0;  // since a lane ended or a meeting took place
  uint32_t preemption_mean_ = 1;
  uint64_t stay_mask_ = 0;  // another warp is chosen where a draw has none of these bits
  uint64_t all_lanes_ = 0;
  std::vector<Cluster> clusters_;  // resident ones
  std::vector<size_t> free_clusters_;
  std::vector<Message> messages_;
  std::vector<InboxWaiter> inbox_waiters_;
};

// ---- What every meeting does

inline void Scheduler::list(Warp* warp) {
  warp->list_place = static_cast<uint32_t>(ready_.size());
  ready_.push_back(warp);
}

inline void Scheduler::unlist(Warp* warp) {
  ready_[warp->list_place] = ready_.back();
  ready_[warp->list_place]->list_place = warp->list_place;
  ready_.pop_back();
}

inline void Scheduler::release(Warp* warp) {
  if (warp->runnable == 0) list(warp);
  warp->runnable = all_lanes_;
  warp->waiting = 0;
}

// A lane that can run, seldom of another warp than the preferred one; nullptr if there is none.
SIMT_INLINE Lane* Scheduler::pick(Warp* preferred) {
  if (ready_.empty()) return nullptr;
  const uint64_t drawn = draw();
  Warp* warp = preferred;
  if (warp == nullptr || warp->runnable == 0 || (drawn & stay_mask_) == 0) {
    warp = ready_[((drawn >> 32) * ready_.size()) >> 32];
  }
  const uint32_t first = static_cast<uint32_t>(drawn >> 20) & (machine.wave - 1);
  const uint64_t from_first = warp->runnable >> first;
  const int lane =
      from_first != 0 ? static_cast<int>(first) + __builtin_ctzll(from_first) : __builtin_ctzll(warp->runnable);
  return &warp->lanes[lane];
}

// Lets a lane run that can; returns when it is this lane's turn again.
SIMT_INLINE void Scheduler::leave(Warp* preferred) {
  Lane* self = machine.lane;
  Lane* next = pick(preferred);
  if (next == self) return;
  machine.lane = next;
  machine.switches++;
  switch_context(&self->context, next == nullptr ? &home_ : &next->context);
}

SIMT_INLINE void Scheduler::wait_in_warp(Warp* warp, uint32_t index) {
  warp->runnable &= ~(uint64_t{1} << index);
  if (warp->runnable == 0) unlist(warp);
  leave(warp);
}

}  // namespace tokendraw::gpu::platform::simt
