#pragma once
// What `vitrail train data=X` decides where it was not told: model, batch, epochs, learning rate,
// augmentation.

#include "engine/app/run_config.h"
#include "engine/data/dataset.h"

namespace vitrail::app {

struct Choice {
  std::string setting, value, why;
};

// Fills in what `config` was not told, notes the reason as each value's origin, and returns what was chosen
// in order. Reads images to measure their mean when they are small. Throws DataError.
std::vector<Choice> choose(RunConfig& config, const DataSource& data);

}  // namespace vitrail::app
