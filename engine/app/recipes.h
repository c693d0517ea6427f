#pragma once
// The recipes behind `vitrail train data=X`: from random weights by the size of the images, from those of a
// file, and for a training that another program began.

#include <cstdint>
#include <span>

#include "engine/vit_config.h"

namespace vitrail::app {

struct Recipe {
  const char* name;
  std::int64_t up_to;     // pixels: images of this size and below
  std::int64_t img_size;  // 0: the images' own, rounded down to a multiple of the patch
  std::int64_t patch_size;
  std::int64_t dim, depth, heads;
  WeightInit weight_init;
  double crop_pct;
  std::int64_t images_seen;  // in all; with the size of the data it gives the epochs
  std::int64_t batch;
  double lr;  // at that batch
  double weight_decay;
  double layer_decay;
  double label_smoothing;
  double drop_path;
  double ema_decay;
  double crop_min;
  std::int64_t shift;
};

// Sizes of the network, its weights and crop_pct are the file's. AdamW over layers that learn the more slowly
// the nearer they are to the image (BEiT, arXiv 2106.08254), warm-up, cosine, smoothing and an average of the
// weights.
const Recipe& finetune_recipe();
// Nothing that another program may have done without, and that its file does not tell.
const Recipe& takeover_recipe();

// Ascending by up_to; the last one takes every size.
std::span<const Recipe> recipes();
const Recipe& recipe_for(std::int64_t native_size);  // 0: images of many sizes

}  // namespace vitrail::app
