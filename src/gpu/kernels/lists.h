// SPDX-License-Identifier: Apache-2.0
// The entries of sparse biases and histories, found by id while a row is read. For every row that has lists, a kernel
// that runs before the others makes two things for each of the two kinds: one bit an id, which says whether it is
// listed at all and costs what a mask costs, and a hash table (open addressing, linear probing) from the id to the
// first entry that names it. All of it is zero when the kernel begins.
#pragma once

#include "gpu/kernels/arguments.h"
#include "gpu/platform/platform.h"
#include "request/row_inputs.h"

namespace tokendraw::gpu {

enum class ListKind : int32_t { kBias = 0, kHistory = 1 };

inline constexpr uint64_t kNoTable = ~uint64_t{0};

// The table of one list of one row.
struct ListTable {
  const uint32_t* listed = nullptr;  // nullptr: the list is empty
  const uint64_t* slots = nullptr;   // nullptr: none, search the list itself
  uint64_t capacity = 0;
  request::ListSlice list = {};
};

TOKENDRAW_DEVICE uint64_t first_slot(int32_t id, uint64_t capacity) {
  return (static_cast<uint64_t>(static_cast<uint32_t>(id) * 0x9E3779B1u) * capacity) >> 32;  // golden ratio
}

TOKENDRAW_DEVICE ListTable table_of_row(const Arguments& a, int64_t row, ListKind kind,
                                        const request::ListSlice& list) {
  ListTable table;
  if (list.size == 0) return table;
  const auto which = static_cast<int64_t>(kind);
  const int64_t words = (a.request.vocab + 31) / 32;
  table.listed = a.lists.listed + (row * 2 + which) * words;
  table.list = list;
  const uint64_t begin = a.lists.row_slots[row * 2 + which];
  if (begin != kNoTable) {
    table.slots = a.lists.slots + begin;
    table.capacity = 2 * static_cast<uint64_t>(list.size);
  }
  return table;
}

// The first entry that names a listed id.
TOKENDRAW_DEVICE int64_t find_entry(const ListTable& table, int32_t id) {
  if (table.slots == nullptr) {
    int64_t j = 0;
    while (table.list.ids[j] != id) ++j;
    return j;
  }
  uint64_t slot = first_slot(id, table.capacity);
  while (static_cast<int32_t>(table.slots[slot] >> 32) != id + 1) slot = slot + 1 < table.capacity ? slot + 1 : 0;
  return static_cast<int64_t>(table.slots[slot] & 0xffffffffu);
}

// Adds entry j. True if the id was there already.
TOKENDRAW_DEVICE bool insert_entry(uint64_t* slots, uint64_t capacity, int32_t id, int64_t j) {
  const uint64_t entry = (static_cast<uint64_t>(id + 1) << 32) | static_cast<uint64_t>(j);
  for (uint64_t slot = first_slot(id, capacity);; slot = slot + 1 < capacity ? slot + 1 : 0) {
    const uint64_t old = platform::atomic_exchange_if(slots + slot, 0, entry);
    if (old == 0) return false;
    if (old >> 32 == entry >> 32) {
      platform::atomic_min(slots + slot, entry);
      return true;
    }
  }
}

// Makes the tables of one list. All threads of the block call; the result is whether an entry is to be ignored.
TOKENDRAW_DEVICE bool make_table(const Arguments& a, int64_t row, ListKind kind, const request::ListSlice& list,
                                 uint64_t* shared_begin) {
  const auto which = static_cast<int64_t>(kind);
  const int32_t vocab = a.request.vocab;
  const uint64_t capacity = 2 * static_cast<uint64_t>(list.size);
  if (platform::thread_index() == 0) {
    // Slices of a broken list may overlap and ask for more than there is; such a row does without a table. Entries
    // past 2^32 do not fit into a slot.
    uint64_t begin = kNoTable;
    if (list.size > 0 && static_cast<uint64_t>(list.size) < (uint64_t{1} << 31)) {
      begin = platform::atomic_add(a.lists.slots_taken, capacity);
      if (begin > a.lists.slot_count || a.lists.slot_count - begin < capacity) begin = kNoTable;
    }
    a.lists.row_slots[row * 2 + which] = begin;
    *shared_begin = begin;
  }
  platform::block_barrier();
  const uint64_t begin = *shared_begin;
  uint32_t* listed = a.lists.listed + (row * 2 + which) * ((vocab + 31) / 32);
  bool bad = false;
  for (int64_t j = platform::thread_index(); j < list.size; j += platform::block_threads()) {
    const int32_t id = list.ids[j];
    if (id < 0 || id >= vocab) {
      bad = true;
      continue;
    }
    const uint32_t bit = uint32_t{1} << (id % 32);
    bad |= (platform::atomic_or(listed + id / 32, bit) & bit) != 0;
    if (begin != kNoTable) insert_entry(a.lists.slots + begin, capacity, id, j);
  }
  return platform::block_any(bad);
}

// One block a row.
template <int kThreads>
TOKENDRAW_KERNEL void TOKENDRAW_LAUNCH_BOUNDS(kThreads, 1) make_list_tables(const TOKENDRAW_GRID_CONSTANT Arguments a) {
  TOKENDRAW_SHARED(uint64_t, begin);
  const int64_t row = platform::block_x();
  request::ListSlice bias;
  request::ListSlice history;
  bool bad = false;
  if (request::slice_of_row(a.request.bias_list, row, &bias)) bad |= make_table(a, row, ListKind::kBias, bias, &begin);
  if (request::slice_of_row(a.request.history, row, &history)) {
    bad |= make_table(a, row, ListKind::kHistory, history, &begin);
  }
  if (platform::thread_index() == 0) a.lists.row_status[row] = bad ? uint32_t{draw::kBadId} : 0u;
}

}  // namespace tokendraw::gpu
