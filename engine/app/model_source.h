#pragma once
// A model from whatever file people have: a run, a `.vitrail` file, or one of PyTorch, safetensors, NumPy.

#include "engine/app/console.h"
#include "engine/app/run_config.h"
#include "engine/app/run_folder.h"
#include "engine/import_model.h"
#include "engine/ready_model.h"

namespace vitrail::app {

// What a RUN or FILE argument means: a checkpoint of the run, the file, or a folder as Hugging Face's
// save_pretrained leaves it. Throws ConfigError when there is no such thing, FormatError when it is known to
// be something else.
std::filesystem::path source_file(const std::filesystem::path& run_or_file, Prefer prefer);

// Of a format that is imported, or a folder of Hugging Face's: what source_file() gave and is no container.
bool is_foreign(const std::filesystem::path& file);

// Of any format but ours; with the settings of the `.vitrail` file that it was made from, if it was.
WeightFile open_foreign(const std::filesystem::path& path);
std::vector<std::string> carried_settings(const WeightFile& file);  // of a checkpoint; else none

// What the settings tell of a file and of what it is to become.
ImportOptions import_options(const RunConfig& config);

struct LoadedModel {
  Model model;
  std::vector<std::string> lines;  // what was found and assumed, of another format
};
LoadedModel load_source(const std::filesystem::path& path, Backend& backend, const RunConfig& config = {});

// The same for running alone.
struct LoadedReady {
  ReadyModel model;
  std::vector<std::string> lines;
};
LoadedReady load_ready(const std::filesystem::path& path, Backend& backend, const RunConfig& config);

void show_lines(Console& console, const char* label, const std::vector<std::string>& lines);

}  // namespace vitrail::app
