// SPDX-License-Identifier: Apache-2.0
// The HIP backend inside this program, in place of the shared object that the library loads.
#pragma once

#include <cstdint>

namespace tokendraw::selftest {

// Samplers that are created from now on plan as if their device had so many multiprocessors; 0: as it has. What a plan
// asks for runs on every device, so the plans of large and of small GPUs can all be run here.
void pretend_multiprocessors(int32_t multiprocessors);

}  // namespace tokendraw::selftest
