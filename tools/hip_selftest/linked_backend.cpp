// SPDX-License-Identifier: Apache-2.0
#include "linked_backend.h"

#include <cstdio>

#include "backend/loader.h"

extern "C" const tokendraw::backend::Table* tokendraw_backend_table();

namespace tokendraw::selftest {
namespace {

int32_t pretended = 0;

backend::Failure describe_device(int32_t device, backend::DeviceDescription* description) {
  backend::Failure failure = tokendraw_backend_table()->describe_device(device, description);
  if (!failure && pretended > 0) description->facts.compute_units = pretended;
  return failure;
}

}  // namespace

void pretend_multiprocessors(int32_t multiprocessors) { pretended = multiprocessors; }

}  // namespace tokendraw::selftest

namespace tokendraw::backend {

// Stands for src/backend/loader.cpp.
const Loaded& load(plan::Backend backend) {
  static const Loaded kHip = [] {
    static Table table = *tokendraw_backend_table();
    table.describe_device = selftest::describe_device;
    Loaded loaded;
    const Failure failure = table.count_devices(&loaded.device_count);
    if (failure) {
      std::snprintf(loaded.reason, sizeof loaded.reason, "%s", failure.message);
    } else {
      loaded.table = &table;
    }
    return loaded;
  }();
  static const Loaded kNone = {nullptr, 0, "this program has the HIP backend only"};
  return backend == plan::Backend::kHip ? kHip : kNone;
}

}  // namespace tokendraw::backend
