// SPDX-License-Identifier: Apache-2.0
#include "fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

#include "switch_context.h"

namespace tokendraw::gpu::platform::simt {
namespace {

constexpr size_t kStackBytes = SIMT_ASAN ? 256 * 1024 : 64 * 1024;
constexpr size_t kGuardBytes = 16 * 1024;  // a multiple of the page everywhere this runs in practice
constexpr size_t kStride = kStackBytes + kGuardBytes;
// Stacks that begin at the same offset of their pages would fight for the same few sets of the cache.
constexpr size_t kSpread = 8192;
// More than what the functions need that fibers end in without ever returning.
constexpr size_t kLeftFrames = 4096;

// What fibers run: the same for all of them.
void (*fiber_entry)() = nullptr;

void begin(boost::context::detail::transfer_t came) {
  arrive(came, nullptr);
  fiber_entry();
}

}  // namespace

StackPool::~StackPool() {
  if (memory_ != nullptr) munmap(memory_, count_ * kStride);
}

void StackPool::reserve(size_t count) {
  if (count <= count_) return;
  if (memory_ != nullptr) {
    forget_frames();  // something else may come to lie there
    munmap(memory_, count_ * kStride);
  }
  memory_ = nullptr;
  count_ = 0;
  void* memory = mmap(nullptr, count * kStride, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  memory_ = static_cast<unsigned char*>(memory);
  count_ = count;
  for (size_t i = 0; i < count; i++) {
    if (mprotect(memory_ + i * kStride, kGuardBytes, PROT_NONE) != 0) throw std::bad_alloc();
  }
}

void StackPool::prepare(Context* context, size_t index, void (*entry)()) {
  unsigned char* low = memory_ + index * kStride + kGuardBytes;
  const size_t bytes = kStackBytes - index * 320 % kSpread;
  allow_memory(low + kStackBytes - kSpread - kLeftFrames, kSpread + kLeftFrames);
  fiber_entry = entry;
  context->place = boost::context::detail::make_fcontext(low + bytes, bytes, begin);
  context->fake_stack = nullptr;
  context->stack_low = low;
  context->stack_bytes = bytes;
}

void StackPool::forget_frames() {
  for (size_t i = 0; i < count_; i++) allow_memory(memory_ + i * kStride + kGuardBytes, kStackBytes);
}

void forbid_memory([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#if SIMT_ASAN
  __asan_poison_memory_region(memory, bytes);
#endif
}

void allow_memory([[maybe_unused]] const void* memory, [[maybe_unused]] size_t bytes) {
#if SIMT_ASAN
  __asan_unpoison_memory_region(memory, bytes);
#endif
}

}  // namespace tokendraw::gpu::platform::simt
