#pragma once
// `vitrail export --to pt|safetensors`: weights under the names of timm or Hugging Face, or a checkpoint for
// torch.optim.

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "engine/app/console.h"
#include "engine/app/exit_codes.h"

namespace vitrail::app {

struct TorchOptions {
  std::string layout = "timm";
  bool with_optimizer = false;
};

std::shared_ptr<TorchOptions> add_torch_options(CLI::App& command);

// `format`: "pt" or "safetensors". `out`: a file, or a folder, where the documents go that Hugging Face
// needs; empty: in the run's folder, or beside the file.
ExitCode export_torch(Console& console, const std::string& model, const std::string& format,
                      const std::string& out, const TorchOptions& options);

}  // namespace vitrail::app
