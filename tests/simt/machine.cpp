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
const char dynamic_key = 0;

}  // namespace

void Scheduler::make_room(uint32_t units) {
  const LaunchShape& shape = machine.shape;
  const size_t resident = static_cast<size_t>(units) * shape.cluster_blocks;
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
  free_units_.resize(units);
  std::iota(free_units_.begin(), free_units_.end(), size_t{0});
  unit_blocks_left_.assign(units, 0);
  ready_.clear();
}

void Scheduler::start_block(Block* block, uint32_t x, uint32_t y) {
  block->x = x;
  block->y = y;
  block->warps_waiting = 0;
  block->ended = 0;
  block->any = false;
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
  const uint32_t cluster = machine.shape.cluster_blocks;
  const uint32_t units_x = machine.shape.grid_x / cluster;
  size_t started = 0;
  const size_t units = free_units_.size();
  while (started < order.size() || free_units_.size() < units) {
    while (started < order.size() && !free_units_.empty()) {
      const size_t unit = free_units_.back();
      free_units_.pop_back();
      unit_blocks_left_[unit] = cluster;
      const uint32_t next = order[started++];
      for (uint32_t rank = 0; rank < cluster; rank++) {
        start_block(blocks_[unit * cluster + rank].get(), next % units_x * cluster + rank, next / units_x);
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
  const uint32_t asked = schedule.resident_units != 0 ? schedule.resident_units : 1 + draw_below(3);
  make_room(static_cast<uint32_t>(std::min<size_t>(asked, order.size())));

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
  const size_t cluster = machine.lane->block->place / machine.shape.cluster_blocks * machine.shape.cluster_blocks;
  for (uint32_t rank = 0; rank < machine.shape.cluster_blocks; rank++) {
    if (blocks_[cluster + rank]->shared.contains(address, bytes)) return;
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

bool run_grid(const LaunchShape& shape, uint32_t wave, const std::function<void()>& kernel, const Schedule& schedule,
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

bool meet_block(Meeting meeting, bool value, Site site) {
  if (machine.lane == nullptr) throw std::logic_error("a device function was called outside a kernel");
  return scheduler.meet_block(meeting, value, site);
}

uint32_t block_x() { return machine.lane->block->x; }
uint32_t block_y() { return machine.lane->block->y; }

void preempt(Site site) { scheduler.preempt(site); }

void check_address_slowly(uintptr_t address, size_t bytes, Site site) { scheduler.check_address(address, bytes, site); }

void* static_shared(const void* key, size_t bytes, const char* name) {
  return scheduler.find_shared(key, bytes, false, name);
}

void* dynamic_shared(const char* name) {
  return scheduler.find_shared(&dynamic_key, machine.shape.dynamic_shared_bytes, true, name);
}

}  // namespace tokendraw::gpu::platform::simt
