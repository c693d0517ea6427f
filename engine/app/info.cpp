#include <fmt/format.h>

#include "engine/app/commands.h"
#include "engine/app/run_folder.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/key_parse.h"
#include "engine/keys.h"
#include "engine/model_io.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExamples =
    "Examples:\n"
    "  vitrail info runs/flowers-1               its last.vitrail\n"
    "  vitrail info model.vitrail --verify       reads every byte against its hashes\n"
    "  vitrail info model.vitrail --json";

struct InfoOptions {
  std::string file;
  bool verify = false;
  bool json = false;
};

nlohmann::ordered_json model_json(const VitConfig& config) {
  TrainConfig holder;
  holder.model = config;
  nlohmann::ordered_json json;
  for (const Key& key : keys()) {
    const std::string value = key.get(holder);
    if (!key.name.starts_with("model") || value.empty()) continue;
    const nlohmann::ordered_json parsed = nlohmann::ordered_json::parse(value, nullptr, false);
    json[key.name == "model" ? "name" : key.name.substr(6)] =
        parsed.is_discarded() ? nlohmann::ordered_json(value) : parsed;
  }
  return json;
}

nlohmann::ordered_json input_json(const InputConfig& input) {
  const auto channels = static_cast<std::ptrdiff_t>(input.channels);
  return {{"size", input.size},
          {"channels", input.channels},
          {"crop_pct", input.crop_pct},
          {"interpolation", name_of(input.interpolation)},
          {"mean", std::vector<double>(input.mean.begin(), input.mean.begin() + channels)},
          {"std", std::vector<double>(input.std.begin(), input.std.begin() + channels)}};
}

nlohmann::ordered_json to_json(const ModelInfo& info, const fs::path& file, bool verified) {
  nlohmann::ordered_json json{{"file", file.string()},         {"kind", info.kind},
                              {"producer", info.producer},     {"dtype", info.dtype},
                              {"file_bytes", info.file_bytes}, {"content_id", info.content_id},
                              {"tensors", info.tensors},       {"parameters", info.parameters},
                              {"verified", verified}};
  if (info.config) json["model"] = model_json(*info.config);
  if (info.input) json["input"] = input_json(*info.input);
  if (info.config) json["labels"] = info.labels;
  if (info.kind != "checkpoint") return json;
  json["has_ema"] = info.has_ema;
  json["step"] = info.step;
  json["total_steps"] = info.total_steps;
  json["epoch"] = info.epoch;
  if (info.last_top1) json["last_top1"] = *info.last_top1;
  if (info.best_top1) json["best_top1"] = *info.best_top1;
  json["settings"] = info.settings;
  return json;
}

void show_network(Console& console, const ModelInfo& info) {
  if (info.config) {
    const VitConfig& model = *info.config;
    console.row(
        "Model",
        fmt::format("{}  {} x {} px in patches of {}, {} channels  {} blocks, dim {}, {} heads  {} classes",
                    model.name, model.img_size, model.img_size, model.patch_size, model.in_chans, model.depth,
                    model.embed_dim, model.num_heads, model.num_classes));
  }
  if (info.input) {
    const InputConfig& input = *info.input;
    console.row("Input", fmt::format("crop {}  {}  mean {}  std {}", input.crop_pct,
                                     name_of(input.interpolation), to_text(input.mean), to_text(input.std)));
  }
  std::string labels;
  for (std::size_t i = 0; i < info.labels.size() && i < 12; ++i)
    labels += (i == 0 ? "" : ", ") + info.labels[i];
  if (!labels.empty()) console.row("Labels", labels + (info.labels.size() > 12 ? ", …" : ""));
}

void show(Console& console, const ModelInfo& info, const fs::path& file) {
  console.row("File", fmt::format("{}  {}  {}  by {}", file.string(), info.kind, bytes_text(info.file_bytes),
                                  info.producer));
  console.row("Weights", fmt::format("{} tensors  {} parameters  {}  content {}", info.tensors,
                                     parameters_text(info.parameters), info.dtype, info.content_id));
  show_network(console, info);
  if (info.kind != "checkpoint") return;
  console.row("Run", fmt::format("step {} of {}, epoch {}{}", info.step, info.total_steps, info.epoch,
                                 info.has_ema ? ", with EMA weights" : ""));
  if (info.last_top1 && info.best_top1) {
    console.row("Top 1", fmt::format("{:.2f} % at the last evaluation, best {:.2f} %", *info.last_top1,
                                     *info.best_top1));
  }
  std::string settings;
  for (const std::string& setting : info.settings) {
    if (!setting.starts_with("model")) settings += (settings.empty() ? "" : " ") + setting;
  }
  console.row("Settings", settings);
}

ExitCode info_command(Console& console, const InfoOptions& options) {
  console.set_quiet(options.json);
  const fs::path file = model_file(options.file, Prefer::last);
  const ModelInfo info = get_model_info(file);
  const Stopwatch watch;
  if (options.verify) format::Container::open(file).verify_all();
  if (options.json) {
    console.document(to_json(info, file, options.verify).dump(2));
    return ExitCode::done;
  }
  show(console, info, file);
  if (options.verify) {
    console.row("Verified", fmt::format("every byte is as it was written  ({:.2f} s)", watch.seconds()));
  }
  return ExitCode::done;
}

}  // namespace

void add_info(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("info", "What is in a .vitrail file");
  auto options = std::make_shared<InfoOptions>();
  command->add_option("model", options->file, "a run's folder or a .vitrail file")->required();
  command->add_flag("--verify", options->verify, "check every byte against the file's hashes");
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return info_command(console, *options); };
  });
}

}  // namespace vitrail::app
