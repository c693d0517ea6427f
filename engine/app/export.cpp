#include <fmt/format.h>

#include "engine/app/commands.h"
#include "engine/app/export_onnx.h"
#include "engine/app/export_torch.h"
#include "engine/error.h"
#include "engine/keys.h"

namespace vitrail::app {
namespace {

constexpr const char* kExportExamples =
    "Examples:\n"
    "  vitrail export runs/flowers-1 --to onnx                  writes runs/flowers-1/model.onnx\n"
    "  vitrail export model.vitrail --to onnx -o flowers.onnx\n"
    "  vitrail export runs/flowers-1 --to pt                    a state dict under timm's names: "
    "runs/flowers-1/model.pt\n"
    "  vitrail export runs/flowers-1 --to pt --with-optimizer -o checkpoint.pt\n"
    "  vitrail export runs/flowers-1 --to safetensors --layout hf -o flowers-hf     for Hugging Face's "
    "from_pretrained\n\n"
    "RUN stands for its best.vitrail, or last.vitrail where there is no best.";

struct ExportOptions {
  std::string file, format, out;
  std::shared_ptr<OnnxOptions> onnx;
  std::shared_ptr<TorchOptions> torch;
};

ExitCode export_command(Console& console, const ExportOptions& options) {
  if (options.format == "onnx") return export_onnx(console, options.file, options.out, *options.onnx);
  if (options.format == "pt" || options.format == "safetensors")
    return export_torch(console, options.file, options.format, options.out, *options.torch);
  const std::vector<std::string> known = {"onnx", "pt", "safetensors"};
  const std::string near =
      options.format == "pth" || options.format == "torch" ? "pt" : nearest(options.format, known);
  throw ConfigError(fmt::format("--to: expected onnx, pt or safetensors, found '{}'; use --to {}",
                                options.format, near.empty() ? "pt" : near));
}

}  // namespace

void add_export(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("export", "Write a model for other programs");
  auto options = std::make_shared<ExportOptions>();
  command->add_option("model", options->file, "a run's folder or a .vitrail file")->required();
  command->add_option("--to", options->format, "the format: onnx, pt (PyTorch) or safetensors")->required();
  command->add_option("-o,--out", options->out, "the file to write");
  options->onnx = add_onnx_options(*command);
  options->torch = add_torch_options(*command);
  command->footer(kExportExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return export_command(console, *options); };
  });
}

}  // namespace vitrail::app
