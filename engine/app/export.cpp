#include <fmt/format.h>

#include "engine/app/commands.h"
#include "engine/app/platform.h"
#include "engine/app/run_folder.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "engine/error.h"
#include "onnx_export/export_vit.h"

namespace vitrail::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExamples =
    "Examples:\n"
    "  vitrail export runs/flowers-1 --to onnx                  writes runs/flowers-1/model.onnx\n"
    "  vitrail export model.vitrail --to onnx -o flowers.onnx\n\n"
    "RUN stands for its best.vitrail, or last.vitrail where there is no best.";

struct ExportOptions {
  std::string file, format, out;
};

fs::path default_out(const fs::path& run_or_file) {
  if (fs::is_directory(run_or_file)) return run_or_file / "model.onnx";
  return fs::path(run_or_file).replace_extension(".onnx");
}

ExitCode export_command(Console& console, const ExportOptions& options) {
  if (options.format != "onnx") {
    throw ConfigError(fmt::format("--to: expected onnx, found '{}'; use --to onnx", options.format));
  }
  const fs::path file = model_file(options.file, Prefer::best);
  const std::unique_ptr<Backend> backend = open_device({});
  const Model model = load_model(file, *backend);
  const Stopwatch watch;
  const onnx_export::ExportResult result = onnx_export::export_vit(
      options.out.empty() ? default_out(options.file) : fs::path(options.out), model, *backend);
  console.row("Model", fmt::format("{}  {} parameters", file.string(), parameters_text(result.parameters)));
  if (result.converted_to_f32) console.row("Note", "the weights were converted to f32");
  console.row("Exported", fmt::format("{}  {}  {} nodes, opset 17, checked  {:.2f} s", result.path.string(),
                                      bytes_text(result.bytes), result.nodes, watch.seconds()));
  return ExitCode::done;
}

}  // namespace

void add_export(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("export", "Write a model for other programs");
  auto options = std::make_shared<ExportOptions>();
  command->add_option("model", options->file, "a run's folder or a .vitrail file")->required();
  command->add_option("--to", options->format, "the format: onnx")->required();
  command->add_option("-o,--out", options->out, "the file to write");
  command->footer(kExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return export_command(console, *options); };
  });
}

}  // namespace vitrail::app
