#include "engine/app/export_torch.h"

#include <fmt/format.h>

#include "engine/app/model_source.h"
#include "engine/app/platform.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/torch_tree.h"
#include "format/copy.h"
#include "format/file.h"
#include "format/safetensors.h"
#include "format/torch_file.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

struct Place {
  fs::path weights;
  fs::path documents;  // the folder for them; empty: they have no place
};

std::string weights_name(const std::string& format, Layout layout) {
  if (layout == Layout::hf) return format == "pt" ? "pytorch_model.bin" : "model.safetensors";
  return "model." + format;
}

// A name with an end is a file, any other a folder.
Place place_of(const std::string& model, const std::string& format, const std::string& out, Layout layout) {
  if (!out.empty() && fs::path(out).has_extension() && !fs::is_directory(out)) return {out, {}};
  if (!out.empty()) return {fs::path(out) / weights_name(format, layout), out};
  if (layout == Layout::hf) {
    const fs::path folder = fs::is_directory(model) ? fs::path(model) / "hf" : fs::path(model + "-hf");
    return {folder / weights_name(format, layout), folder};
  }
  if (fs::is_directory(model)) return {fs::path(model) / weights_name(format, layout), {}};
  return {fs::path(model).replace_extension("." + format), {}};
}

Layout layout_of(const std::string& name) {
  if (name == "timm") return Layout::timm;
  if (name == "hf") return Layout::hf;
  throw ConfigError(fmt::format("--layout: expected timm or hf, found '{}'; use --layout timm", name));
}

format::WriteResult write_weights(const fs::path& path, const std::string& format,
                                  const ExportedWeights& weights) {
  if (format == "safetensors") {
    std::map<std::string, std::string> metadata = weights.metadata;
    metadata.emplace("format", "pt");
    return format::write_safetensors(path, weights.tensors, metadata);
  }
  format::Datum::Dict state_dict;
  for (std::size_t i = 0; i < weights.tensors.size(); ++i)
    state_dict.items.push_back({weights.tensors[i].name, format::Datum::Tensor{i}});
  return format::write_torch(path, std::move(state_dict), weights.tensors);
}

void write_documents(Console& console, const Place& place, const ExportedWeights& weights, Layout layout) {
  const std::pair<const char*, const std::string&> documents[] = {
      {"config.json", weights.config_json}, {"preprocessor_config.json", weights.preprocessor_json}};
  for (const auto& [name, text] : documents) {
    if (text.empty()) continue;
    if (!place.documents.empty()) {
      format::replace_file(place.documents / name, text);
      console.row("", (place.documents / name).string());
    } else if (layout == Layout::hf) {
      console.row("Note",
                  fmt::format("{} is not written beside one file; use -o FOLDER, which gets it too", name));
    }
  }
}

ExitCode export_checkpoint(Console& console, const std::string& model, const std::string& format,
                           const std::string& out, Layout layout) {
  if (format != "pt" || layout != Layout::timm) {
    throw ConfigError(
        "--with-optimizer: only a .pt file in timm's layout takes an optimizer's state; use --to pt");
  }
  const fs::path path = source_file(model, Prefer::last);
  const std::string help = "expected a checkpoint, whose optimizer's state there is to export";
  if (is_foreign(path))
    throw ConfigError(fmt::format("{}: {}; use a run or its last.vitrail", path.string(), help));
  const format::Container file = format::Container::open(path);
  if (file.kind() != format::FileKind::checkpoint) {
    throw ConfigError(fmt::format("{}: {}, found a {} file; use a run or its last.vitrail", path.string(),
                                  help, format::name_of(file.kind())));
  }
  const format::ContainerContents contents = format::contents_of(file);
  const TorchTree tree = torch_tree(contents);
  const Place place = place_of(model, format, out, layout);
  const format::WriteResult result = format::write_torch(place.weights, tree.root, tree.tensors);
  console.row("Model", path.string());
  console.row("Exported", fmt::format("{}  {}  model, optimizer, scheduler, epoch  {:.2f} s",
                                      place.weights.string(), bytes_text(result.file_bytes), result.seconds));
  return ExitCode::done;
}

}  // namespace

std::shared_ptr<TorchOptions> add_torch_options(CLI::App& command) {
  auto options = std::make_shared<TorchOptions>();
  command.add_option("--layout", options->layout,
                     "pt, safetensors: names of timm (usual) or hf, Hugging Face");
  command.add_flag("--with-optimizer", options->with_optimizer,
                   "pt: a checkpoint with the optimizer's state, of a run's last.vitrail");
  return options;
}

ExitCode export_torch(Console& console, const std::string& model, const std::string& format,
                      const std::string& out, const TorchOptions& options) {
  const Layout layout = layout_of(options.layout);
  if (options.with_optimizer) return export_checkpoint(console, model, format, out, layout);
  const fs::path path = source_file(model, Prefer::best);
  const std::unique_ptr<Backend> backend = open_device({});
  const LoadedModel loaded = load_source(path, *backend);
  const ExportedWeights weights = export_weights(loaded.model, *backend, layout);
  const Place place = place_of(model, format, out, layout);
  if (!place.documents.empty()) fs::create_directories(place.documents);
  const format::WriteResult result = write_weights(place.weights, format, weights);
  console.row("Model", fmt::format("{}  {} parameters", path.string(),
                                   parameters_text(loaded.model.params.parameters())));
  show_lines(console, "", loaded.lines);
  show_lines(console, "Note", weights.lines);
  console.row("Exported", fmt::format("{}  {}  {} tensors, names of {}  {:.2f} s", place.weights.string(),
                                      bytes_text(result.file_bytes), weights.tensors.size(),
                                      layout == Layout::hf ? "Hugging Face" : "timm", result.seconds));
  write_documents(console, place, weights, layout);
  return ExitCode::done;
}

}  // namespace vitrail::app
