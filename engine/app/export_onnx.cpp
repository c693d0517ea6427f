#include "engine/app/export_onnx.h"

#include <fmt/format.h>

#include "engine/app/platform.h"
#include "engine/app/run_folder.h"
#include "engine/app/stopwatch.h"
#include "engine/app/text.h"
#include "onnx_export/export_vit.h"

namespace vitrail::app {

struct OnnxOptions {};

namespace {

namespace fs = std::filesystem;

fs::path default_out(const fs::path& run_or_file) {
  if (fs::is_directory(run_or_file)) return run_or_file / "model.onnx";
  return fs::path(run_or_file).replace_extension(".onnx");
}

}  // namespace

std::shared_ptr<OnnxOptions> add_onnx_options(CLI::App&) {
  return std::make_shared<OnnxOptions>();
}

ExitCode export_onnx(Console& console, const std::string& model_name, const std::string& out,
                     const OnnxOptions&) {
  const fs::path file = model_file(model_name, Prefer::best);
  const std::unique_ptr<Backend> backend = open_device({});
  const Model model = load_model(file, *backend);
  const Stopwatch watch;
  const onnx_export::ExportResult result =
      onnx_export::export_vit(out.empty() ? default_out(model_name) : fs::path(out), model, *backend);
  console.row("Model", fmt::format("{}  {} parameters", file.string(), parameters_text(result.parameters)));
  if (result.converted_to_f32) console.row("Note", "the weights were converted to f32");
  console.row("Exported", fmt::format("{}  {}  {} nodes, opset 17, checked  {:.2f} s", result.path.string(),
                                      bytes_text(result.bytes), result.nodes, watch.seconds()));
  return ExitCode::done;
}

}  // namespace vitrail::app
