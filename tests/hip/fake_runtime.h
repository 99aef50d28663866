// SPDX-License-Identifier: Apache-2.0
// What tests ask of the HIP runtime that stands in for the real one (fake_runtime.cpp).
#pragma once

#include <string>
#include <vector>

namespace tokendraw::test {

struct FakeLaunch {
  std::string kernel;  // its symbol
  int device;
  unsigned grid_x;
  unsigned grid_y;
  unsigned threads;
};

struct FakeRuntime {
  std::vector<std::string> devices;  // architectures as the runtime names them, "gfx90a:sramecc+:xnack-"
  std::vector<FakeLaunch> launches;
  int modules = 0;            // loaded now
  int failing_modules = 0;    // that many of the next ones are refused
  int modules_at_first = -1;  // asked for before any device was
};

}  // namespace tokendraw::test

// The one of the library that was loaded in place of libamdhip64.
extern "C" __attribute__((visibility("default"))) tokendraw::test::FakeRuntime* fake_hip_runtime();
