#include "engine/app/recipes.h"

#include <limits>

namespace vitrail::app {
namespace {

constexpr std::int64_t kAnySize = std::numeric_limits<std::int64_t>::max();

constexpr Recipe kRecipes[] = {
    {.name = "images up to 16 pixels",
     .up_to = 16,
     .img_size = 0,
     .patch_size = 2,
     .dim = 64,
     .depth = 4,
     .heads = 4,
     .weight_init = WeightInit::timm,
     .crop_pct = 1,
     .images_seen = 600'000,
     .batch = 128,
     .lr = 2e-3,
     .weight_decay = 0.05,
     .layer_decay = 1,
     .label_smoothing = 0,
     .drop_path = 0,
     .ema_decay = 0,
     .crop_min = 1,
     .shift = 1},
    {.name = "images up to 28 pixels",
     .up_to = 28,
     .img_size = 0,
     .patch_size = 7,
     .dim = 96,
     .depth = 6,
     .heads = 4,
     .weight_init = WeightInit::jax,
     .crop_pct = 1,
     .images_seen = 720'000,
     .batch = 64,
     .lr = 1e-3,
     .weight_decay = 0.05,
     .layer_decay = 1,
     .label_smoothing = 0,
     .drop_path = 0,
     .ema_decay = 0,
     .crop_min = 1,
     .shift = 1},
    {.name = "images up to 40 pixels",
     .up_to = 40,
     .img_size = 0,
     .patch_size = 4,
     .dim = 96,
     .depth = 4,
     .heads = 3,
     .weight_init = WeightInit::timm,
     .crop_pct = 1,
     .images_seen = 600'000,
     .batch = 128,
     .lr = 2e-3,
     .weight_decay = 0.05,
     .layer_decay = 1,
     .label_smoothing = 0,
     .drop_path = 0,
     .ema_decay = 0,
     .crop_min = 1,
     .shift = 1},
    {.name = "images up to 96 pixels",
     .up_to = 96,
     .img_size = 0,
     .patch_size = 8,
     .dim = 128,
     .depth = 6,
     .heads = 4,
     .weight_init = WeightInit::timm,
     .crop_pct = 1,
     .images_seen = 600'000,
     .batch = 128,
     .lr = 1e-3,
     .weight_decay = 0.05,
     .layer_decay = 1,
     .label_smoothing = 0,
     .drop_path = 0.05,
     .ema_decay = 0,
     .crop_min = 0.6,
     .shift = 0},
    {.name = "photographs",
     .up_to = kAnySize,
     .img_size = 128,
     .patch_size = 16,
     .dim = 192,
     .depth = 9,
     .heads = 3,
     .weight_init = WeightInit::timm,
     .crop_pct = 0.9,
     .images_seen = 300'000,
     .batch = 64,
     .lr = 7e-4,
     .weight_decay = 0.05,
     .layer_decay = 1,
     .label_smoothing = 0.1,
     .drop_path = 0.05,
     .ema_decay = 0,
     .crop_min = 0.35,
     .shift = 0},
};

constexpr Recipe kFinetune{.name = "fine-tuning",
                           .up_to = kAnySize,
                           .img_size = 0,
                           .patch_size = 0,
                           .dim = 0,
                           .depth = 0,
                           .heads = 0,
                           .weight_init = WeightInit::timm,
                           .crop_pct = 0,
                           .images_seen = 60'000,
                           .batch = 64,
                           .lr = 5e-4,
                           .weight_decay = 0.05,
                           .layer_decay = 0.75,
                           .label_smoothing = 0.1,
                           .drop_path = 0.1,
                           .ema_decay = 0.9998,
                           .crop_min = 0.35,
                           .shift = 0};

constexpr Recipe kTakeover{.name = "a training taken over",
                           .up_to = kAnySize,
                           .img_size = 0,
                           .patch_size = 0,
                           .dim = 0,
                           .depth = 0,
                           .heads = 0,
                           .weight_init = WeightInit::timm,
                           .crop_pct = 0,
                           .images_seen = 60'000,
                           .batch = 64,
                           .lr = 0,
                           .weight_decay = 0,
                           .layer_decay = 1,
                           .label_smoothing = 0,
                           .drop_path = 0,
                           .ema_decay = 0,
                           .crop_min = 1,
                           .shift = 0};

}  // namespace

const Recipe& finetune_recipe() {
  return kFinetune;
}

const Recipe& takeover_recipe() {
  return kTakeover;
}

std::span<const Recipe> recipes() {
  return kRecipes;
}

const Recipe& recipe_for(std::int64_t native_size) {
  const std::int64_t size = native_size > 0 ? native_size : kAnySize;
  for (const Recipe& recipe : kRecipes) {
    if (size <= recipe.up_to) return recipe;
  }
  return kRecipes[std::size(kRecipes) - 1];
}

}  // namespace vitrail::app
