#pragma once
// A Vision Transformer of any family that we know, from the tensors of a file: recognised by their names and
// shapes, renamed to timm's, fitted to another image size, patch size, channel count or number of classes.
// docs/import.md tells which families, and where each number comes from.

#include <optional>
#include <string>
#include <vector>

#include "engine/model_io.h"
#include "engine/weight_file.h"

namespace vitrail {

// What the user knows of the file, and what the model is to become.
struct ImportOptions {
  // Of the file, where neither its tensors nor the documents beside it tell; the setting's name behind it.
  std::optional<std::string> architecture;   // model=, a timm name
  std::optional<double> norm_eps;            // init.norm_eps=
  std::optional<GeluKind> gelu;              // init.gelu=
  std::optional<std::int64_t> num_heads;     // init.num_heads=
  std::optional<std::string> normalization;  // init.normalization=half | imagenet | clip
  // Of the model.
  std::optional<std::int64_t> img_size, patch_size, in_chans, num_classes;
};

struct Import {
  std::string family;  // "timm ViT", "Hugging Face DINOv2", …
  VitConfig config;    // of the model, after fitting
  InputConfig input;
  std::vector<std::string> labels;
  std::vector<std::string> lines;  // what was found, assumed, fitted and left out, a line each, for the user
};

// Says what the file is and what it would become. Throws ConfigError naming what cannot be known and the
// setting that tells, and all tensors that are missing, unexpected or mismatched.
Import recognise(const WeightFile& file, const ImportOptions& options = {});

// The same, and the weights, in f32. A new head's first values come from `seed`. A file without a head gives
// a model whose head is the identity, so that its output is the features, unless num_classes asks for one.
struct ImportedModel {
  Import import;
  Model model;
};
ImportedModel import_model(const WeightFile& file, Backend& backend, const ImportOptions& options = {},
                           std::uint64_t seed = 0);

// The names of another library for a model of ours; "timm" is the model's own.
enum class Layout : std::uint8_t { timm, hf };

// A model's parameters under the names of `layout`, byte by byte; what another library cuts or joins is
// copied to memory that the result keeps. A head that is the identity stays away: the other library's model
// has none then.
struct ExportedWeights {
  std::vector<format::TensorRecord> tensors;
  std::map<std::string, std::string> metadata;  // for safetensors
  // Documents beside the file in that library; empty where it has none.
  std::string config_json, preprocessor_json;
  std::vector<std::string> lines;  // what is written otherwise than it stands in the model, for the user
  std::shared_ptr<const void> storage;
};
// Throws ConfigError when the layout has no place for something that the model has, naming it.
ExportedWeights export_weights(const Model& model, const Backend& backend, Layout layout);

}  // namespace vitrail
