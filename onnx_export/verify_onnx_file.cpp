#include "format/error.h"
#include "onnx_export/verify_onnx.h"

namespace vitrail::onnx_export {
namespace {

using format::FormatError;
using reference::ModelParts;

Deviation run_in(OnnxRuntime& runtime, const std::filesystem::path& path, const SelfTest& test,
                 const reference::Graph& graph) {
  const auto budget = std::make_shared<reference::Budget>(reference::Limits{});
  if (graph.inputs().size() != 1) throw FormatError("the self-test expects a graph with one input");
  std::vector<std::string> names;
  for (const reference::Declared& output : graph.outputs())
    names.push_back(output.name);
  const reference::Tensor input = self_test_input(test, graph.inputs()[0].type, budget);
  return compare(test, graph.outputs(), runtime.run(path, test.input, input, names, budget));
}

}  // namespace

OnnxReport verify_onnx(const std::filesystem::path& path, Backend& backend, OnnxRuntime* runtime) try {
  const ModelParts parts = ModelParts::open(path);
  if (runtime == nullptr) return verify_onnx(parts, *reference::backend_products(backend));
  const reference::Graph graph(parts);
  OnnxReport report = check_structure(parts, graph);
  report.runtime = "onnxruntime " + runtime->version();
  report.official = check_officially(parts);
  if (const std::string* text = parts.metadata(kSelfTestKey))
    report.deviation = run_in(*runtime, path, SelfTest::parse(*text), graph);
  return report;
} catch (const FormatError& error) {
  throw FormatError::within(path.string(), error);
}

}  // namespace vitrail::onnx_export
