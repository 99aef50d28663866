// SPDX-License-Identifier: Apache-2.0
#include "plan/amd_targets.h"

#include <cstring>

namespace tokendraw::plan {
namespace {

constexpr int32_t kLds = 64 * 1024;

// Compute units, waves and LDS: AMD, "GPU hardware specifications" (ROCm documentation, reference/gpu-arch-specs). A
// multiprocessor of RDNA has two compute units. Blocks at once: the table in docs/amd.md, which is made from the
// compiled kernels and checked against these.
constexpr AmdTarget kTargets[] = {
    {"gfx90a", "Instinct MI250X, one of its two dies", 110, 64, kLds, 2},
    {"gfx942", "Instinct MI300X", 304, 64, kLds, 2},
    {"gfx1030", "Radeon RX 6900 XT, 80 compute units", 40, 32, kLds, 2},
    {"gfx1100", "Radeon RX 7900 XTX, 96 compute units", 48, 32, kLds, 3},
    {"gfx1151", "Radeon 8060S, 40 compute units", 20, 32, kLds, 3},
    {"gfx1201", "Radeon RX 9070 XT, 64 compute units", 32, 32, kLds, 3},
};

}  // namespace

const AmdTarget* find_amd_target(const char* name) {
  for (const AmdTarget& target : kTargets) {
    if (std::strcmp(target.name, name) == 0) return &target;
  }
  return nullptr;
}

}  // namespace tokendraw::plan
