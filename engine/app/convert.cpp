#include <fmt/format.h>

#include <algorithm>

#include "engine/app/commands.h"
#include "engine/app/model_source.h"
#include "engine/app/platform.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "engine/sections.h"
#include "engine/tensor_text.h"
#include "engine/torch_optimizer.h"
#include "engine/torch_tree.h"
#include "format/copy.h"
#include "format/safetensors.h"
#include "format/sections.h"
#include "format/torch_file.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;
using format::ContainerContents;
using format::FileKind;
using format::Role;

constexpr const char* kConvertExamples =
    "Examples:\n"
    "  vitrail convert runs/flowers-1/last.vitrail flowers.pt        a checkpoint with AdamW's state, for "
    "PyTorch\n"
    "  vitrail convert flowers.pt flowers.vitrail                    and back, to the same bytes\n"
    "  vitrail convert timm.safetensors weights.pt                   names and values stay as they are\n"
    "  vitrail convert B_16.npz vit.vitrail init.normalization=half\n\n"
    "The end of OUT tells the format: .vitrail, .pt (.pth, .bin) or .safetensors. IN may also be .npz, or a "
    "folder\n"
    "of Hugging Face's. A file that is no Vision Transformer can be converted between .pt and .safetensors "
    "only.\n"
    "May be set: model, init.norm_eps, init.gelu, init.num_heads, init.normalization.";

enum class Target : std::uint8_t { vitrail, pt, safetensors };

Target target_of(const fs::path& out) {
  const std::string end = out.extension().string();
  if (end == ".vitrail") return Target::vitrail;
  if (end == ".pt" || end == ".pth" || end == ".bin") return Target::pt;
  if (end == ".safetensors") return Target::safetensors;
  if (end == ".onnx") {
    throw ConfigError(
        fmt::format("{}: expected a format of weights; use 'vitrail export --to onnx'", out.string()));
  }
  throw ConfigError(fmt::format("{}: expected a name that ends in .vitrail, .pt or .safetensors, found '{}'",
                                out.string(), end));
}

// A checkpoint without what belongs to its training: its model, with the averaged weights where there are
// some.
ContainerContents model_of(const ContainerContents& checkpoint) {
  namespace section = format::section;
  ContainerContents model{.kind = FileKind::model, .root = {}, .tensors = {}};
  for (const section::Id id : {section::kProducer, section::kModel, section::kInput})
    model.root.set(id, checkpoint.root.fields().at(id));
  const bool ema =
      std::any_of(checkpoint.tensors.begin(), checkpoint.tensors.end(),
                  [](const format::TensorRecord& tensor) { return tensor.role == Role::ema_parameter; });
  for (const format::TensorRecord& tensor : checkpoint.tensors) {
    if (tensor.role != (ema ? Role::ema_parameter : Role::parameter)) continue;
    model.tensors.push_back(tensor);
    model.tensors.back().role = Role::parameter;
  }
  return model;
}

class Conversion {
 public:
  Conversion(fs::path in, fs::path out, const RunConfig& config)
      : in_(std::move(in)), out_(std::move(out)), config_(config), target_(target_of(out_)) {}

  format::WriteResult run() {
    if (!is_foreign(in_)) {
      const format::Container file = format::Container::open(in_);
      if (file.kind() == FileKind::shard || file.kind() == FileKind::shard_index) {
        throw ConfigError(
            fmt::format("{}: expected one whole file, found a part of a sharded set; use the one that "
                        "'vitrail consolidate' makes of it",
                        in_.string()));
      }
      return write(format::contents_of(file));
    }
    const WeightFile file = open_foreign(in_);
    for (const std::string& note : file.notes)
      notes_.push_back(note);
    if (const auto contents = restored(file)) return write(*contents);
    if (target_ == Target::vitrail || file.format == "npz") return import(file);
    return target_ == Target::pt ? to_torch(file) : to_safetensors(file);
  }

  const std::vector<std::string>& notes() const { return notes_; }

 private:
  format::WriteResult write(const ContainerContents& contents);
  format::WriteResult import(const WeightFile& file);
  format::WriteResult to_torch(const WeightFile& file) const;
  format::WriteResult to_safetensors(const WeightFile& file);

  fs::path in_, out_;
  const RunConfig& config_;
  Target target_;
  std::vector<std::string> notes_;
};

format::WriteResult Conversion::write(const ContainerContents& contents) {
  if (target_ == Target::vitrail) return format::write_container(out_, contents);
  if (target_ == Target::pt) {
    const TorchTree tree = torch_tree(contents);
    return format::write_torch(out_, tree.root, tree.tensors);
  }
  const bool checkpoint = contents.kind == FileKind::checkpoint;
  const ContainerContents model = checkpoint ? model_of(contents) : ContainerContents{};
  const ContainerContents& whole = checkpoint ? model : contents;
  std::vector<format::TensorRecord> parameters;
  for (const format::TensorRecord& tensor : whole.tensors) {
    if (tensor.role == Role::parameter) parameters.push_back(tensor);
  }
  if (checkpoint) {
    notes_.emplace_back(
        "safetensors hold weights alone: the optimizer's state and the position stay behind; a .pt file "
        "takes them");
  } else if (parameters.size() != whole.tensors.size()) {
    notes_.push_back(fmt::format("{} tensors that are no parameters stay behind",
                                 whole.tensors.size() - parameters.size()));
  }
  std::map<std::string, std::string> metadata = carrying(whole);
  metadata["format"] = "pt";
  return format::write_safetensors(out_, parameters, metadata);
}

format::WriteResult Conversion::import(const WeightFile& file) {
  const std::unique_ptr<Backend> backend = open_device({});
  const ImportedModel imported = import_model(file, *backend, import_options(config_));
  notes_.push_back(imported.import.family);
  notes_.insert(notes_.end(), imported.import.lines.begin(), imported.import.lines.end());
  if (find_optimizer(file.root) != nullptr) {
    notes_.push_back(
        fmt::format("the optimizer's state stays behind: a checkpoint here knows its data, so 'vitrail "
                    "train resume_from={} data=…' takes the training over",
                    in_.string()));
  }
  const HostTensors tensors(*backend, imported.model.params, Role::parameter);
  return write(model_contents(imported.model, tensors));
}

format::WriteResult Conversion::to_torch(const WeightFile& file) const {
  if (file.format == "pt") return format::write_torch(out_, file.root, file.root_tensors);
  format::Datum::Dict dict;
  for (std::size_t i = 0; i < file.tensors.size(); ++i)
    dict.items.push_back({file.tensors[i].name, format::Datum::Tensor{i}});
  return format::write_torch(out_, std::move(dict), file.tensors);
}

format::WriteResult Conversion::to_safetensors(const WeightFile& file) {
  if (find_optimizer(file.root) != nullptr)
    notes_.emplace_back("safetensors hold weights alone: the optimizer's state stays behind");
  std::map<std::string, std::string> metadata = file.metadata;
  metadata.emplace("format", "pt");
  return format::write_safetensors(out_, file.tensors, metadata);
}

ExitCode convert(Console& console, const std::string& in, const std::string& out,
                 const std::vector<std::string>& settings) {
  static const std::vector<std::string> kAllowed = {"model", "init.norm_eps", "init.gelu", "init.num_heads",
                                                    "init.normalization"};
  std::vector<Setting> told = parse_arguments(settings);
  allow_only(told, "convert", kAllowed);
  RunConfig config;
  apply(config, std::move(told));
  const fs::path source = source_file(in, Prefer::last);
  std::error_code ignored;
  if (fs::equivalent(source, out, ignored))
    throw ConfigError(fmt::format("{}: expected another file than IN", out));
  Conversion conversion(source, out, config);
  const format::WriteResult result = conversion.run();
  show_lines(console, "Note", conversion.notes());
  console.row("Written", fmt::format("{}  {}  {:.2f} s", out, bytes_text(result.file_bytes), result.seconds));
  return ExitCode::done;
}

}  // namespace

void add_convert(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("convert", "A file of weights in another format");
  struct Options {
    std::string in, out;
    std::vector<std::string> settings;
  };
  auto options = std::make_shared<Options>();
  command->add_option("in", options->in, "a file of weights, or a run's folder")->required();
  command->add_option("out", options->out, "the file to write")->required();
  command->add_option("settings", options->settings, "KEY=VALUE, see below");
  command->footer(kConvertExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return convert(console, options->in, options->out, options->settings); };
  });
}

}  // namespace vitrail::app
