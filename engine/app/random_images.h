#pragma once
// Images of noise, for timing: as large as the model wants them, so that preparing them costs next to
// nothing.

#include "engine/data/dataset.h"
#include "engine/vit_config.h"

namespace vitrail::app {

DataSource random_images(const VitConfig& config, std::int64_t images);

}  // namespace vitrail::app
