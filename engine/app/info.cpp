#include <fmt/format.h>

#include "engine/app/commands.h"
#include "engine/app/elements.h"
#include "engine/app/info_foreign.h"
#include "engine/app/model_source.h"
#include "engine/app/model_text.h"
#include "engine/app/section_names.h"
#include "engine/app/text.h"
#include "engine/model_io.h"
#include "engine/tensor_text.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kInfoExamples =
    "Examples:\n"
    "  vitrail info runs/flowers-1               its last.vitrail\n"
    "  vitrail info model.vitrail --json\n"
    "  vitrail info timm.safetensors             what network it is; also .pt, .npz and folders of Hugging "
    "Face's\n\n"
    "Reads the head of the file only, however large it is. 'vitrail verify' checks for damage.";

struct InfoOptions {
  std::string file;
  bool json = false;
};

// Tensors of one role.
struct RoleSummary {
  format::Role role = format::Role::parameter;
  std::int64_t tensors = 0, elements = 0;
  std::uint64_t bytes = 0;
};

// What stands in the file besides the model.
struct Layout {
  std::vector<RoleSummary> roles;
  std::uint64_t head_bytes = 0, tensor_bytes = 0;
  unsigned minor = 0;
  std::int64_t unknown = 0;  // fields of a later version, or of others
};

Layout layout_of(const format::Container& file) {
  Layout layout;
  layout.head_bytes = file.view().prologue.data_offset;
  layout.minor = file.view().prologue.minor;
  layout.unknown = unknown_fields(file.root());
  for (const format::TensorRecord& tensor : file.tensors()) {
    if (layout.roles.empty() || layout.roles.back().role != tensor.role)
      layout.roles.push_back({.role = tensor.role});
    RoleSummary& role = layout.roles.back();
    ++role.tensors;
    role.elements += element_count(tensor.shape);
    if (tensor.alias_of.empty()) role.bytes += file.byte_size(tensor);
  }
  for (const RoleSummary& role : layout.roles)
    layout.tensor_bytes += role.bytes;
  return layout;
}

nlohmann::ordered_json to_json(const ModelInfo& info, const Layout& layout, const fs::path& file) {
  nlohmann::ordered_json json{{"file", file.string()},
                              {"kind", info.kind},
                              {"format", fmt::format("1.{}", layout.minor)},
                              {"producer", info.producer},
                              {"dtype", info.dtype},
                              {"file_bytes", info.file_bytes},
                              {"head_bytes", layout.head_bytes},
                              {"tensor_bytes", layout.tensor_bytes},
                              {"content_id", info.content_id},
                              {"tensors", info.tensors},
                              {"parameters", info.parameters},
                              {"unknown_fields", layout.unknown}};
  json["roles"] = nlohmann::ordered_json::array();
  for (const RoleSummary& role : layout.roles) {
    json["roles"].push_back({{"role", role_text(role.role)},
                             {"tensors", role.tensors},
                             {"elements", role.elements},
                             {"bytes", role.bytes}});
  }
  if (info.config) json["architecture"] = info.architecture;
  if (info.shards > 0) json["shards"] = info.shards;
  if (info.config) json["model"] = model_json(*info.config);
  if (info.input) json["input"] = input_json(*info.input);
  if (info.config) json["labels"] = info.labels;
  if (info.kind != "checkpoint") return json;
  json["has_ema"] = info.has_ema;
  json["step"] = info.step;
  json["total_steps"] = info.total_steps;
  json["epoch"] = info.epoch;
  json["lr"] = info.lr;
  if (info.last_top1) json["last_top1"] = *info.last_top1;
  if (info.best_top1) json["best_top1"] = *info.best_top1;
  json["metrics"] = nlohmann::ordered_json::object();
  for (const auto& [name, value] : info.metrics)
    json["metrics"][name] = json_number(value);
  json["settings"] = info.settings;
  return json;
}

void show_run(Console& console, const ModelInfo& info) {
  console.row("Run", fmt::format("step {} of {}, epoch {}, lr {}{}", info.step, info.total_steps, info.epoch,
                                 lr_text(info.lr), info.has_ema ? ", with EMA weights" : ""));
  if (info.last_top1 && info.best_top1) {
    console.row("Top 1", fmt::format("{:.2f} % at the last evaluation, best {:.2f} %", *info.last_top1,
                                     *info.best_top1));
  }
  std::string metrics, settings;
  for (const auto& [name, value] : info.metrics)
    metrics += fmt::format("{}{} {:.6g}", metrics.empty() ? "" : "  ", name, value);
  if (!metrics.empty()) console.row("Metrics", metrics);
  for (const std::string& setting : info.settings) {
    if (!setting.starts_with("model")) settings += (settings.empty() ? "" : " ") + setting;
  }
  console.row("Settings", settings);
}

void show(Console& console, const ModelInfo& info, const Layout& layout, const fs::path& file) {
  console.row("File", fmt::format("{}  {}  {}  format 1.{}  by {}", file.string(), info.kind,
                                  bytes_text(info.file_bytes), layout.minor, info.producer));
  console.row("Weights", fmt::format("{} tensors  {} parameters  {}  content {}", info.tensors,
                                     parameters_text(info.parameters), info.dtype, info.content_id));
  if (info.shards > 0)
    console.row("Shards", fmt::format("{} files beside this one, of which 'vitrail consolidate' makes one",
                                      info.shards));
  const char* label = "Holds";
  for (const RoleSummary& role : layout.roles) {
    console.row(label, fmt::format("{:>7}  {} tensors of role {}", bytes_text(role.bytes), role.tensors,
                                   role_text(role.role)));
    label = "";
  }
  console.row(label, fmt::format("{:>7}  head", bytes_text(layout.head_bytes)));
  if (layout.unknown > 0) {
    console.row("Note", fmt::format("{} fields are not known to this build; they are kept, and not used",
                                    layout.unknown));
  }
  show_network(console, info.config ? &*info.config : nullptr, info.input ? &*info.input : nullptr,
               info.labels);
  if (info.kind == "checkpoint") show_run(console, info);
}

ExitCode info_command(Console& console, const InfoOptions& options) {
  console.set_quiet(options.json);
  const fs::path path = source_file(options.file, Prefer::last);
  if (is_foreign(path)) {
    if (options.json) {
      console.document(foreign_json(path).dump(2));
    } else {
      show_foreign(console, path);
    }
    return ExitCode::done;
  }
  const format::Container file = format::Container::open(path);
  const ModelInfo info = get_model_info(file);
  const Layout layout = layout_of(file);
  if (options.json) {
    console.document(to_json(info, layout, path).dump(2));
  } else {
    show(console, info, layout, path);
  }
  return ExitCode::done;
}

}  // namespace

void add_info(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("info", "What is in a file of weights");
  auto options = std::make_shared<InfoOptions>();
  command->add_option("model", options->file, "a run's folder, or a file of weights")->required();
  command->add_flag("--json", options->json, "one JSON document on standard output, and nothing else there");
  command->footer(kInfoExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return info_command(console, *options); };
  });
}

}  // namespace vitrail::app
