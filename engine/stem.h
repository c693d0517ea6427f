#pragma once
// From images to the token sequence: patch embedding, prefix tokens, position embedding, norm_pre. Dtypes as
// in attention_half.h.

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

struct Stem {
  Out patches;           // (batch, patches, in_chans·P·P) C, kept for the backward
  Out embedded;          // (batch, patches, dim) A, used up by the forward
  Out tokens;            // (batch, tokens, dim) A
  Out norm, mean, rstd;  // (batch, tokens, dim), (batch, tokens) A: absent without pre_norm
  Out y() const { return norm ? norm : tokens; }
};

struct StemScratch {
  Out dtokens;    // (batch, tokens, dim) A, absent without pre_norm
  Out dembedded;  // (batch, patches, dim) A
};

// All but patches and embedded.
Stem plan_stem(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch);
Out plan_patches(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch);
Out plan_embedded(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch);
StemScratch plan_stem_scratch(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch);

// images: (batch, in_chans, img_size, img_size), normalised
void stem_forward(Backend& backend, const VitConfig& config, const VitParams& params, const Stem& stem,
                  In images, const Draws& draws);

// dy: the gradient at stem.y(); its memory is used up
void stem_backward(Backend& backend, const VitConfig& config, const VitParams& params, const VitParams& grads,
                   const Stem& stem, const StemScratch& scratch, Out dy, const Draws& draws);

}  // namespace vitrail
