// SPDX-License-Identifier: Apache-2.0
// The emulated devices as AMD's are: without clusters.
#include "simt/control.h"

namespace {

[[maybe_unused]] const bool kSet = (simt_set_cluster_blocks(1), true);

}  // namespace
