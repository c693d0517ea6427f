#pragma once
// Whether an ONNX file is what the exporter wrote, and computes what it promised.

#include <filesystem>
#include <optional>
#include <string>

#include "onnx_export/runtime.h"
#include "onnx_export/self_test.h"

namespace vitrail::onnx_export {

struct OnnxReport {
  std::uint64_t bytes = 0;  // with external data
  std::int64_t opset = 0, nodes = 0, parameters = 0;
  bool microsoft = false;  // uses operators of com.microsoft
  bool hashed = false;     // carries a hash, which was right
  // ONNX's own checker with strict shape inference looked at it; else the opset or IR is beyond what the
  // linked libonnx knows. Our own rules and shapes are checked of every file.
  bool official = false;
  std::string runtime;  // whose numbers were compared: "the reference interpreter", "onnxruntime 1.32.0"
  std::optional<Deviation> deviation;  // of the self-test; none when the file carries none
};

// Throws FormatError for a file that is damaged, no graph of ours, or not valid; FileError. A deviation
// beyond its limit is in the report.
// The self-test runs in `runtime` where one is given, else in the interpreter.
OnnxReport verify_onnx(const std::filesystem::path& path, Backend& backend, OnnxRuntime* runtime = nullptr);
OnnxReport verify_onnx(const reference::ModelParts& parts, reference::Products& products,
                       const reference::Limits& limits = {});

// Versions, nodes and hash; neither the self-test nor ONNX's checker.
OnnxReport check_structure(const reference::ModelParts& parts, const reference::Graph& graph);

// True when ONNX's checker and strict shape inference of the linked libonnx passed; false when they do not
// know the file's opset or IR version. Throws FormatError with what they found.
bool check_officially(const reference::ModelParts& parts);

}  // namespace vitrail::onnx_export
