// SPDX-License-Identifier: Apache-2.0
// Fibers: a stack and a place to go on. Boost.Context switches them; what AddressSanitizer must be told is said here.
#pragma once

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define SIMT_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIMT_ASAN 1
#endif
#endif
#if !defined(SIMT_ASAN)
#define SIMT_ASAN 0
#endif

namespace tokendraw::gpu::platform::simt {

// Where something that runs goes on when it is switched to. The default is the thread's own stack.
struct Context {
  void* place = nullptr;
  void* fake_stack = nullptr;       // AddressSanitizer's, while switched away
  const void* stack_low = nullptr;  // known for the thread's own stack once it has been left
  size_t stack_bytes = 0;
};

// Stacks that are kept and used again, each with a page below it that faults.
class StackPool {
 public:
  StackPool() = default;
  StackPool(const StackPool&) = delete;
  StackPool& operator=(const StackPool&) = delete;
  ~StackPool();

  // Makes sure of `count` stacks; those that exist may move, so no fiber may be alive.
  void reserve(size_t count);
  // Prepares the context to begin at `entry`, which must never return, on stack `index`.
  void prepare(Context* context, size_t index, void (*entry)());
  // To be called when fibers were abandoned in the middle: their frames are no longer out of bounds.
  void forget_frames();

 private:
  unsigned char* memory_ = nullptr;
  size_t count_ = 0;
};

// Marks memory as out of bounds or within for AddressSanitizer; nothing without it.
void forbid_memory(const void* memory, size_t bytes);
void allow_memory(const void* memory, size_t bytes);

}  // namespace tokendraw::gpu::platform::simt
