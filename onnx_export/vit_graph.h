#pragma once
// A Vision Transformer as an ONNX graph: timm's VisionTransformer (timm/models/vision_transformer.py) at
// inference.

#include "engine/model_io.h"
#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

// "images" (batch, in_chans, img_size, img_size), normalised → "logits" (batch, num_classes), both f32; any
// batch.
Graph build_vit(const Model& model, const Backend& backend);

}  // namespace vitrail::onnx_export
