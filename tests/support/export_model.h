#pragma once
// A model to export: random weights, and labels and preprocessing that no default has.

#include <utility>

#include "engine/model_io.h"
#include "tests/support/tiny_vit.h"

namespace vitrail::test {

inline Model export_model(Backend& backend, const VitConfig& config, DType dtype = DType::f32,
                          double scale = 0.3) {
  ParamSet params(backend, config, dtype);
  randomize(backend, params, 5, scale);
  std::vector<std::string> labels;
  for (std::int64_t i = 0; i < config.num_classes; ++i)
    labels.push_back("class " + std::to_string(i));
  labels[0] = "l'été \"grün\"";
  const InputConfig input{.size = config.img_size,
                          .channels = config.in_chans,
                          .crop_pct = 0.875,
                          .interpolation = Interpolation::bilinear,
                          .mean = {0.485, 0.456, 0.406, 0.1},
                          .std = {0.229, 0.224, 0.225, 0.2}};
  return {config, input, std::move(labels), std::move(params)};
}

}  // namespace vitrail::test
