#pragma once
// The graph's input, up to what the patch convolution reads.

#include "onnx_export/graph.h"
#include "onnx_export/options.h"

namespace vitrail::onnx_export {

// "images": prepared floats, or samples in 0…255 that are cast, brought to channel-major order and, where
// options.any_size is set, resized and cropped as in training. Returns (batch, channels, size, size), f32.
Value image_input(Graph& graph, const InputConfig& input, const ExportOptions& options);

}  // namespace vitrail::onnx_export
