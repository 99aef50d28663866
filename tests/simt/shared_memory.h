// SPDX-License-Identifier: Apache-2.0
// The shared memory of blocks: which variables a kernel has, and for each resident block the bytes, garbage at first
// and with forbidden bytes around each variable.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tokendraw::gpu::platform::simt {

inline constexpr size_t kStaticSharedBytes = 48 * 1024;
inline constexpr size_t kSharedBytes = 227 * 1024;  // static and dynamic together

struct SharedVariable {
  const void* key;
  size_t bytes;
  size_t offset;  // a multiple of 16
};

// The variables of one kernel, in the order in which lanes first come to them; the same in all its blocks.
struct SharedLayout {
  std::vector<SharedVariable> variables;
  size_t static_bytes = 0;  // as a compiler would count: sizes rounded up to 16
  size_t dynamic_bytes = 0;
  size_t end = 0;

  void reset() { *this = {}; }
  const SharedVariable* find(const void* key) const;
  // nullptr where the limits do not allow it.
  const SharedVariable* add(const void* key, size_t bytes, bool dynamic);
};

class SharedMemory {
 public:
  SharedMemory();
  ~SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  void start(const SharedLayout& layout, uint64_t seed);               // a block begins: garbage in every variable
  void start_variable(const SharedVariable& variable, uint64_t seed);  // the same for one
  void forbid();                                                       // the block has ended

  unsigned char* at(size_t offset) const { return bytes_ + offset; }
  size_t offset_of(uintptr_t address) const { return address - reinterpret_cast<uintptr_t>(bytes_); }
  bool contains(uintptr_t address, size_t bytes) const;

 private:
  unsigned char* bytes_;
};

// Bytes that no one would take for zeros, small counts or sensible numbers.
void fill_with_garbage(void* memory, size_t bytes, uint64_t seed);

}  // namespace tokendraw::gpu::platform::simt
