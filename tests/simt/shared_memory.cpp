// SPDX-License-Identifier: Apache-2.0
#include "shared_memory.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

#include "fiber.h"

namespace tokendraw::gpu::platform::simt {
namespace {

constexpr size_t kMaxVariables = 64;
constexpr size_t kGap = 32;
constexpr size_t kArenaBytes = kSharedBytes + kMaxVariables * (kGap + 16) + kGap;

constexpr size_t round_up(size_t bytes) { return (bytes + 15) / 16 * 16; }

uint64_t step(uint64_t x) {
  x ^= x << 13;
  x ^= x >> 7;
  return x ^ (x << 17);
}

// A quarter of the words is NaN, -1 or the largest count, a quarter huge, the rest anything.
std::array<uint32_t, 12 * 1024> make_garbage() {
  std::array<uint32_t, 12 * 1024> words;
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (uint32_t& word : words) {
    state = step(state);
    const uint32_t choice = static_cast<uint32_t>(state >> 60) & 3;
    word = choice == 0 ? 0xffffffffu : choice == 1 ? 0xe5e5e5e5u : static_cast<uint32_t>(state >> 16);
  }
  return words;
}

}  // namespace

const SharedVariable* SharedLayout::find(const void* key) const {
  for (const SharedVariable& variable : variables) {
    if (variable.key == key) return &variable;
  }
  return nullptr;
}

const SharedVariable* SharedLayout::add(const void* key, size_t bytes, bool dynamic) {
  size_t& sum = dynamic ? dynamic_bytes : static_bytes;
  if (variables.size() == kMaxVariables || bytes > kSharedBytes) return nullptr;
  if (!dynamic && static_bytes + round_up(bytes) > kStaticSharedBytes) return nullptr;
  if (static_bytes + dynamic_bytes + round_up(bytes) > kSharedBytes) return nullptr;
  sum += round_up(bytes);
  variables.push_back({key, bytes, end + kGap});
  end += kGap + round_up(bytes);
  return &variables.back();
}

SharedMemory::SharedMemory() : bytes_(static_cast<unsigned char*>(std::aligned_alloc(64, kArenaBytes / 64 * 64 + 64))) {
  if (bytes_ == nullptr) throw std::bad_alloc();
  forbid();
}

SharedMemory::~SharedMemory() {
  allow_memory(bytes_, kArenaBytes);
  std::free(bytes_);
}

void SharedMemory::start(const SharedLayout& layout, uint64_t seed) {
  forbid();
  for (const SharedVariable& variable : layout.variables) {
    start_variable(variable, seed);
    seed = step(seed);
  }
}

void SharedMemory::start_variable(const SharedVariable& variable, uint64_t seed) {
  allow_memory(at(variable.offset), variable.bytes);
  fill_with_garbage(at(variable.offset), variable.bytes, seed);
}

void SharedMemory::forbid() { forbid_memory(bytes_, kArenaBytes); }

bool SharedMemory::contains(uintptr_t address, size_t bytes) const {
  const auto begin = reinterpret_cast<uintptr_t>(bytes_);
  return address >= begin && address + bytes <= begin + kArenaBytes;
}

void fill_with_garbage(void* memory, size_t bytes, uint64_t seed) {
  static const auto kGarbage = make_garbage();
  auto* to = static_cast<unsigned char*>(memory);
  seed |= 1;
  while (bytes > 0) {
    seed = step(seed);
    const size_t first = (seed >> 40) % 1024;
    const size_t part = std::min(bytes, (kGarbage.size() - first) * sizeof(uint32_t));
    std::memcpy(to, kGarbage.data() + first, part);
    to += part;
    bytes -= part;
  }
}

}  // namespace tokendraw::gpu::platform::simt
