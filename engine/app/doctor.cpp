#include <fmt/format.h>
#include <sys/resource.h>

#include "engine/app/commands.h"
#include "engine/app/platform.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/data/dataset.h"
#include "engine/error.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDoctorExamples =
    "Examples:\n"
    "  vitrail doctor            what this machine and this build can do\n"
    "  vitrail doctor --json     for a report of a fault";

constexpr double kGemmSeconds = 1;
constexpr std::int64_t kGemmSize = 1024;

struct Diagnosis {
  BackendInfo device;
  std::string device_error;  // why there is none
  double gemm_gflops = 0;    // f32, square matrices
  std::string cuda;
  std::string fashion_mnist;
  MemoryState memory;
  std::uint64_t disk_free = 0;
  std::uint64_t open_files = 0;  // limit of this process
};

// GF/s of y = x · Wᵀ with square f32 matrices.
double time_gemm(Backend& backend) {
  const std::size_t bytes = static_cast<std::size_t>(kGemmSize * kGemmSize) * sizeof(float);
  const Buffer x(backend, bytes), weight(backend, bytes), y(backend, bytes);
  const LinearForward product{.y = {y.data(), DType::f32, {1, kGemmSize, kGemmSize}},
                              .x = {x.data(), DType::f32, {1, kGemmSize, kGemmSize}},
                              .weight = {weight.data(), DType::f32, {kGemmSize, kGemmSize}},
                              .bias = {}};
  backend.run(product);
  const Stopwatch watch;
  std::int64_t count = 0;
  while (watch.seconds() < kGemmSeconds) {
    backend.run(product);
    ++count;
  }
  return 2e-9 * double(kGemmSize) * double(kGemmSize) * double(kGemmSize) * double(count) / watch.seconds();
}

std::string try_cuda() {
  try {
    return make_backend("cuda")->info().name;
  } catch (const Error& error) {
    return std::string("not available: ") + error.what();
  }
}

std::string try_fashion_mnist() {
  try {
    return open_data("fashion-mnist", {}).description;
  } catch (const DataError& error) {
    return std::string("not available: ") + error.what();
  }
}

Diagnosis diagnose(Console& console) {
  Diagnosis diagnosis;
  console.announce("multiplying matrices for a second");
  try {
    const std::unique_ptr<Backend> backend = open_device({});
    diagnosis.device = backend->info();
    diagnosis.gemm_gflops = time_gemm(*backend);
  } catch (const DeviceError& error) {
    diagnosis.device_error = error.what();
  }
  console.announce("looking for data and devices");
  diagnosis.cuda = try_cuda();
  diagnosis.fashion_mnist = try_fashion_mnist();
  diagnosis.memory = memory_state();
  std::error_code error;
  const fs::space_info space = fs::space(".", error);
  if (!error) diagnosis.disk_free = space.available;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) diagnosis.open_files = limit.rlim_cur;
  return diagnosis;
}

nlohmann::ordered_json to_json(const Diagnosis& diagnosis) {
  nlohmann::ordered_json json{
      {"version", VITRAIL_VERSION}, {"build", build_text()}, {"compiler", compiler_text()}};
  json["cpu"] = diagnosis.device_error.empty() ? device_json(diagnosis.device)
                                               : nlohmann::ordered_json{{"error", diagnosis.device_error}};
  json["gemm_f32_gflops"] = diagnosis.gemm_gflops;
  json["cuda"] = diagnosis.cuda;
  json["memory"] = {{"total_bytes", diagnosis.memory.total}, {"available_bytes", diagnosis.memory.available}};
  json["disk_free_bytes"] = diagnosis.disk_free;
  json["open_files_limit"] = diagnosis.open_files;
  json["fashion_mnist"] = diagnosis.fashion_mnist;
  return json;
}

void show(Console& console, const Diagnosis& diagnosis) {
  console.row("Build", fmt::format("{}  {}, {}", version_text(), build_text(), compiler_text()));
  if (diagnosis.device_error.empty()) {
    console.row("Device", device_text(diagnosis.device));
    console.row("Products",
                fmt::format("{:.0f} GF/s in f32 ({} x {})", diagnosis.gemm_gflops, kGemmSize, kGemmSize));
  } else {
    console.row("Device", diagnosis.device_error);
  }
  console.row("CUDA", diagnosis.cuda);
  console.row("Memory", fmt::format("{} of {} free", bytes_text(diagnosis.memory.available),
                                    bytes_text(diagnosis.memory.total)));
  console.row("Disk", fmt::format("{} free in this folder", bytes_text(diagnosis.disk_free)));
  console.row("Files", fmt::format("{} may be open at once", diagnosis.open_files));
  console.row("Data", fmt::format("fashion-mnist: {}", diagnosis.fashion_mnist));
}

ExitCode doctor(Console& console, bool json) {
  console.set_quiet(json);
  const Diagnosis diagnosis = diagnose(console);
  if (json) {
    console.document(to_json(diagnosis).dump(2));
  } else {
    show(console, diagnosis);
  }
  return diagnosis.device_error.empty() ? ExitCode::done : ExitCode::device;
}

}  // namespace

void add_doctor(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("doctor", "What this machine and this build can do");
  auto json = std::make_shared<bool>(false);
  command->add_flag("--json", *json, "one JSON document on standard output, and nothing else there");
  command->footer(kDoctorExamples);
  command->callback(
      [&console, &action, json] { action = [&console, json] { return doctor(console, *json); }; });
}

}  // namespace vitrail::app
