#pragma once
// What a file of another format carries so that it becomes the same model again: the settings of the network
// and of its images, and the labels. They stand in config.json under "vitrail", and in safetensors' metadata.

#include <nlohmann/json_fwd.hpp>

#include "engine/families/facts.h"

namespace vitrail::families {

// From either place; leaves `facts` alone when there is none. Throws ConfigError when they cannot be read.
void read_own_settings(const WeightFile& file, Facts& facts);

nlohmann::ordered_json own_settings(const Model& model);              // {"settings": […], "labels": […]}
std::map<std::string, std::string> own_metadata(const Model& model);  // vitrail.settings, vitrail.labels

}  // namespace vitrail::families
