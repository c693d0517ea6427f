#pragma once
// The command line's words as the exporter's options.

#include "engine/app/export_onnx.h"
#include "onnx_export/options.h"

namespace vitrail::app {

// Throws ConfigError naming the option, what was expected and what was found.
onnx_export::ExportOptions parsed(const OnnxOptions& options);

}  // namespace vitrail::app
