#pragma once
// A model for running alone, with as little memory as it takes: where the host computes, its weights stay
// where their file is mapped, and of matrices in bf16 or int8 there is no other copy.

#include <filesystem>
#include <optional>

#include "engine/model_io.h"
#include "engine/narrow_weights.h"

namespace vitrail {

struct ReadyModel {
  VitConfig config;
  InputConfig input;
  std::vector<std::string> labels;
  DType dtype = DType::f32;  // that it computes in
  VitParams params;          // as a network that computes in dtype reads them

  // Where they lie.
  std::optional<MappedModel> file;
  std::optional<ParamSet> set;
  Arena narrow;
};

// From a model or a checkpoint; every byte that is used is checked against its hash. dtype: f32 (the file's
// own numbers, which may be f64), or bf16 or int8 for a file of f32. Throws format::FormatError, ConfigError.
ReadyModel open_ready(const std::filesystem::path& path, Backend& backend, DType dtype,
                      WeightChoice choice = WeightChoice::best);
ReadyModel make_ready(Model model, Backend& backend, DType dtype);

}  // namespace vitrail
