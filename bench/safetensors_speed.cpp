// Saving and loading a model's weights as safetensors, on request: one command a line on standard input, one
// JSON line each on standard output. safetensors_speed.sh interleaves it with its peers.
//   safetensors_speed MODEL FOLDER
//     list     the tensors: names and shapes
//     save     a new file, durable
//     open     the saved file, mapped: views of all tensors
//     verify   the same, and every byte against the hash that the file carries
//     load     the same, and every tensor into memory that is there

#include <fmt/format.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <string>

#include "engine/vit_params.h"
#include "format/safetensors.h"

namespace vitrail {
namespace {

using Clock = std::chrono::steady_clock;

// Of this process, in MiB.
double memory(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::atof(line.c_str() + key.size() + 1) / 1024;
  }
  return 0;
}

class Bench {
 public:
  Bench(const std::string& model, const std::filesystem::path& folder) : path_(folder / "ours.safetensors") {
    const VitConfig config = vit_config(model);
    VitParams params;
    params.blocks.resize(static_cast<std::size_t>(config.depth));
    visit_params(config, params, [&](const ParamSpec& spec, Out&) {
      const auto axes = std::span(spec.shape.dims).first(static_cast<std::size_t>(spec.shape.rank));
      tensors_.push_back({.name = spec.name, .shape = {axes.begin(), axes.end()}, .bytes = {}});
      floats_ += static_cast<std::size_t>(spec.shape.elements());
    });
    values_.resize(floats_);
    std::uint32_t random = 1;
    for (float& value : values_) {
      random = random * 1664525U + 1013904223U;
      value = static_cast<float>(random >> 8) * 0x1p-24F - 0.5F;
    }
    std::size_t at = 0;
    for (format::TensorRecord& tensor : tensors_) {
      std::size_t elements = 1;
      for (const std::int64_t extent : tensor.shape)
        elements *= static_cast<std::size_t>(extent);
      tensor.bytes = std::as_bytes(std::span(values_).subspan(at, elements));
      at += elements;
    }
  }
  ~Bench() {
    std::error_code ignored;
    std::filesystem::remove(path_, ignored);
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  void run(const std::string& what) {
    if (what == "list") return list();
    if (what == "save") {
      std::filesystem::remove(path_);
      ::sync();
    }
    std::ofstream("/proc/self/clear_refs") << 5;  // the peak begins anew
    const double before = memory("RssAnon");
    const Clock::time_point start = Clock::now();
    double anonymous = 0;
    if (what == "save") {
      format::write_safetensors(path_, tensors_, {});
    } else {
      const format::SafetensorsFile file = format::SafetensorsFile::open(path_);
      if (what == "verify") file.verify();
      if (what == "load") load(file);
      anonymous = memory("RssAnon");
    }
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    fmt::print("{{\"seconds\": {:.6f}, \"bytes\": {}, \"more_mib\": {:.1f}}}\n", seconds, 4 * floats_,
               what == "save" ? memory("VmHWM") - memory("VmRSS") : anonymous - before);
  }

 private:
  void list() const {
    std::string text;
    for (const format::TensorRecord& tensor : tensors_)
      text += fmt::format("{}[\"{}\", [{}]]", text.empty() ? "" : ", ", tensor.name,
                          fmt::join(tensor.shape, ", "));
    fmt::print("[{}]\n", text);
  }

  void load(const format::SafetensorsFile& file) {
    std::size_t at = 0;
    for (const format::TensorRecord& tensor : file.tensors()) {
      std::memcpy(values_.data() + at, tensor.bytes.data(), tensor.bytes.size());
      at += tensor.bytes.size() / sizeof(float);
    }
  }

  std::filesystem::path path_;
  std::vector<format::TensorRecord> tensors_;
  std::vector<float> values_;
  std::size_t floats_ = 0;
};

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 3) {
    std::cerr << "usage: safetensors_speed MODEL FOLDER\n";
    return 2;
  }
  vitrail::Bench bench(argv[1], argv[2]);
  for (std::string what; std::cin >> what;) {
    bench.run(what);
    std::fflush(stdout);
  }
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
