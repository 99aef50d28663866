// SPDX-License-Identifier: Apache-2.0
#include "gpu/platform/hip_modules.h"

#include <atomic>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <new>
#include <string_view>
#include <vector>

namespace tokendraw::gpu::platform::hip {
namespace {

struct Kernel {
  const void* on_host;
  const char* symbol;
  size_t binary;  // that holds it
};

// What the compiler's start-up code of this shared object has told. Written before main() or inside dlopen(), by one
// thread.
struct Registered {
  std::vector<const unsigned char*> binaries;  // offload bundles
  std::vector<Kernel> kernels;
};
Registered& registered() {
  static Registered everything;
  return everything;
}

// The code object for a target in an offload bundle (Clang documentation, "Clang Offload Bundler", "Bundled Binary File
// Layout"), nullptr if it has none: a magic string, a count, and for each entry an offset, a size, and the length of
// its name and the name.
const void* find_code_object(const unsigned char* bundle, std::string_view target) {
  constexpr std::string_view kMagic = "__CLANG_OFFLOAD_BUNDLE__";
  if (std::memcmp(bundle, kMagic.data(), kMagic.size()) != 0) return nullptr;
  const unsigned char* at = bundle + kMagic.size();
  const auto next = [&at] {
    uint64_t value;
    std::memcpy(&value, at, sizeof value);
    at += sizeof value;
    return value;
  };
  for (uint64_t count = next(); count > 0; --count) {
    const uint64_t offset = next();
    next();  // size
    const uint64_t length = next();
    const std::string_view name(reinterpret_cast<const char*>(at), length);
    at += length;
    // "hipv4-amdgcn-amd-amdhsa--gfx1100"
    if (name.starts_with("hip") && name.substr(name.rfind('-') + 1) == target) return bundle + offset;
  }
  return nullptr;
}

// In the order of the registered kernels; nullptr: the device's code has no such kernel.
using Functions = std::vector<hipFunction_t>;

hipError_t load_functions(int device, Functions* functions) {
  hipDeviceProp_t properties;
  hipError_t code = hipGetDeviceProperties(&properties, device);
  if (code != hipSuccess) return code;
  std::string_view target = properties.gcnArchName;
  target = target.substr(0, target.find(':'));
  const Registered& all = registered();
  std::vector<hipModule_t> modules;
  for (const unsigned char* bundle : all.binaries) {
    const void* image = find_code_object(bundle, target);
    hipModule_t module = nullptr;
    code = image == nullptr ? hipErrorNoBinaryForGpu : hipModuleLoadData(&module, image);
    if (code != hipSuccess) {
      for (const hipModule_t loaded : modules) (void)hipModuleUnload(loaded);
      return code;
    }
    modules.push_back(module);
  }
  for (const Kernel& kernel : all.kernels) {
    hipFunction_t function = nullptr;
    if (hipModuleGetFunction(&function, modules[kernel.binary], kernel.symbol) != hipSuccess) {
      (void)hipGetLastError();  // of the other wave width
      function = nullptr;
    }
    functions->push_back(function);
  }
  return hipSuccess;
}

}  // namespace

hipError_t find_function(const void* kernel, hipFunction_t* function) {
  constexpr int kMaxDevices = 64;
  static std::atomic<const Functions*> of_device[kMaxDevices];
  static std::mutex loading;
  *function = nullptr;
  int device = 0;
  if (const hipError_t code = hipGetDevice(&device); code != hipSuccess) return code;
  if (device < 0 || device >= kMaxDevices) return hipErrorInvalidDevice;
  const Functions* functions = of_device[device].load(std::memory_order_acquire);
  if (functions == nullptr) {
    const std::lock_guard<std::mutex> lock(loading);
    functions = of_device[device].load(std::memory_order_acquire);
    if (functions == nullptr) {
      try {
        auto* loaded = new Functions();
        const hipError_t code = load_functions(device, loaded);
        if (code != hipSuccess) {
          delete loaded;
          return code;
        }
        functions = loaded;  // kept, as the modules are, for as long as the process lives
      } catch (const std::bad_alloc&) {
        return hipErrorOutOfMemory;
      }
      of_device[device].store(functions, std::memory_order_release);
    }
  }
  const std::vector<Kernel>& kernels = registered().kernels;
  for (size_t i = 0; i < kernels.size(); ++i) {
    if (kernels[i].on_host == kernel) *function = (*functions)[i];
  }
  return *function != nullptr ? hipSuccess : hipErrorInvalidDeviceFunction;
}

}  // namespace tokendraw::gpu::platform::hip

// ---- What clang's code calls when a shared object with kernels is loaded and unloaded (clang, CodeGen/CGCUDANV.cpp).
// Defined here and hidden, so that the calls do not reach the runtime's functions of these names.

namespace {

struct FatBinaryWrapper {
  uint32_t magic;
  uint32_t version;
  const unsigned char* binary;
  const void* unused;
};

}  // namespace

extern "C" {

#define TOKENDRAW_HIDDEN __attribute__((visibility("hidden")))

TOKENDRAW_HIDDEN void** __hipRegisterFatBinary(const void* data) {
  auto& binaries = tokendraw::gpu::platform::hip::registered().binaries;
  binaries.push_back(static_cast<const FatBinaryWrapper*>(data)->binary);
  return reinterpret_cast<void**>(binaries.size());  // a handle that only the next function reads
}

TOKENDRAW_HIDDEN void __hipRegisterFunction(void** binary, const void* on_host, char* symbol, const char*, unsigned int,
                                            void*, void*, void*, void*, int*) {
  tokendraw::gpu::platform::hip::registered().kernels.push_back(
      {on_host, symbol, reinterpret_cast<uintptr_t>(binary) - 1});
}

TOKENDRAW_HIDDEN void __hipUnregisterFatBinary(void**) {}
}
