#pragma once
// The documents that other libraries want beside exported weights.

#include <string>

#include "engine/families/names.h"
#include "engine/model_io.h"

namespace vitrail::families {

// The architecture of timm that makes this network when it is given the arguments in config.json.
std::string timm_architecture(const VitConfig& config);

// timm's config.json, as its hub code and "local-dir:" read it (timm/models/_hub.py). `classes` is 0 for a
// model without a head.
std::string timm_config(const Model& model, std::int64_t classes);

// transformers' config.json for `class_name`, and its preprocessor_config.json.
std::string hf_config(const Model& model, HfClass hf_class, const std::string& class_name);
std::string hf_preprocessor(const InputConfig& input);

}  // namespace vitrail::families
