#pragma once
// `vitrail export --to onnx`: its options, and what it does with them.

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "engine/app/console.h"
#include "engine/app/exit_codes.h"

namespace vitrail::app {

// As they stand on the command line; engine/app/export_onnx_options.cpp describes each.
struct OnnxOptions {
  std::string profile = "portable", batch, output = "logits", input = "float", layout = "nhwc",
              dtype = "fp32";
  std::int64_t opset = 0, top = 5;  // opset 0: the profile's
  std::vector<std::int64_t> blocks;
  bool any_size = false, full_range = false, external_data = false, json = false, verify = false;
  std::vector<std::string> settings;  // data=FOLDER
};

// Describes the options that only ONNX has; what the user sets stands in the result once the line is parsed.
std::shared_ptr<OnnxOptions> add_onnx_options(CLI::App& command);

// `model`: a run's folder or a .vitrail file. `out`: empty for the model's own name with .onnx.
ExitCode export_onnx(Console& console, const std::string& model, const std::string& out,
                     const OnnxOptions& options);

}  // namespace vitrail::app
