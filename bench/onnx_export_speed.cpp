// The time of an ONNX export beside a plain durable write of as many bytes, in turn: medians and their ratio.
//   onnx_export_speed MODEL FOLDER [ROUNDS]
// Leaves FOLDER/MODEL.vitrail and, in every profile, FOLDER/MODEL-PROFILE.onnx. One line of JSON.

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <iostream>

#include "engine/model_io.h"
#include "format/file.h"
#include "onnx_export/export_vit.h"

namespace vitrail {
namespace {

namespace fs = std::filesystem;

double seconds_of(const std::function<void()>& work) {
  const auto begin = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

double median(std::vector<double> numbers) {
  std::sort(numbers.begin(), numbers.end());
  return numbers[numbers.size() / 2];
}

// Anonymous memory, that is without the mapped model (proc(5), status).
std::int64_t anonymous_kib() {
  std::ifstream status("/proc/self/status");
  std::int64_t kib = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with("RssAnon:")) kib = std::stoll(line.substr(8));
  }
  return kib;
}

void make_model(const fs::path& path, const VitConfig& config) {
  if (fs::exists(path)) return;
  const auto backend = make_backend("cpu");
  InputConfig input;
  input.size = config.img_size;
  input.channels = config.in_chans;
  const Model model{
      .config = config, .input = input, .labels = {}, .params = ParamSet(*backend, config, DType::f32)};
  init_params(*backend, config, model.params, 1);
  save_model(path, *backend, model);
}

onnx_export::ExportResult export_file(const fs::path& from, const fs::path& to, Backend& backend,
                                      onnx_export::Profile profile = onnx_export::Profile::portable) {
  const MappedModel model = map_model(from);
  const onnx_export::Parameters parameters(model);
  const VitParams weights = mapped_params(model);
  return onnx_export::export_vit(to, {model.config, model.input, model.labels, parameters, weights}, backend,
                                 {.profile = profile});
}

void run(const std::string& name, const fs::path& folder, int rounds) {
  fs::create_directories(folder);
  const auto backend = make_backend("cpu");
  const fs::path model = folder / (name + ".vitrail");
  make_model(model, vit_config(name));
  for (const auto profile :
       {onnx_export::Profile::fixed_batch, onnx_export::Profile::ort, onnx_export::Profile::modern}) {
    export_file(model, folder / fmt::format("{}-{}.onnx", name, name_of(profile)), *backend, profile);
  }
  const std::int64_t before = anonymous_kib();
  const fs::path out = folder / (name + "-portable.onnx");
  const onnx_export::ExportResult result = export_file(model, out, *backend);
  const std::int64_t kept = anonymous_kib() - before;
  std::vector<double> exports, writes;
  for (int round = 0; round < rounds; ++round) {
    exports.push_back(seconds_of([&] { export_file(model, out, *backend); }));
    const format::MappedFile bytes(out);
    writes.push_back(seconds_of([&] {
      format::AtomicFile file(folder / "plain", bytes.bytes().size());
      file.write(0, bytes.bytes());
      file.commit();
    }));
  }
  fs::remove(folder / "plain");
  std::cout << fmt::format(
      "{{\"model\": \"{}\", \"bytes\": {}, \"nodes\": {}, \"export_s\": {:.3f}, \"plain_write_s\": {:.3f}, "
      "\"ratio\": {:.2f}, \"rounds\": {}, \"anonymous_kib_kept\": {}}}\n",
      name, result.bytes, result.nodes, median(exports), median(writes), median(exports) / median(writes),
      rounds, kept);
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc < 3) {
    std::cerr << "usage: onnx_export_speed MODEL FOLDER [ROUNDS]\n";
    return 2;
  }
  vitrail::run(argv[1], argv[2], argc > 3 ? std::stoi(argv[3]) : 5);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "onnx_export_speed: " << error.what() << "\n";
  return 1;
}
