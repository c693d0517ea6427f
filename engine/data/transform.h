#pragma once
// From a decoded image to the model's input: resize, crop, augmentation, normalisation. Resampling is
// Pillow's (antialiased; bicubic with a = −0.5), as timm uses it.

#include <array>
#include <cstdint>
#include <span>

#include "engine/data/image.h"
#include "kernels/random.h"

namespace vitrail {

enum class Interpolation : std::uint8_t { bicubic, bilinear };

// How an image is prepared for evaluation and prediction; it travels with every model file.
struct InputConfig {
  std::int64_t size = 224;  // pixels, square: the model's img_size
  std::int64_t channels = 3;
  double crop_pct = 0.9;  // the short side is resized to floor(size / crop_pct), then the centre is cut out
  Interpolation interpolation = Interpolation::bicubic;
  std::array<double, 4> mean{0.5, 0.5, 0.5, 0.5};  // of samples scaled to [0, 1], by channel
  std::array<double, 4> std{0.5, 0.5, 0.5, 0.5};

  friend bool operator==(const InputConfig&, const InputConfig&) = default;
};

// Random changes to training images. Every draw is a function of (seed, epoch, index).
struct AugmentConfig {
  double crop_min = 1;          // random resized crop: share of the image's area, drawn from [crop_min, 1]; 1
                                // switches it off and training images are prepared as for evaluation
  double crop_ratio = 4.0 / 3;  // aspect ratio drawn from [1/crop_ratio, crop_ratio]
  std::int64_t shift = 0;       // pixels: moved by up to this in both directions, edges filled with black
  double flip = 0.5;            // probability of a horizontal flip
  double erase = 0;             // probability of a random rectangle filled with the mean
                                // (Zhong et al., arXiv 1708.04896)

  friend bool operator==(const AugmentConfig&, const AugmentConfig&) = default;
};

// Both write channels · size · size floats, channel-major, normalised: (sample/255 − mean) / std.
void transform_eval(const Image& image, const InputConfig& input, std::span<float> out);
void transform_train(const Image& image, const InputConfig& input, const AugmentConfig& augment,
                     const RandomKey& key, std::uint32_t index, std::span<float> out);

const char* name_of(Interpolation interpolation);  // "bicubic", "bilinear"

}  // namespace vitrail
