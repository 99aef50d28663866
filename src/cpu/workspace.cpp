// SPDX-License-Identifier: Apache-2.0
#include "cpu/workspace.h"

#include "cpu/simd/chunk_kernels.h"

namespace tokendraw::cpu {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, so that slots do not share one

size_t align_up(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

// Hands out consecutive arrays; counts only where base is nullptr.
class Arena {
 public:
  explicit Arena(unsigned char* base) : base_(base) {}
  template <typename T>
  T* take(int64_t count) {
    T* array = base_ != nullptr ? reinterpret_cast<T*>(base_ + used_) : nullptr;
    used_ += align_up(static_cast<size_t>(count) * sizeof(T));
    return array;
  }
  size_t used() const { return used_; }

 private:
  unsigned char* base_;
  size_t used_ = 0;
};

RowScratch take_row(const plan::Plan& plan, Arena* arena) {
  RowScratch row = {};
  const int64_t vocab = plan.shape.vocab;
  if (plan.algorithm == plan::Algorithm::kReference || plan.algorithm == plan::Algorithm::kRejection) {
    row.reference.effective = arena->take<float>(vocab);
    row.reference.keys = arena->take<uint64_t>(vocab);
    row.reference.weights = arena->take<uint64_t>(vocab);
    return row;
  }
  row.chunk_max = arena->take<float>(plan.chunks);
  row.chunk_mass = arena->take<uint64_t>(plan.chunks);
  row.list_x = arena->take<float>(list_capacity(plan.shape.vocab) + kListPadding);
  row.list_id = arena->take<int32_t>(list_capacity(plan.shape.vocab) + kListPadding);
  if (plan.shape.has_lists) {
    row.edits.logit = arena->take<float>(vocab);
    row.edits.marked = arena->take<uint64_t>((vocab + 63) / 64);
    row.edits.in_history = arena->take<uint64_t>((vocab + 63) / 64);
  }
  return row;
}

size_t slot_bytes(const plan::Plan& plan) {
  Arena arena(nullptr);
  take_row(plan, &arena);
  return arena.used();
}

}  // namespace

size_t workspace_bytes(const plan::Plan& plan) {
  return static_cast<size_t>(plan.threads) * slot_bytes(plan) + kAlignment;
}

RowScratch row_scratch(const plan::Plan& plan, void* workspace, int32_t slot) {
  const size_t address = align_up(reinterpret_cast<uintptr_t>(workspace));
  Arena arena(reinterpret_cast<unsigned char*>(address + static_cast<size_t>(slot) * slot_bytes(plan)));
  return take_row(plan, &arena);
}

}  // namespace tokendraw::cpu
