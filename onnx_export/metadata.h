#pragma once
// What a user of the file needs beside the graph, as metadata_props (docs/onnx.md lists the keys).

#include "engine/model_io.h"
#include "onnx_export/graph.h"

namespace vitrail::onnx_export {

// Class names and preprocessing; the keys in alphabetical order, lists as JSON.
void add_metadata(Graph& graph, const Model& model);

}  // namespace vitrail::onnx_export
