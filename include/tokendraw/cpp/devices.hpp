// SPDX-License-Identifier: Apache-2.0
// Part of tokendraw.hpp: the version, backends and devices.
#ifndef TOKENDRAW_CPP_DEVICES_HPP_
#define TOKENDRAW_CPP_DEVICES_HPP_

#include <tokendraw/cpp/choices.hpp>
#include <tokendraw/cpp/result.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace tokendraw {

struct BackendInfo {
  Backend backend = Backend::kAuto;
  bool available = false;
  int32_t device_count = 0;
  std::string reason;  // why it is not available
};

struct DeviceInfo {
  Backend backend = Backend::kAuto;
  int32_t device = 0;
  std::string name;
  std::string target;
  int32_t compute_units = 0;
  int32_t simd_width_f32 = 0;
  uint64_t memory_bytes = 0;
};

inline uint32_t version() noexcept { return tokendraw_version(); }
inline const char* version_string() noexcept { return tokendraw_version_string(); }

// Every backend this version knows, available or not. Allocates. Error: OUT_OF_MEMORY.
inline Result<std::vector<BackendInfo>> try_list_backends() noexcept {
  using List = std::vector<BackendInfo>;
  return detail::without_exceptions<List>([]() -> Result<List> {
    List list;
    for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
      TokendrawBackendInfo info = {};
      info.struct_size = sizeof info;
      if (const Status status = tokendraw_get_backend_info(i, &info); !is_success(status))
        return detail::last_error(status);
      list.push_back({Backend(info.backend), info.available != 0, info.device_count, info.reason});
    }
    return list;
  });
}

// Allocates. Errors: as tokendraw_get_device_info, and OUT_OF_MEMORY.
inline Result<DeviceInfo> try_device_info(Backend backend, int32_t device) noexcept {
  return detail::without_exceptions<DeviceInfo>([&]() -> Result<DeviceInfo> {
    TokendrawDeviceInfo info = {};
    info.struct_size = sizeof info;
    const Status status = tokendraw_get_device_info(TokendrawBackend(backend), device, &info);
    if (!is_success(status)) return detail::last_error(status);
    return DeviceInfo{Backend(info.backend), info.device,         info.name,        info.target,
                      info.compute_units,    info.simd_width_f32, info.memory_bytes};
  });
}

// The SIMD targets that can be put into SamplerOptions::cpu_target, best first. Allocates. Error: OUT_OF_MEMORY.
inline Result<std::vector<const char*>> try_list_cpu_targets() noexcept {
  using List = std::vector<const char*>;
  return detail::without_exceptions<List>([]() -> Result<List> {
    List list;
    for (int32_t i = 0; const char* target = tokendraw_get_cpu_target_name(i); ++i) list.push_back(target);
    return list;
  });
}

#if TOKENDRAW_CPP_EXCEPTIONS
inline std::vector<BackendInfo> list_backends() { return try_list_backends().value(); }
inline DeviceInfo device_info(Backend backend, int32_t device) { return try_device_info(backend, device).value(); }
inline std::vector<const char*> list_cpu_targets() { return try_list_cpu_targets().value(); }
#endif

}  // namespace tokendraw

#endif  // TOKENDRAW_CPP_DEVICES_HPP_
