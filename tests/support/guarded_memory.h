// SPDX-License-Identifier: Apache-2.0
// Memory by the page: reserved without anything behind it, and arrays with a page before and after that nobody may
// touch.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>

namespace tokendraw::test {

class ReservedMemory {
 public:
  explicit ReservedMemory(size_t bytes) : bytes_(bytes) {
    address_ = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    EXPECT_NE(address_, MAP_FAILED) << "cannot reserve " << bytes << " bytes of address space";
  }
  ~ReservedMemory() { munmap(address_, bytes_); }
  ReservedMemory(const ReservedMemory&) = delete;
  ReservedMemory& operator=(const ReservedMemory&) = delete;

  template <typename T>
  T* as() const {
    return static_cast<T*>(address_);
  }

 private:
  void* address_;
  size_t bytes_;
};

// Where a guarded array touches a guard page: reading or writing one byte further ends the program.
enum class Against { kEnd, kBeginning };

class GuardedArray {
 public:
  GuardedArray(size_t bytes, Against against)
      : page_(static_cast<size_t>(sysconf(_SC_PAGESIZE))),
        inner_((bytes + page_ - 1) / page_ * page_ + (bytes == 0 ? page_ : 0)),
        memory_(inner_ + 2 * page_) {
    unsigned char* const first = memory_.as<unsigned char>();
    EXPECT_EQ(mprotect(first, page_, PROT_NONE), 0);
    EXPECT_EQ(mprotect(first + page_ + inner_, page_, PROT_NONE), 0);
    std::memset(first + page_, 0xe5, inner_);
    data_ = first + page_ + (against == Against::kEnd ? inner_ - bytes : 0);
  }

  unsigned char* data() const { return data_; }

 private:
  size_t page_;
  size_t inner_;
  ReservedMemory memory_;
  unsigned char* data_;
};

}  // namespace tokendraw::test
