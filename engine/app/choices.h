#pragma once
// What `vitrail train data=X` decides where it was not told: model, batch, epochs, learning rate,
// augmentation.

#include "engine/app/recipes.h"
#include "engine/app/run_config.h"
#include "engine/data/dataset.h"
#include "engine/import_model.h"

namespace vitrail::app {

struct Choice {
  std::string setting, value, why;
};

// Fills in what `config` was not told, notes the reason as each value's origin, and returns what was chosen
// in order. Reads images to measure their mean when they are small. Throws DataError.
std::vector<Choice> choose(RunConfig& config, const DataSource& data);

// The same where network and preprocessing come from a file (`origin`: of which), which a later choice does
// not touch. Throws ConfigError when `config` was told something else of the network.
std::vector<Choice> choose_for(RunConfig& config, const DataSource& data, const Recipe& recipe,
                               const Import& import, const std::string& origin);

}  // namespace vitrail::app
