#pragma once
// Images to calibrate an export with and to measure it on.

#include <memory>
#include <string>
#include <vector>

#include "engine/data/dataset.h"
#include "engine/data/transform.h"
#include "engine/model_io.h"

namespace vitrail::app {

struct PreparedImages {
  std::vector<float> pixels;         // (count, channels, size, size), normalised
  std::vector<std::int64_t> labels;  // one each, or none
};

// `count` of them: noise, as normalised samples are.
PreparedImages noise_images(const MappedModel& model, std::int64_t count);
// At most `count` of a data set, evenly spaced. Throws DataError when one cannot be read.
PreparedImages data_images(const Dataset& dataset, const InputConfig& input, std::int64_t count);

}  // namespace vitrail::app
