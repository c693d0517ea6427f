#pragma once
// The elements of a piece as f32 in our order, and fitting them to another network as timm does.

#include "engine/families/renaming.h"

namespace vitrail::families {

// f16 and bf16 exactly, f64 rounded. Throws ConfigError naming the tensor for another type.
std::vector<float> to_f32(const Piece& piece);
// True when the elements can be taken as they stand.
bool ready(const Piece& piece);

// How timm resizes what it loads: bicubic with antialias, but bilinear without for JAX's files
// (timm/models/vision_transformer.py, _load_weights).
enum class Resampling : std::uint8_t { bicubic_antialiased, bilinear };

// (prefix + grid², dim) to (prefix + new_grid², dim); the first rows stay (timm/layers/pos_embed.py,
// resample_abs_pos_embed).
std::vector<float> fit_positions(const std::vector<float>& rows, std::int64_t prefix, std::int64_t grid,
                                 std::int64_t new_grid, std::int64_t dim, Resampling resampling);

// (count, size, size) to (count, new_size, new_size), through the pseudo-inverse of the matrix that resizes,
// so that a resized image gives the tokens that the image gave (timm/layers/patch_embed.py,
// resample_patch_embed; Beyer et al., FlexiViT, arXiv 2212.08013).
std::vector<float> fit_patches(const std::vector<float>& kernels, std::int64_t size, std::int64_t new_size,
                               Resampling resampling);

// (dim, channels, area) to (dim, new_channels, area): summed for one channel, else repeated and scaled so
// that the sum stays (timm/models/_manipulate.py, adapt_input_conv). From 1 or 3 channels, or to 1.
std::vector<float> fit_channels(const std::vector<float>& kernels, std::int64_t channels,
                                std::int64_t new_channels, std::int64_t area);

}  // namespace vitrail::families
