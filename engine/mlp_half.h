#pragma once
// The second half of a block: y = x + path · ls2 ∘ fc2(gelu(fc1(norm2(x)))).

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

// What the forward keeps. `tokens` is all of them, or in the last block those that go on.
struct MlpHalf {
  Out norm, mean, rstd;  // (batch, tokens, dim), (batch, tokens)
  Out pre;               // (batch, tokens, mlp_dim), absent in inference
  Out act;               // (batch, tokens, mlp_dim)
  Out branch;            // (batch, tokens, dim), absent without LayerScale
  Out y;                 // (batch, tokens, dim)
};

// Scratch of the backward pass, shared by all blocks.
struct MlpScratch {
  Out dbranch;  // (batch, tokens, dim)
  Out dpre;     // (batch, tokens, mlp_dim)
  Out dnorm;    // (batch, tokens, dim)
};

MlpHalf plan_mlp_half(Arena& arena, const VitConfig& config, std::int64_t batch, std::int64_t tokens,
                      bool training);
MlpScratch plan_mlp_scratch(Arena& arena, const VitConfig& config, std::int64_t batch);

void mlp_half_forward(Backend& backend, const VitConfig& config, const BlockParams& params,
                      const MlpHalf& half, In x, std::int64_t block, const Draws& draws);

// dx_acc: on entry the gradient at y, which is the residual's share; on return the gradient at x.
void mlp_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                       const BlockParams& grads, const MlpHalf& half, const MlpScratch& scratch, Out dx_acc,
                       In x, std::int64_t block, const Draws& draws);

}  // namespace vitrail
