#pragma once
// A network and its preprocessing, for people and for programs.

#include <nlohmann/json.hpp>

#include "engine/app/console.h"
#include "engine/data/transform.h"
#include "engine/vit_config.h"

namespace vitrail::app {

nlohmann::ordered_json model_json(const VitConfig& config);
nlohmann::ordered_json input_json(const InputConfig& input);
// Null: not known.
void show_network(Console& console, const VitConfig* model, const InputConfig* input,
                  const std::vector<std::string>& labels);

}  // namespace vitrail::app
