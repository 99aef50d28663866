// SPDX-License-Identifier: Apache-2.0
#include "machine.h"

#include <algorithm>
#include <numeric>
#include <stdexcept>
#include <utility>

#include "call_text.h"
#include "scheduler.h"

namespace tokendraw::gpu::platform::simt {
namespace {

Scheduler scheduler;

void enter_lane() { scheduler.run_lane(); }

// The dynamic shared memory has no variable of its own in the kernel.
const char kDynamicKey = 0;

// Each lane's stack takes two mappings of the 65530 that a process may have.
constexpr size_t kMostLanes = 16384;

}  // namespace

void Scheduler::make_room(size_t clusters) {
  const GridShape& shape = machine.shape;
  const size_t resident = clusters * shape.cluster_blocks;
  stacks_.reserve(resident * shape.threads);
  while (blocks_.size() < resident) {
    blocks_.push_back(std::make_unique<Block>());
    blocks_.back()->place = blocks_.size() - 1;
  }
  for (const auto& block : blocks_) block->running = false;
  for (size_t b = 0; b < resident; b++) {
    Block& block = *blocks_[b];
    block.lanes.resize(shape.threads);
    block.warps.resize(shape.threads / machine.wave);
    for (uint32_t t = 0; t < shape.threads; t++) {
      Warp* warp = &block.warps[t / machine.wave];
      block.lanes[t] = {{}, warp, &block, t, t % machine.wave};
      if (t % machine.wave == 0) warp->lanes = &block.lanes[t];
    }
  }
  clusters_.assign(clusters, {});
  free_clusters_.resize(clusters);
  std::iota(free_clusters_.begin(), free_clusters_.end(), size_t{0});
  ready_.clear();
}

void Scheduler::start_block(Block* block, uint32_t x, uint32_t y) {
  block->x = x;
  block->y = y;
  block->warps_waiting = 0;
  block->ended = 0;
  block->count = 0;
  block->phase = 0;
  block->running = true;
  block->shared.start(layout_, draw());
  for (Warp& warp : block->warps) {
    warp.waiting = 0;
    warp.ended = 0;
    warp.phase = 0;
    warp.runnable = 0;
    release(&warp);
  }
  for (Lane& lane : block->lanes) {
    stacks_.prepare(&lane.context, block->place * machine.shape.threads + lane.thread, enter_lane);
  }
}

bool Scheduler::run_blocks(const std::vector<uint32_t>& order) {
  const uint32_t width = machine.shape.cluster_blocks;
  const uint32_t clusters_x = machine.shape.grid_x / width;
  size_t started = 0;
  while (started < order.size() || free_clusters_.size() < clusters_.size()) {
    while (started < order.size() && !free_clusters_.empty()) {
      const size_t cluster = free_clusters_.back();
      free_clusters_.pop_back();
      clusters_[cluster] = {};
      clusters_[cluster].blocks_left = width;
      const uint32_t next = order[started++];
      for (uint32_t rank = 0; rank < width; rank++) {
        start_block(blocks_[cluster * width + rank].get(), next % clusters_x * width + rank, next / clusters_x);
      }
    }
    Lane* lane = pick(nullptr);
    if (lane == nullptr) {  // every way to get here is meant to be reported where it begins
      report_ = fmt::format("deadlock: all lanes wait [seed {}]", schedule_.seed);
      return false;
    }
    machine.lane = lane;
    switch_context(&home_, &lane->context);
    if (failed_) return false;
  }
  return true;
}

bool Scheduler::run(const std::function<void()>& kernel, const Schedule& schedule,
                    const std::function<Range(uintptr_t)>& find_range, std::string* report) {
  kernel_ = &kernel;
  find_range_ = &find_range;
  schedule_ = schedule;
  failed_ = false;
  idle_steps_ = 0;
  messages_.clear();
  inbox_waiters_.clear();
  state_ = (schedule.seed + 1) * 0x9e3779b97f4a7c15u | 1;
  for (int i = 0; i < 8; i++) draw();
  const uint32_t wave = machine.wave;
  all_lanes_ = wave == 64 ? ~uint64_t{0} : (uint64_t{1} << wave) - 1;
  machine.last_range = {};
  layout_.reset();

  constexpr uint32_t kMeans[] = {1, 4, 16, 64};
  constexpr uint64_t kStayMasks[] = {0x1, 0x7, 0x1f, 0x7f};
  preemption_mean_ = kMeans[draw_below(4)];
  stay_mask_ = kStayMasks[draw_below(4)];
  draw_preemption();

  std::vector<uint32_t> order(size_t{machine.shape.grid_x} / machine.shape.cluster_blocks * machine.shape.grid_y);
  std::iota(order.begin(), order.end(), uint32_t{0});
  for (size_t i = order.size(); i > 1; i--) std::swap(order[i - 1], order[draw_below(i)]);
  const size_t asked = schedule.resident_units != 0 ? schedule.resident_units : 1 + draw_below(3);
  const size_t most = kMostLanes / (size_t{machine.shape.threads} * machine.shape.cluster_blocks);
  make_room(std::min({asked, order.size(), most}));

  const bool good = run_blocks(order);
  machine.lane = nullptr;
  if (!good) {
    stacks_.forget_frames();
    *report = report_;
  }
  return good;
}

void Scheduler::check_address(uintptr_t address, size_t bytes, Site site) {
  if (machine.lane == nullptr) throw std::logic_error("a device function was called outside a kernel");
  if (address % bytes != 0) {
    fail(fmt::format("misaligned: {} bytes at the address {:#x} at {}", bytes, address, site));
  }
  const size_t first = cluster_of(machine.lane->block) * machine.shape.cluster_blocks;
  for (size_t rank = 0; rank < machine.shape.cluster_blocks; rank++) {
    if (blocks_[first + rank]->shared.contains(address, bytes)) return;
  }
  const Range range = (*find_range_)(address);
  if (address < range.begin || address - range.begin + bytes > range.bytes) {
    fail(fmt::format("{} bytes at the address {:#x} are no device memory at {}", bytes, address, site));
  }
  machine.last_range = range;
}

void* Scheduler::find_shared(const void* key, size_t bytes, bool dynamic, const char* name) {
  const SharedVariable* known = layout_.find(key);
  if (known == nullptr) {
    known = layout_.add(key, bytes, dynamic);
    if (known == nullptr) {
      fail(fmt::format("too much shared memory: {} with {} bytes beside {} static and {} dynamic bytes", name, bytes,
                       layout_.static_bytes, layout_.dynamic_bytes));
    }
    for (const auto& block : blocks_) {
      if (block->running) block->shared.start_variable(*known, draw());
    }
  }
  return machine.lane->block->shared.at(known->offset);
}

void* Scheduler::map_shared(const void* shared, uint32_t rank, Site site) {
  const Block* block = machine.lane->block;
  const auto address = reinterpret_cast<uintptr_t>(shared);
  if (!block->shared.contains(address, 1)) fail(fmt::format("maps what is not its shared memory at {}", site));
  if (rank >= machine.shape.cluster_blocks) fail(fmt::format("maps block {} of its cluster at {}", rank, site));
  const size_t cluster = cluster_of(block);
  const Block* other = blocks_[cluster * machine.shape.cluster_blocks + rank].get();
  if (other == block) return block->shared.at(block->shared.offset_of(address));
  if (!clusters_[cluster].met) {
    fail(fmt::format("maps another block's memory at {} before a cluster_barrier: it may not have begun", site));
  }
  if (!other->running) fail(fmt::format("maps the memory of a block that has ended at {}", site));
  return other->shared.at(block->shared.offset_of(address));
}

bool run_grid(const GridShape& shape, uint32_t wave, const std::function<void()>& kernel, const Schedule& schedule,
              const std::function<Range(uintptr_t)>& find_range, std::string* report) {
  machine.shape = shape;
  machine.wave = wave;
  return scheduler.run(kernel, schedule, find_range, report);
}

void fail(std::string&& what, Site site) {
  if (machine.lane == nullptr) throw std::logic_error(what);
  what += fmt::format(" at {}", site);
  scheduler.fail(std::move(what));
}

const uint64_t* meet_warp(Meeting meeting, int wave, uint64_t value, Site site) {
  if (machine.lane == nullptr) throw std::logic_error("a device function was called outside a kernel");
  if (static_cast<uint32_t>(wave) != machine.wave) {
    fail(fmt::format("a function for warps of {} lanes on a device whose warps have {}", wave, machine.wave), site);
  }
  return scheduler.meet_warp(meeting, value, site);
}

uint32_t meet_block(Meeting meeting, bool value, Site site) {
  if (machine.lane == nullptr) throw std::logic_error("a device function was called outside a kernel");
  return scheduler.meet_block(meeting, value, site);
}

void announce_bytes(Inbox* inbox, uint32_t bytes, Site site) { scheduler.announce_bytes(inbox, bytes, site); }

void send_bytes(void* to, const void* from, size_t bytes, Inbox* inbox, Site site) {
  scheduler.send_bytes(to, from, bytes, inbox, site);
}

void wait_for_inbox(const Inbox* inbox, int wave, Site site) {
  if (machine.lane == nullptr) throw std::logic_error("a device function was called outside a kernel");
  if (static_cast<uint32_t>(wave) != machine.wave) {
    fail(fmt::format("a function for warps of {} lanes on a device whose warps have {}", wave, machine.wave), site);
  }
  scheduler.wait_for_inbox(inbox, site);
}

uint32_t cluster_rank() { return static_cast<uint32_t>(machine.lane->block->place % machine.shape.cluster_blocks); }

void* map_shared(const void* shared, uint32_t rank, Site site) { return scheduler.map_shared(shared, rank, site); }

uint32_t block_x() { return machine.lane->block->x; }
uint32_t block_y() { return machine.lane->block->y; }

void preempt(Site site) { scheduler.preempt(site); }

void check_address_slowly(uintptr_t address, size_t bytes, Site site) { scheduler.check_address(address, bytes, site); }

void* static_shared(const void* key, size_t bytes, const char* name) {
  return scheduler.find_shared(key, bytes, false, name);
}

void* dynamic_shared(const char* name) {
  return scheduler.find_shared(&kDynamicKey, machine.shape.dynamic_shared_bytes, true, name);
}

}  // namespace tokendraw::gpu::platform::simt
