#pragma once
// An image cut into square patches, each projected to one token: a convolution whose stride is its kernel
// size (Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021; timm/layers/patch_embed.py).

#include "kernels/view.h"

namespace vitrail {

// patches[b, (i, j)] = images[b, :, iP:(i+1)P, jP:(j+1)P], flattened as (channel, row, column)
// y = patches · weightᵀ + bias
// patches and weight are of one dtype C (f32, f64 or bf16), all else of A = statistics_dtype(C).
struct PatchEmbedForward {
  static constexpr const char* kName = "patch_embed_forward";
  Out y;        // (batch, patches, dim)
  Out patches;  // (batch, patches, channels·P·P), kept for the backward
  In images;    // (batch, channels, height, width)
  In weight;    // (dim, channels, P, P)
  In bias;      // (dim), may be absent
  void check() const;
};

// dweight += dyᵀ · patches,   dbias += Σ dy.   Images need no gradient.
struct PatchEmbedBackward {
  static constexpr const char* kName = "patch_embed_backward";
  Out dweight_acc;  // (dim, channels, P, P)
  Out dbias_acc;    // (dim), may be absent
  In dy;            // (batch, patches, dim)
  In patches;       // (batch, patches, channels·P·P)
  void check() const;
};

}  // namespace vitrail
