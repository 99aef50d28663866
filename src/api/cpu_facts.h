// SPDX-License-Identifier: Apache-2.0
// Facts about this machine's processor.
#pragma once

#include <cstddef>
#include <cstdint>

namespace tokendraw::api {

// Hardware threads that this process may use, at least 1.
int32_t hardware_threads();

// The processor's name as the system tells it; "" if it does not.
void read_cpu_name(char* name, size_t capacity);

// Bytes of main memory; 0 if the system does not tell.
uint64_t host_memory_bytes();

}  // namespace tokendraw::api
