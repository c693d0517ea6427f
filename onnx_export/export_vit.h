#pragma once
// A trained model as an ONNX file; docs/onnx.md describes it.

#include <cstdint>
#include <filesystem>

#include "engine/model_io.h"
#include "onnx_export/options.h"
#include "onnx_export/ranges.h"
#include "onnx_export/vit_graph.h"

namespace vitrail::onnx_export {

struct ExportResult {
  std::filesystem::path path, data_path;  // data_path: of the weights, where they have a file of their own
  std::uint64_t bytes = 0, data_bytes = 0;
  std::int64_t nodes = 0;       // of the graph
  std::int64_t parameters = 0;  // of the model
  std::int64_t opset = 0, ir_version = 0;
  bool checked = false;           // by the official checker, which knows opsets up to 17
  bool converted_to_f32 = false;  // the model was in f64
};

// The graph with metadata and self-test, as it is written. Throws ConfigError for options that do not go
// together or with the model.
Graph build_file(const Subject& subject, Backend& backend, const ExportOptions& options = {},
                 const Ranges& ranges = {});

// Checks the graph with the official checker, then replaces `path` durably and in one step; where anything
// fails, an existing file there stays as it was. Memory: some 40 MiB beside
// one image's activations, however large the model is. Throws
// format::FileError when the file cannot be written.
ExportResult export_graph(const std::filesystem::path& path, const Graph& graph, const Subject& subject,
                          const ExportOptions& options);
// Both in one.
ExportResult export_vit(const std::filesystem::path& path, const Subject& subject, Backend& backend,
                        const ExportOptions& options = {}, const Ranges& ranges = {});
ExportResult export_vit(const std::filesystem::path& path, const Model& model, Backend& backend,
                        const ExportOptions& options = {}, const Ranges& ranges = {});

}  // namespace vitrail::onnx_export
