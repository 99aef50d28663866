// SPDX-License-Identifier: Apache-2.0
// `tokendraw info`: what this installation can do on this machine.
#include <fmt/format.h>
#include <tokendraw/tokendraw.h>

#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "commands.h"
#include "output_format.h"
#include "terminal.h"

namespace tokendraw::cli {
namespace {

struct DeviceFacts {
  TokendrawDeviceInfo info;
  std::string failure;  // why the device does not answer; "" if it does
};

struct BackendFacts {
  TokendrawBackendInfo info;
  std::vector<DeviceFacts> devices;
};

std::vector<BackendFacts> gather_backends() {
  std::vector<BackendFacts> backends;
  for (int32_t i = 0; i < tokendraw_get_backend_count(); ++i) {
    BackendFacts facts{};
    facts.info.struct_size = sizeof facts.info;
    require_ok(tokendraw_get_backend_info(i, &facts.info), fmt::format("asking for backend {}", i));
    for (int32_t d = 0; facts.info.available != 0 && d < facts.info.device_count; ++d) {
      DeviceFacts device{};
      device.info.struct_size = sizeof device.info;
      if (tokendraw_get_device_info(facts.info.backend, d, &device.info) != TOKENDRAW_OK) {
        device.info.device = d;
        device.failure = tokendraw_last_error_message();
      }
      facts.devices.push_back(device);
    }
    backends.push_back(facts);
  }
  return backends;
}

std::vector<std::string> gather_targets() {
  std::vector<std::string> targets;
  for (int32_t i = 0; const char* name = tokendraw_get_cpu_target_name(i); ++i) targets.emplace_back(name);
  return targets;
}

std::string shown_memory(uint64_t bytes) {
  if (bytes == 0) return "unknown";
  return fmt::format("{:.1f} GiB", static_cast<double>(bytes) / (1 << 30));
}

std::string make_text(const std::vector<BackendFacts>& backends) {
  std::string text = fmt::format("tokendraw {}\n", tokendraw_version_string());
  for (const BackendFacts& facts : backends) {
    const char* name = tokendraw_backend_name(facts.info.backend);
    if (facts.info.available == 0) {
      text += fmt::format("backend {}: not available: {}\n", name, facts.info.reason);
      continue;
    }
    text += fmt::format("backend {}: available, devices: {}\n", name, facts.info.device_count);
    for (const auto& [device, failure] : facts.devices) {
      if (!failure.empty()) {
        text += fmt::format("  device {}: does not answer: {}\n", device.device, failure);
        continue;
      }
      const bool cpu = device.backend == TOKENDRAW_BACKEND_CPU;
      text += fmt::format("  device {}: {}\n", device.device, device.name[0] != '\0' ? device.name : "unnamed");
      text += fmt::format("    {}: {}\n", cpu ? "SIMD target" : "architecture", device.target);
      text += fmt::format("    {}: {}\n", cpu ? "hardware threads" : "compute units", device.compute_units);
      text += fmt::format("    {}: {}\n", cpu ? "floats in a vector" : "lanes in a warp", device.simd_width_f32);
      text += fmt::format("    memory: {}\n", shown_memory(device.memory_bytes));
    }
  }
  text += fmt::format("SIMD targets of this machine, best first: {}\n", fmt::join(gather_targets(), " "));
  text += "vocabulary: 1 to 2097152; dtypes: f32 f16 bf16\n";
  text += fmt::format("struct bytes: batch {}, sampler options {}\n", sizeof(TokendrawBatch),
                      sizeof(TokendrawSamplerOptions));
  return text;
}

std::string make_json(const std::vector<BackendFacts>& backends) {
  nlohmann::ordered_json root;
  root["version"] = tokendraw_version_string();
  root["backends"] = nlohmann::ordered_json::array();
  for (const BackendFacts& facts : backends) {
    nlohmann::ordered_json entry;
    entry["name"] = tokendraw_backend_name(facts.info.backend);
    entry["available"] = facts.info.available != 0;
    if (facts.info.available == 0) entry["reason"] = facts.info.reason;
    entry["devices"] = nlohmann::ordered_json::array();
    for (const auto& [device, failure] : facts.devices) {
      if (!failure.empty()) {
        entry["devices"].push_back({{"device", device.device}, {"failure", failure}});
        continue;
      }
      entry["devices"].push_back({{"device", device.device},
                                  {"name", device.name},
                                  {"target", device.target},
                                  {"compute_units", device.compute_units},
                                  {"simd_width_f32", device.simd_width_f32},
                                  {"memory_bytes", std::to_string(device.memory_bytes)}});
    }
    root["backends"].push_back(entry);
  }
  root["cpu_targets"] = gather_targets();
  root["max_vocab"] = 1 << 21;
  root["dtypes"] = {"f32", "f16", "bf16"};
  root["struct_bytes"] = {{"batch", sizeof(TokendrawBatch)}, {"sampler_options", sizeof(TokendrawSamplerOptions)}};
  return dump_json(root) + "\n";
}

}  // namespace

Command add_info_command(CLI::App& program) {
  CLI::App* app = program.add_subcommand("info", "Library, backends, devices and SIMD targets");
  auto format = std::make_shared<ReportFormat>(ReportFormat::kText);
  add_report_format_option(*app, *format);
  const auto run = [format] {
    const std::vector<BackendFacts> backends = gather_backends();
    write_output(*format == ReportFormat::kJson ? make_json(backends) : make_text(backends));
    return kExitOk;
  };
  return {app, run};
}

}  // namespace tokendraw::cli
