// SPDX-License-Identifier: Apache-2.0
#include "scheduler.h"

#include <cstring>
#include <exception>
#include <stdexcept>
#include <utility>

#include "call_text.h"

namespace tokendraw::gpu::platform::simt {
namespace {

bool is_complete(const Inbox& inbox) { return inbox.announcements_left == 0 && inbox.bytes_left == 0; }

bool is_same(Site a, Site b) { return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0); }

}  // namespace

// Nothing on the stack of this lane is ever destroyed, so no memory may hang on it.
void Scheduler::fail(std::string&& what) {
  Lane* self = machine.lane;
  report_ = fmt::format("block ({}, {}), thread {}: {} [seed {}]", self->block->x, self->block->y, self->thread, what,
                        schedule_.seed);
  std::string().swap(what);
  failed_ = true;
  machine.lane = nullptr;
  leave_context(&self->context, &home_);
  __builtin_unreachable();
}

void Scheduler::preempt(Site site) {
  if (machine.lane == nullptr) throw std::logic_error("a device function was called outside a kernel");
  draw_preemption();
  idle_steps_++;
  if (idle_steps_ > schedule_.idle_step_limit) {
    fail(fmt::format(
        "no lane has ended and none has passed a barrier for {} steps: it waits at {} for what does not come",
        schedule_.idle_step_limit, site));
  }
  leave((draw() & 1) != 0 ? machine.lane->warp : nullptr);
}

// Counts the running lane in at its warp's meeting.
void Scheduler::join_meeting(Warp* warp, Meeting meeting, Site site) {
  if (warp->ended > 0) {
    fail(fmt::format("divergence: it calls {} though {} lanes of its warp have ended", Call{meeting, site},
                     warp->ended));
  }
  if (warp->waiting == 0) {
    warp->meeting = meeting;
    warp->site = site;
  } else if (warp->meeting != meeting || !is_same(warp->site, site)) {
    fail(fmt::format("divergence: it calls {} while {} lanes of its warp wait in {}", Call{meeting, site},
                     warp->waiting, Call{warp->meeting, warp->site}));
  }
  warp->waiting++;
}

const uint64_t* Scheduler::meet_warp(Meeting meeting, uint64_t value, Site site) {
  Lane* self = machine.lane;
  Warp* warp = self->warp;
  join_meeting(warp, meeting, site);
  uint64_t* values = warp->values[warp->phase];
  values[self->index] = value;
  if (warp->waiting < machine.wave) {
    wait_in_warp(warp, self->index);
  } else {
    warp->phase ^= 1;
    idle_steps_ = 0;
    release(warp);
    leave(warp);
  }
  return values;
}

// All waiting lanes of the block go on.
void Scheduler::release_block(Block* block) {
  block->answers[block->phase] = block->count;
  block->count = 0;
  block->phase ^= 1;
  block->warps_waiting = 0;
  idle_steps_ = 0;
  for (Warp& warp : block->warps) release(&warp);
}

// Counts a block in at its cluster's barrier; whether it was the last.
bool Scheduler::join_cluster(const Block* block, Site site) {
  Cluster& cluster = clusters_[cluster_of(block)];
  if (cluster.blocks_waiting > 0 && !is_same(cluster.site, site)) {
    fail(fmt::format("divergence: it calls {} while {} blocks of its cluster wait at {}",
                     Call{Meeting::kClusterBarrier, site}, cluster.blocks_waiting, cluster.site));
  }
  cluster.site = site;
  cluster.blocks_waiting++;
  if (cluster.blocks_waiting < machine.shape.cluster_blocks) return false;
  cluster.blocks_waiting = 0;
  cluster.met = true;
  return true;
}

uint32_t Scheduler::meet_block(Meeting meeting, bool value, Site site) {
  Lane* self = machine.lane;
  Warp* warp = self->warp;
  Block* block = self->block;
  if (block->ended > 0) {
    fail(fmt::format("divergence: it calls {} though {} threads of its block have ended", Call{meeting, site},
                     block->ended));
  }
  if (meeting == Meeting::kClusterBarrier && clusters_[cluster_of(block)].ended > 0) {
    fail(fmt::format("divergence: it calls {} though {} threads of its cluster have ended", Call{meeting, site},
                     clusters_[cluster_of(block)].ended));
  }
  join_meeting(warp, meeting, site);
  const uint32_t* answer = &block->answers[block->phase];
  block->count += value ? 1 : 0;
  if (warp->waiting < machine.wave) {
    wait_in_warp(warp, self->index);
    return *answer;
  }
  if (block->warps_waiting == 0) {
    block->meeting = meeting;
    block->site = site;
  } else if (block->meeting != meeting || !is_same(block->site, site)) {
    fail(fmt::format("divergence: it calls {} while {} warps of its block wait in {}", Call{meeting, site},
                     block->warps_waiting, Call{block->meeting, block->site}));
  }
  block->warps_waiting++;
  if (block->warps_waiting < block->warps.size()) {
    wait_in_warp(warp, self->index);
    return *answer;
  }
  if (meeting == Meeting::kClusterBarrier) {
    if (!join_cluster(block, site)) {
      wait_in_warp(warp, self->index);
      return *answer;
    }
    const size_t first = cluster_of(block) * machine.shape.cluster_blocks;
    for (size_t i = 0; i < machine.shape.cluster_blocks; i++) release_block(blocks_[first + i].get());
  } else {
    release_block(block);
  }
  leave(nullptr);
  return *answer;
}

void Scheduler::announce_bytes(Inbox* inbox, uint32_t bytes, Site site) {
  if (inbox->state != kInboxOpen) fail(fmt::format("announces to an inbox that is not open at {}", site));
  if (inbox->announcements_left == 0) fail(fmt::format("one announcement more than the inbox is for at {}", site));
  inbox->announcements_left--;
  inbox->bytes_left += static_cast<int32_t>(bytes);
  deliver_if_complete(inbox);
}

void Scheduler::send_bytes(void* to, const void* from, size_t bytes, Inbox* inbox, Site site) {
  if (inbox->state != kInboxOpen) fail(fmt::format("sends to an inbox that is not open at {}", site));
  if (is_complete(*inbox)) fail(fmt::format("sends more than was announced at {}", site));
  messages_.push_back({inbox, static_cast<unsigned char*>(to), bytes, {}});
  std::memcpy(messages_.back().content, from, bytes);
  inbox->bytes_left -= static_cast<int32_t>(bytes);
  deliver_if_complete(inbox);
}

void Scheduler::deliver_if_complete(Inbox* inbox) {
  if (!is_complete(*inbox)) return;
  std::erase_if(messages_, [&](const Message& message) {
    if (message.inbox != inbox) return false;
    std::memcpy(message.to, message.content, message.bytes);
    return true;
  });
  std::erase_if(inbox_waiters_, [&](const InboxWaiter& waiter) {
    if (waiter.inbox != inbox) return false;
    release(waiter.warp);
    return true;
  });
  idle_steps_ = 0;
}

void Scheduler::wait_for_inbox(const Inbox* inbox, Site site) {
  Warp* warp = machine.lane->warp;
  if (inbox->state != kInboxOpen) fail(fmt::format("waits for an inbox that is not open at {}", site));
  join_meeting(warp, Meeting::kInbox, site);
  if (warp->waiting == machine.wave) {
    if (is_complete(*inbox)) {
      idle_steps_ = 0;
      release(warp);
      leave(warp);
      return;
    }
    inbox_waiters_.push_back({inbox, warp});
  }
  wait_in_warp(warp, machine.lane->index);
}

void Scheduler::run_lane() {
  std::string thrown;
  try {
    (*kernel_)();
  } catch (const std::exception& exception) {
    thrown = fmt::format("the kernel threw: {}", exception.what());
  } catch (...) {
    thrown = "the kernel threw something";
  }
  if (!thrown.empty()) fail(std::move(thrown));
  end_lane();
}

void Scheduler::end_lane() {
  Lane* self = machine.lane;
  Warp* warp = self->warp;
  Block* block = self->block;
  if (warp->waiting > 0) {
    fail(fmt::format("divergence: it ends while {} lanes of its warp wait in {}", warp->waiting,
                     Call{warp->meeting, warp->site}));
  }
  if (block->warps_waiting > 0) {
    fail(fmt::format("divergence: it ends while {} warps of its block wait in {}", block->warps_waiting,
                     Call{block->meeting, block->site}));
  }
  Cluster& cluster = clusters_[cluster_of(block)];
  if (cluster.blocks_waiting > 0) {
    fail(fmt::format("divergence: it ends while {} blocks of its cluster wait in {}", cluster.blocks_waiting,
                     Call{Meeting::kClusterBarrier, cluster.site}));
  }
  for (const Message& message : messages_) {
    if (block->ended + 1 < machine.shape.threads) break;
    if (block->shared.contains(reinterpret_cast<uintptr_t>(message.to), message.bytes)) {
      fail("its block ends before a message to it has arrived");
    }
  }
  cluster.ended++;
  warp->ended++;
  warp->runnable &= ~(uint64_t{1} << self->index);
  if (warp->runnable == 0) unlist(warp);
  idle_steps_ = 0;
  machine.switches++;
  if (++block->ended < machine.shape.threads) {
    machine.lane = pick(warp);
  } else {  // run_blocks may start another block
    block->shared.forbid();
    block->running = false;
    if (--cluster.blocks_left == 0) free_clusters_.push_back(cluster_of(block));
    machine.lane = nullptr;
  }
  leave_context(&self->context, machine.lane == nullptr ? &home_ : &machine.lane->context);
}

}  // namespace tokendraw::gpu::platform::simt
