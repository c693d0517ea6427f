#pragma once
// What a user of the file needs beside the graph, as metadata_props (docs/onnx.md lists the keys).

#include "onnx_export/vit_graph.h"

namespace vitrail::onnx_export {

// Class names, preprocessing and what the file was made as; the keys in alphabetical order, lists as JSON.
void add_metadata(Graph& graph, const Subject& subject, const ExportOptions& options);

}  // namespace vitrail::onnx_export
