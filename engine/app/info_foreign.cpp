#include "engine/app/info_foreign.h"

#include <fmt/format.h>

#include <map>

#include "engine/app/model_source.h"
#include "engine/app/model_text.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/tensor_text.h"
#include "engine/torch_optimizer.h"
#include "engine/torch_tree.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

// What can be said of a file; what cannot is empty, with the reason.
struct ForeignInfo {
  WeightFile file;
  std::int64_t parameters = 0;
  std::map<std::string, std::int64_t> dtypes;  // tensors of each
  std::optional<Import> import;
  std::optional<TorchOptimizer> optimizer;
  std::string unrecognised, not_resumable;
  std::string made_from;  // the kind of `.vitrail` file
};

ForeignInfo read_foreign(const fs::path& path) {
  ForeignInfo info;
  info.file = open_foreign(path);
  for (const format::TensorRecord& tensor : info.file.tensors) {
    info.parameters += element_count(tensor.shape);
    ++info.dtypes[dtype_text(tensor.type)];
  }
  if (const std::optional<Carried> found = carried(info.file)) info.made_from = format::name_of(found->kind);
  try {
    info.import = recognise(info.file);
  } catch (const ConfigError& error) {
    info.unrecognised = error.what();
  }
  if (find_optimizer(info.file.root) == nullptr) return info;
  try {
    info.optimizer = read_torch_optimizer(info.file);
  } catch (const ConfigError& error) {
    info.not_resumable = error.what();
  }
  return info;
}

std::string dtypes_text(const ForeignInfo& info) {
  std::string text;
  for (const auto& [dtype, count] : info.dtypes)
    text +=
        (text.empty() ? "" : ", ") + (info.dtypes.size() == 1 ? dtype : fmt::format("{} x {}", count, dtype));
  return text;
}

std::uint64_t bytes_of(const fs::path& path) {
  return fs::is_regular_file(path) ? fs::file_size(path) : 0;
}

}  // namespace

void show_foreign(Console& console, const fs::path& path) {
  const ForeignInfo info = read_foreign(path);
  console.row(
      "File",
      fmt::format("{}  {}{}{}", path.string(), info.file.format,
                  bytes_of(path) > 0 ? "  " + bytes_text(bytes_of(path)) : "",
                  info.made_from.empty() ? "" : fmt::format("  made from a .vitrail {}", info.made_from)));
  console.row("Weights", fmt::format("{} tensors  {} elements  {}", info.file.tensors.size(),
                                     parameters_text(info.parameters), dtypes_text(info)));
  show_lines(console, "", info.file.notes);
  if (info.import) {
    console.row("Family", info.import->family);
    show_network(console, &info.import->config, &info.import->input, info.import->labels);
    show_lines(console, "Note", info.import->lines);
  } else {
    console.row("Family", "not recognised: " + info.unrecognised);
  }
  if (info.optimizer) {
    const TorchGroup& group = info.optimizer->groups.front();
    console.row(
        "Optimizer",
        fmt::format("{}  step {}  {} groups  lr {}  'vitrail train resume_from={}' goes on",
                    info.optimizer->kind ? name_of(*info.optimizer->kind) : "adam or adamw",
                    info.optimizer->step, info.optimizer->groups.size(), lr_text(group.lr), path.string()));
  } else if (!info.not_resumable.empty()) {
    console.row("Optimizer", info.not_resumable);
  }
}

nlohmann::ordered_json foreign_json(const fs::path& path) {
  const ForeignInfo info = read_foreign(path);
  nlohmann::ordered_json json{{"file", path.string()},
                              {"kind", "foreign"},
                              {"format", info.file.format},
                              {"file_bytes", bytes_of(path)},
                              {"tensors", info.file.tensors.size()},
                              {"parameters", info.parameters},
                              {"dtypes", info.dtypes}};
  if (!info.made_from.empty()) json["made_from"] = info.made_from;
  if (info.import) {
    json["family"] = info.import->family;
    json["model"] = model_json(info.import->config);
    json["input"] = input_json(info.import->input);
    json["labels"] = info.import->labels;
    json["notes"] = info.import->lines;
  } else {
    json["unrecognised"] = info.unrecognised;
  }
  if (info.optimizer) {
    json["optimizer"] = {{"kind", info.optimizer->kind ? name_of(*info.optimizer->kind) : "unknown"},
                         {"step", info.optimizer->step},
                         {"groups", info.optimizer->groups.size()},
                         {"lr", info.optimizer->groups.front().lr}};
  } else if (!info.not_resumable.empty()) {
    json["optimizer"] = {{"refused", info.not_resumable}};
  }
  return json;
}

}  // namespace vitrail::app
