// SPDX-License-Identifier: Apache-2.0
// A HIP runtime without a GPU, in place of libamdhip64: it loads code objects as the real one does, as far as their
// headers and symbols go, and keeps account of launches instead of executing them. Device memory is host memory.
#include "fake_runtime.h"

#include <elf.h>
#include <hip/hip_runtime_api.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>

using tokendraw::test::FakeRuntime;

FakeRuntime* fake_hip_runtime() {
  static FakeRuntime runtime;
  return &runtime;
}

namespace {

int current = 0;

FakeRuntime& runtime() { return *fake_hip_runtime(); }

// The low byte of e_flags (LLVM, "User Guide for AMDGPU Backend", "Header").
unsigned machine_of(const std::string& arch) {
  static const std::map<std::string, unsigned> kMachines = {{"gfx90a", 0x3f},  {"gfx942", 0x4c},  {"gfx1030", 0x36},
                                                            {"gfx1100", 0x41}, {"gfx1151", 0x4a}, {"gfx1201", 0x4e}};
  const auto found = kMachines.find(arch.substr(0, arch.find(':')));
  return found != kMachines.end() ? found->second : 0;
}

// A code object that is loaded, as the ELF file that it is.
struct Module {
  const unsigned char* image;
  int device;

  const Elf64_Shdr& section(size_t i) const {
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    return *reinterpret_cast<const Elf64_Shdr*>(image + header.e_shoff + i * header.e_shentsize);
  }
  bool has_symbol(const std::string& name) const {
    Elf64_Ehdr header;
    std::memcpy(&header, image, sizeof header);
    for (size_t s = 0; s < header.e_shnum; ++s) {
      const Elf64_Shdr& table = section(s);
      if (table.sh_type != SHT_DYNSYM) continue;
      const auto* symbols = reinterpret_cast<const Elf64_Sym*>(image + table.sh_offset);
      const auto* names = reinterpret_cast<const char*>(image + section(table.sh_link).sh_offset);
      for (size_t i = 0; i < table.sh_size / sizeof(Elf64_Sym); ++i) {
        if (symbols[i].st_shndx != SHN_UNDEF && name == names + symbols[i].st_name) return true;
      }
    }
    return false;
  }
};

struct Function {
  std::string name;
  int device;
};

}  // namespace

extern "C" {

hipError_t hipGetDeviceCount(int* count) {
  *count = static_cast<int>(runtime().devices.size());
  if (runtime().modules_at_first < 0) runtime().modules_at_first = runtime().modules;
  return *count > 0 ? hipSuccess : hipErrorNoDevice;
}
hipError_t hipGetDeviceProperties(hipDeviceProp_t* properties, int device) {
  if (device < 0 || static_cast<size_t>(device) >= runtime().devices.size()) return hipErrorInvalidDevice;
  const std::string& arch = runtime().devices[static_cast<size_t>(device)];
  *properties = {};
  std::snprintf(properties->name, sizeof properties->name, "fake %s", arch.c_str());
  std::snprintf(properties->gcnArchName, sizeof properties->gcnArchName, "%s", arch.c_str());
  properties->multiProcessorCount = 40;
  properties->warpSize = arch.rfind("gfx9", 0) == 0 ? 64 : 32;
  properties->sharedMemPerBlock = 65536;
  properties->totalGlobalMem = size_t{1} << 30;
  return hipSuccess;
}
hipError_t hipGetDevice(int* device) {
  *device = current;
  return hipSuccess;
}
hipError_t hipSetDevice(int device) {
  current = device;
  return hipSuccess;
}
const char* hipGetErrorString(hipError_t error) {
  return error == hipErrorNoBinaryForGpu ? "no code for this GPU" : "an error";
}
hipError_t hipGetLastError() { return hipSuccess; }

hipError_t hipMalloc(void** memory, size_t bytes) {
  *memory = std::calloc(bytes, 1);
  return *memory != nullptr ? hipSuccess : hipErrorOutOfMemory;
}
hipError_t hipFree(void* memory) {
  std::free(memory);
  return hipSuccess;
}
hipError_t hipMemcpyAsync(void* to, const void* from, size_t bytes, hipMemcpyKind, hipStream_t) {
  std::memcpy(to, from, bytes);
  return hipSuccess;
}
hipError_t hipMemsetAsync(void* to, int byte, size_t bytes, hipStream_t) {
  std::memset(to, byte, bytes);
  return hipSuccess;
}
hipError_t hipStreamCreateWithFlags(hipStream_t* stream, unsigned int) {
  static int streams[1];
  *stream = reinterpret_cast<hipStream_t>(&streams[0]);
  return hipSuccess;
}
hipError_t hipStreamDestroy(hipStream_t) { return hipSuccess; }
hipError_t hipStreamSynchronize(hipStream_t) { return hipSuccess; }
hipError_t hipStreamIsCapturing(hipStream_t, hipStreamCaptureStatus* status) {
  *status = hipStreamCaptureStatusNone;
  return hipSuccess;
}

hipError_t hipModuleLoadData(hipModule_t* module, const void* image) {
  if (runtime().failing_modules > 0) {
    --runtime().failing_modules;
    return hipErrorOutOfMemory;
  }
  constexpr unsigned kAmdGpu = 224;
  Elf64_Ehdr header;
  std::memcpy(&header, image, sizeof header);
  const bool is_elf = std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 && header.e_machine == kAmdGpu;
  if (!is_elf) return hipErrorInvalidImage;
  const std::string& arch = runtime().devices[static_cast<size_t>(current)];
  if ((header.e_flags & 0xffu) != machine_of(arch)) return hipErrorNoBinaryForGpu;
  ++runtime().modules;
  *module = reinterpret_cast<hipModule_t>(new Module{static_cast<const unsigned char*>(image), current});
  return hipSuccess;
}
hipError_t hipModuleUnload(hipModule_t module) {
  --runtime().modules;
  delete reinterpret_cast<Module*>(module);
  return hipSuccess;
}
hipError_t hipModuleGetFunction(hipFunction_t* function, hipModule_t module, const char* name) {
  const auto* of = reinterpret_cast<const Module*>(module);
  if (!of->has_symbol(std::string(name) + ".kd")) return hipErrorNotFound;
  *function = reinterpret_cast<hipFunction_t>(new Function{name, of->device});  // as the real one: for good
  return hipSuccess;
}
hipError_t hipModuleLaunchKernel(hipFunction_t function, unsigned grid_x, unsigned grid_y, unsigned, unsigned threads,
                                 unsigned, unsigned, unsigned, hipStream_t, void** arguments, void**) {
  const auto* of = reinterpret_cast<const Function*>(function);
  if (of->device != current || arguments == nullptr) return hipErrorInvalidDevice;
  runtime().launches.push_back({of->name, of->device, grid_x, grid_y, threads});
  return hipSuccess;
}

// What the compiler's stubs name and nobody calls.
hipError_t hipLaunchKernel(const void*, dim3, dim3, void**, size_t, hipStream_t) { return hipErrorUnknown; }
hipError_t __hipPopCallConfiguration(dim3*, dim3*, size_t*, hipStream_t*) { return hipErrorUnknown; }
}
