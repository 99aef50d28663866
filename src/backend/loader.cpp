// SPDX-License-Identifier: Apache-2.0
#include "backend/loader.h"

#include <cstdio>
#include <cstring>

#if defined(__unix__) || defined(__APPLE__)
#include <dlfcn.h>
#endif

#define TOKENDRAW_TEXT_OF(x) #x
#define TOKENDRAW_TEXT(x) TOKENDRAW_TEXT_OF(x)

namespace tokendraw::backend {
namespace {

constexpr uint32_t kLibraryVersion =
    TOKENDRAW_VERSION_MAJOR * 10000 + TOKENDRAW_VERSION_MINOR * 100 + TOKENDRAW_VERSION_PATCH;

#if defined(__unix__) || defined(__APPLE__)

// The table as the shared object gives it, or nullptr and a reason. The name has no folder, so the loader follows its
// usual order: LD_LIBRARY_PATH, then the RUNPATH of this library, which is its own folder, then the system's folders.
const Table* open_table(const char* file, Loaded* loaded) {
  // Never closed: a vendor's runtime does not survive that, and samplers hold pointers into it.
  void* object = dlopen(file, RTLD_NOW | RTLD_LOCAL);
  if (object == nullptr) {
    const char* said = dlerror();  // NOLINT(concurrency-mt-unsafe): each thread has its own message since glibc 2.0
    if (said == nullptr) said = "no reason given";
    // A file that was found, but is broken, is named with its folder; a library that it needs, by another name.
    const bool missing = std::strncmp(said, file, std::strlen(file)) == 0;
    std::snprintf(loaded->reason, sizeof loaded->reason, "%s %s: %s", file,
                  missing ? "is not installed" : "cannot be loaded", said);
    return nullptr;
  }
  // The C++ standard has no cast from an object's address to a function's; POSIX says that the bytes are the same.
  void* symbol = dlsym(object, kTableFunction);
  TableFunction get_table = nullptr;
  std::memcpy(&get_table, &symbol, sizeof get_table);
  const Table* table = get_table != nullptr ? get_table() : nullptr;
  if (table == nullptr) {
    std::snprintf(loaded->reason, sizeof loaded->reason, "%s is no backend: %s", file,
                  get_table == nullptr ? "it has no function tokendraw_backend_table" : "it gives no table");
  }
  return table;
}

#else

const Table* open_table(const char* file, Loaded* loaded) {
  std::snprintf(loaded->reason, sizeof loaded->reason, "%s is not made for this operating system", file);
  return nullptr;
}

#endif

// Whether the table was built from the sources that this library was built from. Nothing behind `abi` is read where
// that differs.
bool fits(const char* file, const Table& table, Loaded* loaded) {
  if (table.abi != kAbi) {
    std::snprintf(loaded->reason, sizeof loaded->reason,
                  "%s has interface %u, but this library needs %u; install both from one build", file, table.abi, kAbi);
    return false;
  }
  if (table.library_version != kLibraryVersion) {
    std::snprintf(loaded->reason, sizeof loaded->reason,
                  "%s is of version %u.%u.%u, but this library of %s; install both from one build", file,
                  table.library_version / 10000, table.library_version / 100 % 100, table.library_version % 100,
                  TOKENDRAW_TEXT(TOKENDRAW_VERSION_MAJOR) "." TOKENDRAW_TEXT(
                      TOKENDRAW_VERSION_MINOR) "." TOKENDRAW_TEXT(TOKENDRAW_VERSION_PATCH));
    return false;
  }
  if (table.request_bytes != sizeof(request::Request) || table.plan_bytes != sizeof(plan::Plan)) {
    std::snprintf(loaded->reason, sizeof loaded->reason,
                  "%s has requests of %zu and plans of %zu bytes, but this library of %zu and %zu; install both from "
                  "one build",
                  file, table.request_bytes, table.plan_bytes, sizeof(request::Request), sizeof(plan::Plan));
    return false;
  }
  if (table.operation_bytes != sizeof(request::Operation)) {
    std::snprintf(loaded->reason, sizeof loaded->reason,
                  "%s has operations of %zu bytes, but this library of %zu; install both from one build", file,
                  table.operation_bytes, sizeof(request::Operation));
    return false;
  }
  const bool complete = table.count_devices != nullptr && table.describe_device != nullptr && table.open != nullptr &&
                        table.close != nullptr && table.run != nullptr && table.run_operation != nullptr &&
                        table.allocate != nullptr && table.release != nullptr && table.copy != nullptr &&
                        table.synchronize != nullptr && table.is_capturing != nullptr &&
                        table.create_stream != nullptr && table.destroy_stream != nullptr;
  if (!complete) {
    std::snprintf(loaded->reason, sizeof loaded->reason, "%s is no backend: functions are missing from its table",
                  file);
  }
  return complete;
}

Loaded load_once(const char* file) {
  Loaded loaded;
  const Table* table = open_table(file, &loaded);
  if (table == nullptr || !fits(file, *table, &loaded)) return loaded;
  int32_t count = 0;
  const Failure failure = table->count_devices(&count);
  if (failure) {
    std::snprintf(loaded.reason, sizeof loaded.reason, "%s", failure.message);
    if (loaded.reason[0] == '\0') std::snprintf(loaded.reason, sizeof loaded.reason, "%s gives no reason", file);
    return loaded;
  }
  if (count < 1) {
    std::snprintf(loaded.reason, sizeof loaded.reason, "%s finds no device", file);
    return loaded;
  }
  loaded.table = table;
  loaded.device_count = count;
  return loaded;
}

}  // namespace

const Loaded& load(plan::Backend backend) {
  if (backend == plan::Backend::kHip) {
    static const Loaded kHip = load_once("libtokendraw_hip.so." TOKENDRAW_TEXT(TOKENDRAW_VERSION_MAJOR));
    return kHip;
  }
  static const Loaded kCuda = load_once("libtokendraw_cuda.so." TOKENDRAW_TEXT(TOKENDRAW_VERSION_MAJOR));
  return kCuda;
}

}  // namespace tokendraw::backend
