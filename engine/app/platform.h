#pragma once
// This build, this machine, and the device a command computes on.

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

#include "engine/app/run_config.h"
#include "kernels/backend.h"

namespace vitrail::app {

std::string version_text();  // "Vitrail 0.1.0"
std::string build_text();    // "release", or "unoptimised build"
std::string compiler_text();

// Throws DeviceError when this build or machine has no such device.
std::unique_ptr<Backend> open_device(const RunConfig& config);

std::string device_text(const BackendInfo& info);  // "cpu: NAME, AVX-512, oneDNN, 2 threads"
nlohmann::ordered_json device_json(const BackendInfo& info);

// All that must be the same for a resumed run to give the same bits.
nlohmann::ordered_json arithmetic_json(const BackendInfo& info);
// Which entries differ, "gemm was eigen, is oneDNN"; empty when none does.
std::string arithmetic_difference(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now);

int data_threads(const RunConfig& config, const BackendInfo& info);

struct MemoryState {
  std::uint64_t total = 0, available = 0,
                peak_resident = 0;  // bytes; total and available within the cgroup's limit
};
MemoryState memory_state();

// Bytes that are free: of the device's own memory where it has any, else of the host's.
std::uint64_t memory_available(const Backend& device);

}  // namespace vitrail::app
