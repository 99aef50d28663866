// SPDX-License-Identifier: Apache-2.0
// An operator new for the whole program, the library included, that counts and can be made to fail. It is in a file of
// its own so that no call of it is expanded in place: gcc would then take its malloc and free for a mismatch.
#pragma once

#include <cstdint>

// All calls of operator new so far, on all threads.
int64_t allocation_count();

// How many more calls succeed on this thread; INT64_MAX, the state at the start: all.
void allow_allocations(int64_t count);
