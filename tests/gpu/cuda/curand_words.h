// SPDX-License-Identifier: Apache-2.0
// Words of cuRAND's device generators, made by a kernel: what random numbers are compared with.
#pragma once

#include <cstdint>

namespace tokendraw::test {

// Writes the words that follow curand_init(seed, subsequence, offset) to device memory, `count` of them, and waits.
// False if the runtime refuses.
bool write_curand_words(bool xorwow, uint64_t seed, uint64_t subsequence, uint64_t offset, int64_t count,
                        uint32_t* device_words);

}  // namespace tokendraw::test
