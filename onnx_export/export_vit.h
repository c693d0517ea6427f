#pragma once
// A trained model as an ONNX file that any runtime of opset 17 (IR 8) reads; docs/onnx.md describes the file.

#include <cstdint>
#include <filesystem>

#include "engine/model_io.h"

namespace vitrail::onnx_export {

struct ExportResult {
  std::filesystem::path path;
  std::uint64_t bytes = 0;        // of the file
  std::int64_t nodes = 0;         // of the graph
  std::int64_t parameters = 0;    // of the model
  bool converted_to_f32 = false;  // the model was not in f32 already; the file always is
};

// Checks the graph with the official checker, then replaces `path` durably and in one step; where anything
// fails, an existing file there stays as it was. Memory: at most twice the weights beside the model. Throws
// ConfigError for a model that does not fit in one file (2 GiB) and Error when the file cannot be written.
ExportResult export_vit(const std::filesystem::path& path, const Model& model, Backend& backend);

// Throws ConfigError when a model of so many parameters does not fit in one file.
void require_fitting(std::int64_t parameters);

}  // namespace vitrail::onnx_export
