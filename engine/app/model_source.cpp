#include "engine/app/model_source.h"

#include <fmt/format.h>

#include <algorithm>

#include "engine/app/console.h"
#include "engine/app/foreign.h"
#include "engine/app/machine_choices.h"
#include "engine/error.h"
#include "engine/keys.h"
#include "engine/sections.h"
#include "engine/state_dict.h"
#include "engine/torch_optimizer.h"
#include "engine/torch_tree.h"
#include "format/sections.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;
namespace section = format::section;

// A folder of weights with their documents.
bool is_pretrained(const fs::path& folder) {
  return std::any_of(fs::directory_iterator(folder), fs::directory_iterator(),
                     [](const fs::directory_entry& entry) {
                       const std::string name = entry.path().filename().string();
                       return name.ends_with(".safetensors") || name.ends_with(".safetensors.index.json") ||
                              name == "pytorch_model.bin" || name.ends_with("_model.bin");
                     });
}

// Which model.* was given by itself, and not by the name of a model.
bool told_alone(const RunConfig& config, std::string_view name) {
  const auto origin = config.origins.find(name);
  return origin != config.origins.end() && !origin->second.starts_with("model=");
}

// What an import reads of a model of ours (engine/families/own_settings.h).
void describe(const Carried& carried, WeightFile& file) {
  if (!carried.root.has(section::kModel) || !carried.root.has(section::kInput)) return;
  const format::Table& input = carried.root.table(section::kInput, "input");
  TrainConfig config;
  config.model = vit_config_from(carried.root.table(section::kModel, "model"));
  config.input = input_config_from(input);
  std::string settings, labels;
  for (const std::string& setting : to_settings(config)) {
    if (setting.starts_with("model") || setting.starts_with("input.")) settings += setting + "\n";
  }
  for (const std::string& label : input.strings(section::input::kLabels, "labels"))
    labels += label + "\n";
  file.metadata.emplace("vitrail.settings", std::move(settings));
  file.metadata.emplace("vitrail.labels", std::move(labels));
}

}  // namespace

fs::path source_file(const fs::path& run_or_file, Prefer prefer) {
  if (!fs::exists(run_or_file)) {
    throw ConfigError(fmt::format("{}: expected the folder of a run or a file of weights, found nothing",
                                  run_or_file.string()));
  }
  if (fs::is_directory(run_or_file)) {
    if (!RunFolder::holds_run(run_or_file) && is_pretrained(run_or_file)) return run_or_file;
    return model_file(run_or_file, prefer);
  }
  if (!is_importable(run_or_file)) refuse_foreign(run_or_file);
  return run_or_file;
}

bool is_foreign(const fs::path& file) {
  return fs::is_directory(file) || is_importable(file);
}

// Of a checkpoint with an average of the weights that is the average, as of the checkpoint it was made from.
WeightFile open_foreign(const fs::path& path) {
  WeightFile file = open_weight_file(path);
  if (file.format == "vitrail") {
    const format::Container container = format::Container::open(file.path);
    describe({container.kind(), container.root()}, file);
    return file;
  }
  const std::optional<Carried> found = carried(file);
  if (!found) return file;
  if (found->kind == format::FileKind::checkpoint && find_ema_state_dict(file.root) != nullptr) {
    StateDict average = read_state_dict(file.root, file.root_tensors, WeightChoice::ema);
    file.tensors = std::move(average.tensors);
    file.notes = std::move(average.notes);
  }
  describe(*found, file);
  return file;
}

std::vector<std::string> carried_settings(const WeightFile& file) {
  const std::optional<Carried> found = carried(file);
  if (!found || found->kind != format::FileKind::checkpoint || !found->root.has(section::kUser)) return {};
  return found->root.table(section::kUser, "user").strings(section::user::kSettings, "settings");
}

ImportOptions import_options(const RunConfig& config) {
  const TrainConfig& train = config.train;
  ImportOptions options;
  options.norm_eps = train.init.norm_eps;
  options.gelu = train.init.gelu;
  if (train.init.num_heads > 0) options.num_heads = train.init.num_heads;
  if (!train.init.normalization.empty()) options.normalization = train.init.normalization;
  if (config.told("model") && train.model.name != "custom") options.architecture = train.model.name;
  if (told_alone(config, "model.img_size")) options.img_size = train.model.img_size;
  if (told_alone(config, "model.patch_size")) options.patch_size = train.model.patch_size;
  if (told_alone(config, "model.in_chans")) options.in_chans = train.model.in_chans;
  if (told_alone(config, "model.num_classes")) options.num_classes = train.model.num_classes;
  return options;
}

LoadedModel load_source(const fs::path& path, Backend& backend, const RunConfig& config) {
  if (!is_foreign(path)) return {load_model(path, backend), {}};
  ImportedModel imported = import_model(open_foreign(path), backend, import_options(config));
  std::vector<std::string> lines{imported.import.family};
  lines.insert(lines.end(), imported.import.lines.begin(), imported.import.lines.end());
  return {std::move(imported.model), std::move(lines)};
}

LoadedReady load_ready(const fs::path& path, Backend& backend, const RunConfig& config) {
  const DType dtype = chosen_dtype(config.train, backend.info());
  if (!is_foreign(path)) return {open_ready(path, backend, dtype), {}};
  LoadedModel loaded = load_source(path, backend, config);
  return {make_ready(std::move(loaded.model), backend, dtype), std::move(loaded.lines)};
}

void show_lines(Console& console, const char* label, const std::vector<std::string>& lines) {
  for (const std::string& line : lines) {
    console.row(label, line);
    label = "";
  }
}

}  // namespace vitrail::app
