#include <fmt/format.h>

#include "engine/app/commands.h"
#include "engine/app/export_onnx.h"
#include "engine/error.h"

namespace vitrail::app {
namespace {

constexpr const char* kExamples =
    "Examples:\n"
    "  vitrail export runs/flowers-1 --to onnx                  writes runs/flowers-1/model.onnx\n"
    "  vitrail export model.vitrail --to onnx -o flowers.onnx\n\n"
    "RUN stands for its best.vitrail, or last.vitrail where there is no best.";

struct ExportOptions {
  std::string file, format, out;
  std::shared_ptr<OnnxOptions> onnx;
};

ExitCode export_command(Console& console, const ExportOptions& options) {
  if (options.format == "onnx") return export_onnx(console, options.file, options.out, *options.onnx);
  throw ConfigError(fmt::format("--to: expected onnx, found '{}'; use --to onnx", options.format));
}

}  // namespace

void add_export(CLI::App& program, Console& console, Action& action) {
  CLI::App* command = program.add_subcommand("export", "Write a model for other programs");
  auto options = std::make_shared<ExportOptions>();
  command->add_option("model", options->file, "a run's folder or a .vitrail file")->required();
  command->add_option("--to", options->format, "the format: onnx")->required();
  command->add_option("-o,--out", options->out, "the file to write");
  options->onnx = add_onnx_options(*command);
  command->footer(kExamples);
  command->callback([&console, &action, options] {
    action = [&console, options] { return export_command(console, *options); };
  });
}

}  // namespace vitrail::app
