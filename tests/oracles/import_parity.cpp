// Imports a case that a Python oracle wrote, runs it, and exports it again; the oracle compares.
//   import_parity CASE
// CASE holds weights.pt (or another file of weights), case.json (options, shape of the images), images.bin,
// and config.json and preprocessor_config.json where the family has them. Written: logits.bin, lines.txt, and
// for each layout LAYOUT/weights.pt, LAYOUT/config.json, …; a refusal goes to error.txt (LAYOUT/error.txt).

#include <filesystem>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "engine/error.h"
#include "engine/evaluate.h"
#include "engine/import_model.h"
#include "format/safetensors.h"
#include "format/torch_file.h"

namespace vitrail {
namespace {

using json = nlohmann::ordered_json;
namespace fs = std::filesystem;

fs::path weights_in(const fs::path& folder) {
  for (const char* name : {"model.safetensors", "weights.npz"}) {
    if (fs::exists(folder / name)) return folder / name;
  }
  return folder / "weights.pt";
}

GeluKind gelu_kind(const std::string& name) {
  for (const GeluKind kind : {GeluKind::erf, GeluKind::tanh, GeluKind::quick}) {
    if (name == name_of(kind)) return kind;
  }
  throw std::runtime_error("no GELU is called " + name);
}

ImportOptions options_of(const json& described) {
  ImportOptions options;
  const auto take = [&](const char* key, auto& value) {
    if (described.contains(key))
      value = described.at(key).get<typename std::decay_t<decltype(value)>::value_type>();
  };
  take("norm_eps", options.norm_eps);
  take("num_heads", options.num_heads);
  take("architecture", options.architecture);
  take("normalization", options.normalization);
  take("img_size", options.img_size);
  take("patch_size", options.patch_size);
  take("in_chans", options.in_chans);
  take("num_classes", options.num_classes);
  if (described.contains("gelu")) options.gelu = gelu_kind(described.at("gelu"));
  return options;
}

void write_text(const fs::path& path, const std::string& text) {
  if (!text.empty()) std::ofstream(path, std::ios::binary) << text;
}

void write_lines(const fs::path& path, const std::vector<std::string>& lines) {
  std::ofstream file(path);
  for (const std::string& line : lines)
    file << line << "\n";
}

std::vector<float> read_images(const fs::path& path, std::size_t count) {
  std::vector<float> images(count);
  std::ifstream file(path, std::ios::binary);
  file.read(reinterpret_cast<char*>(images.data()), static_cast<std::streamsize>(count * sizeof(float)));
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return images;
}

void write_logits(Backend& backend, const ImportedModel& imported, const fs::path& folder,
                  std::int64_t count) {
  const VitConfig& c = imported.model.config;
  const auto elements = static_cast<std::size_t>(count * c.in_chans * c.img_size * c.img_size);
  const std::vector<float> logits = Classifier(backend, c, imported.model.params, count)
                                        .logits(read_images(folder / "images.bin", elements));
  std::ofstream(folder / "logits.bin", std::ios::binary)
      .write(reinterpret_cast<const char*>(logits.data()),
             static_cast<std::streamsize>(logits.size() * sizeof(float)));
}

void write_export(const Backend& backend, const Model& model, Layout layout, const fs::path& folder) {
  fs::create_directories(folder);
  try {
    const ExportedWeights exported = export_weights(model, backend, layout);
    format::Datum::Dict dict;
    for (std::size_t i = 0; i < exported.tensors.size(); ++i)
      dict.items.push_back({exported.tensors[i].name, format::Datum::Tensor{i}});
    format::write_torch(folder / "weights.pt", dict, exported.tensors);
    format::write_safetensors(folder / "model.safetensors", exported.tensors, exported.metadata);
    write_text(folder / "config.json", exported.config_json);
    write_text(folder / "preprocessor_config.json", exported.preprocessor_json);
    write_lines(folder / "lines.txt", exported.lines);
  } catch (const Error& error) {
    write_text(folder / "error.txt", error.what());
  }
}

void run_case(const fs::path& folder) {
  const json described = json::parse(std::ifstream(folder / "case.json"));
  const auto backend = make_backend("cpu", {.threads = 1});
  const WeightFile file = open_weight_file(weights_in(folder));
  const ImportedModel imported = import_model(file, *backend, options_of(described.at("options")));
  write_lines(folder / "lines.txt", imported.import.lines);
  write_logits(*backend, imported, folder, described.at("images").get<std::int64_t>());
  write_export(*backend, imported.model, Layout::timm, folder / "timm");
  write_export(*backend, imported.model, Layout::hf, folder / "hf");
}

}  // namespace
}  // namespace vitrail

int main(int argc, char** argv) try {
  if (argc != 2) {
    std::cerr << "usage: import_parity CASE\n";
    return 2;
  }
  vitrail::run_case(argv[1]);
  return 0;
} catch (const std::exception& error) {
  std::cerr << "error: " << error.what() << "\n";
  return 1;
}
