#pragma once
// From images to the token sequence: patch embedding, prefix tokens, position embedding, norm_pre.

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

struct Stem {
  Out patches;           // (batch, patches, in_chans·P·P)
  Out embedded;          // (batch, patches, dim)
  Out tokens;            // (batch, tokens, dim)
  Out norm, mean, rstd;  // (batch, tokens, dim), (batch, tokens): absent without pre_norm
  Out y() const { return norm ? norm : tokens; }
};

struct StemScratch {
  Out dtokens;    // (batch, tokens, dim), absent without pre_norm
  Out dembedded;  // (batch, patches, dim)
};

Stem plan_stem(Arena& arena, const VitConfig& config, std::int64_t batch);
StemScratch plan_stem_scratch(Arena& arena, const VitConfig& config, std::int64_t batch);

// images: (batch, in_chans, img_size, img_size), normalised
void stem_forward(Backend& backend, const VitConfig& config, const VitParams& params, const Stem& stem,
                  In images, const Draws& draws);

// dy: the gradient at stem.y(); its memory is used up
void stem_backward(Backend& backend, const VitConfig& config, const VitParams& params, const VitParams& grads,
                   const Stem& stem, const StemScratch& scratch, Out dy, const Draws& draws);

}  // namespace vitrail
