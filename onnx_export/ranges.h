#pragma once
// How large a model's activations become on images: what fp16 must hold, and what int8 divides into steps.

#include <map>
#include <span>
#include <string>

#include "engine/vit_params.h"
#include "kernels/backend.h"

namespace vitrail::onnx_export {

struct Range {
  float lowest = 0, highest = 0;

  void include(float number) {
    lowest = number < lowest ? number : lowest;
    highest = number > highest ? number : highest;
  }
  float magnitude() const { return highest > -lowest ? highest : -lowest; }
};

// By linear layer, "blocks.0.mlp.fc1".
struct Ranges {
  std::map<std::string, Range> inputs;  // of what it reads
  std::map<std::string, Range>
      outputs;     // of what it gives, with bias and LayerScale, before anything is added
  Range residual;  // of the residual stream, over all blocks
  std::int64_t images = 0;

  bool empty() const { return images == 0; }
};

// Adds what a run of the network over `images` (count, in_chans, img_size, img_size), normalised, shows.
void observe(Ranges& ranges, const VitConfig& config, const VitParams& params, Backend& backend,
             std::span<const float> images);

}  // namespace vitrail::onnx_export
