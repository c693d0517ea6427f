#pragma once
// A Vision Transformer as an ONNX graph: timm's VisionTransformer (timm/models/vision_transformer.py) at
// inference. docs/onnx.md describes inputs and outputs.

#include "onnx_export/graph.h"
#include "onnx_export/options.h"
#include "onnx_export/parameters.h"
#include "onnx_export/ranges.h"

namespace vitrail::onnx_export {

// What is exported.
struct Subject {
  const VitConfig& config;
  const InputConfig& input;
  const std::vector<std::string>& labels;
  const Parameters& parameters;
  const VitParams& weights;  // the same, for the engine
};

// The model outlives the graph; `options` have been checked. `ranges` are looked at for fp16 (where empty,
// everything that may be is narrow) and needed for int8_static.
Graph build_vit(const Subject& subject, const ExportOptions& options = {}, const Ranges& ranges = {});
Graph build_vit(const Model& model, const Backend& backend, const ExportOptions& options = {},
                const Ranges& ranges = {});

}  // namespace vitrail::onnx_export
