#include "onnx_export/export_vit.h"

#include <onnx/checker.h>

#include "engine/error.h"
#include "onnx_export/metadata.h"
#include "onnx_export/model_writer.h"
#include "onnx_export/self_test.h"

namespace vitrail::onnx_export {
namespace {

// What libonnx 1.12 knows (onnx/onnx docs/Versioning.md).
constexpr std::int64_t kCheckedOpset = 17;

}  // namespace

Graph build_file(const Subject& subject, Backend& backend, const ExportOptions& options,
                 const Ranges& ranges) {
  subject.config.check();
  check(options, subject.config, subject.input);
  if (options.numbers == Numbers::int8_static && ranges.empty())
    throw ConfigError("int8-static: expected images to calibrate with, found none; use data=FOLDER");
  Graph graph = build_vit(subject, options, ranges);
  add_metadata(graph, subject, options);
  add_self_test(graph, subject, options, backend);
  return graph;
}

ExportResult export_graph(const std::filesystem::path& path, const Graph& graph, const Subject& subject,
                          const ExportOptions& options) {
  const bool checked = graph.opset() <= kCheckedOpset;
  if (checked) onnx::checker::check_model(graph.skeleton());
  const WrittenModel written = write_model(path, graph, options.external_data);
  return {.path = path,
          .data_path = written.data_path,
          .bytes = written.bytes,
          .data_bytes = written.data_bytes,
          .nodes = graph.nodes(),
          .parameters = subject.parameters.count(),
          .opset = graph.opset(),
          .ir_version = graph.model().ir_version(),
          .checked = checked,
          .converted_to_f32 = subject.parameters.converted()};
}

ExportResult export_vit(const std::filesystem::path& path, const Subject& subject, Backend& backend,
                        const ExportOptions& options, const Ranges& ranges) {
  return export_graph(path, build_file(subject, backend, options, ranges), subject, options);
}

ExportResult export_vit(const std::filesystem::path& path, const Model& model, Backend& backend,
                        const ExportOptions& options, const Ranges& ranges) {
  const Parameters parameters(model.params, backend);
  const Subject subject{model.config, model.input, model.labels, parameters, model.params.views()};
  return export_vit(path, subject, backend, options, ranges);
}

}  // namespace vitrail::onnx_export
