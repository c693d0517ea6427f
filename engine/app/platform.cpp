#include "engine/app/platform.h"

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <thread>

#include "engine/app/exit_codes.h"

namespace vitrail::app {
namespace {

// "NAME:   123 kB" in /proc/meminfo, in bytes.
std::uint64_t meminfo(const std::string& name) {
  std::ifstream file("/proc/meminfo");
  for (std::string word; file >> word;) {
    std::uint64_t kilobytes = 0;
    if (word == name + ":" && file >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

// A number in a file; `missing` when there is none ("max" in a cgroup without limit).
std::uint64_t number_in(const char* path, std::uint64_t missing) {
  std::ifstream file(path);
  std::uint64_t number = 0;
  return file >> number ? number : missing;
}

}  // namespace

std::string version_text() {
  return "Vitrail " VITRAIL_VERSION;
}

std::string build_text() {
#if defined(__OPTIMIZE__)
  return "release";
#else
  return "unoptimised build";
#endif
}

std::string compiler_text() {
#ifdef __clang__
  return fmt::format("clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
  return fmt::format("g++ {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

std::unique_ptr<Backend> open_device(const RunConfig& config) {
  try {
    return make_backend(config.device, {.threads = static_cast<int>(config.threads),
                                        .gemm = config.gemm,
                                        .isa = config.isa,
                                        .pin = config.pin});
  } catch (const Error& error) {
    throw DeviceError(error.what());
  }
}

std::string device_text(const BackendInfo& info) {
  return fmt::format("{}: {}, {}, {}, {} {}", info.device, info.name, info.isa, info.gemm, info.threads,
                     info.threads == 1 ? "thread" : "threads");
}

nlohmann::ordered_json device_json(const BackendInfo& info) {
  return {{"device", info.device},
          {"name", info.name},
          {"isa", info.isa},
          {"gemm", info.gemm},
          {"threads", info.threads}};
}

nlohmann::ordered_json arithmetic_json(const BackendInfo& info) {
  return {{"version", VITRAIL_VERSION}, {"compiler", compiler_text()}, {"build", build_text()},
          {"device", info.device},      {"processor", info.name},      {"isa", info.isa},
          {"gemm", info.gemm}};
}

std::string arithmetic_difference(const nlohmann::ordered_json& before, const nlohmann::ordered_json& now) {
  if (!before.is_object() || before.empty()) return "status.json does not tell what computed it so far";
  std::string differences;
  for (const auto& [name, value] : now.items()) {
    const std::string old = before.value(name, std::string("unknown"));
    if (old == value.get<std::string>()) continue;
    differences += fmt::format("{}{} was {}, is {}", differences.empty() ? "" : "; ", name, old,
                               value.get<std::string>());
  }
  return differences;
}

int data_threads(const RunConfig& config, const BackendInfo& info) {
  if (config.data_threads > 0) return static_cast<int>(config.data_threads);
  // The host has nothing else to do where ops run on a device of their own.
  return info.own_memory ? std::max(1, static_cast<int>(std::thread::hardware_concurrency())) : info.threads;
}

std::uint64_t memory_available(const Backend& device) {
  const std::optional<std::uint64_t> own = device.free_memory();
  return own ? *own : memory_state().available;
}

MemoryState memory_state() {
  MemoryState state{.total = meminfo("MemTotal"), .available = meminfo("MemAvailable"), .peak_resident = 0};
  const std::uint64_t limit = number_in("/sys/fs/cgroup/memory.max", state.total);
  const std::uint64_t used = number_in("/sys/fs/cgroup/memory.current", 0);
  if (limit < state.total) {
    state.total = limit;
    state.available = std::min(state.available, limit > used ? limit - used : 0);
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  state.peak_resident = static_cast<std::uint64_t>(usage.ru_maxrss) * 1024;
  return state;
}

}  // namespace vitrail::app
