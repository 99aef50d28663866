// SPDX-License-Identifier: Apache-2.0
// The emulator's functions (simt/control.h) inside the backend that the library has loaded.
#pragma once

#include "simt/control.h"

#include <dlfcn.h>

#include "support/samplers.h"

namespace tokendraw::test {

// The emulator always has the two devices that tests ask for; a machine with GPUs has as many as it has.
inline bool has_device([[maybe_unused]] int32_t device) {
#if defined(TOKENDRAW_TEST_ON_GPU)
  return device < cuda_device_count();
#else
  return true;
#endif
}

// nullptr where no backend is loaded, or that of a real GPU.
template <typename Function>
Function* find_in_emulator(const char* name) {
  static void* const backend = dlopen("libtokendraw_cuda.so.0", RTLD_NOW | RTLD_NOLOAD);
  return backend != nullptr ? reinterpret_cast<Function*>(dlsym(backend, name)) : nullptr;
}

}  // namespace tokendraw::test

// EMULATOR(simt_set_seed)(7)
#define EMULATOR(function) ::tokendraw::test::find_in_emulator<decltype(function)>(#function)
