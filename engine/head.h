#pragma once
// From the last block to logits: norm, pooling, fc_norm, the linear head; for distilled models both heads.
// All of it is computed in A (attention_half.h), with weights that no bf16 copy stands for.

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

// Tokens that the head looks at: the class token (and dist_token), which are the leading ones, or all.
std::int64_t head_tokens(const VitConfig& config);

struct Head {
  Out mean_tokens;          // (batch, 1, dim): average pooling, before fc_norm or after norm
  Out norm, mean, rstd;     // (batch, normed tokens, dim), (batch, normed tokens)
  Out cls, dist;            // (batch, 1, dim): of a distilled model
  Out dropped;              // (batch, 1, dim): with a dropout before the head, in training
  Out logits, logits_dist;  // (batch, 1, classes)
};

struct HeadScratch {
  Out dlogits_half;  // (batch, 1, classes), of a distilled model
  Out dfeatures;     // (batch, 1, dim)
  Out dnorm;         // as Head::norm
  Out dpooled;       // (batch, 1, dim), with fc_norm after average pooling
};

// `dtype` is A.
Head plan_head(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch, bool training);
HeadScratch plan_head_scratch(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch);

// x: (batch, head_tokens, dim)
void head_forward(Backend& backend, const VitConfig& config, const VitParams& params, const Head& head, In x,
                  const Draws& draws);

// dx is set: (batch, head_tokens, dim).   dlogits: (batch, 1, classes)
void head_backward(Backend& backend, const VitConfig& config, const VitParams& params, const VitParams& grads,
                   const Head& head, const HeadScratch& scratch, Out dx, In dlogits, In x,
                   const Draws& draws);

}  // namespace vitrail
