// SPDX-License-Identifier: Apache-2.0
#include "api/cpu_facts.h"

#include <cstdio>
#include <cstring>
#include <thread>

#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace tokendraw::api {

int32_t hardware_threads() {
#if defined(__linux__)
  cpu_set_t allowed;  // taskset and containers may leave a process fewer than the machine has
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) == 0 && CPU_COUNT(&allowed) > 0) {
    return static_cast<int32_t>(CPU_COUNT(&allowed));
  }
#endif
  const unsigned count = std::thread::hardware_concurrency();
  return count > 0 ? static_cast<int32_t>(count) : 1;
}

void read_cpu_name(char* name, size_t capacity) {
  name[0] = '\0';
#if defined(__linux__)
  std::FILE* file = std::fopen("/proc/cpuinfo", "re");
  if (file == nullptr) return;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strncmp(line, "model name", 10) != 0) continue;
    const char* colon = std::strchr(line, ':');
    if (colon == nullptr) continue;
    const char* begin = colon + 1 + std::strspn(colon + 1, " \t");
    std::snprintf(name, capacity, "%.*s", static_cast<int>(std::strcspn(begin, "\n")), begin);
    break;
  }
  std::fclose(file);
#else
  (void)capacity;
#endif
}

uint64_t host_memory_bytes() {
#if defined(_SC_PHYS_PAGES) && defined(_SC_PAGESIZE)
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page_bytes = sysconf(_SC_PAGESIZE);
  if (pages > 0 && page_bytes > 0) return static_cast<uint64_t>(pages) * static_cast<uint64_t>(page_bytes);
#endif
  return 0;
}

}  // namespace tokendraw::api
