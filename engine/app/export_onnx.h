#pragma once
// `vitrail export --to onnx`: its options, and what it does with them.

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "engine/app/console.h"
#include "engine/app/exit_codes.h"

namespace vitrail::app {

struct OnnxOptions;

// Describes the options that only ONNX has; what the user sets stands in the result once the line is parsed.
std::shared_ptr<OnnxOptions> add_onnx_options(CLI::App& command);

// `model`: a run's folder or a .vitrail file. `out`: empty for the model's own name with .onnx.
ExitCode export_onnx(Console& console, const std::string& model, const std::string& out,
                     const OnnxOptions& options);

}  // namespace vitrail::app
