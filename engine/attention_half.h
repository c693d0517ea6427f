#pragma once
// The first half of a block: y = x + path · ls1 ∘ proj(attention(qkv(norm1(x)))).

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

// What the forward keeps. `kept` is the number of leading tokens that go on: all of them, or in the last
// block of a token-pooled network only those with a head, since nothing looks at the others.
struct AttentionHalf {
  Out norm, mean, rstd;  // (batch, tokens, dim), (batch, tokens)
  Out qkv;               // (batch, tokens, 3·dim)
  Out attended, lse;     // (batch, tokens, dim), (batch, heads, tokens)
  Out attended_kept;     // (batch, kept, dim): attended itself when all tokens go on
  Out residual_kept;     // (batch, kept, dim), absent when all tokens go on
  Out branch;            // (batch, kept, dim), absent without LayerScale
  Out y;                 // (batch, kept, dim)
};

// Scratch of the backward pass, shared by all blocks.
struct AttentionScratch {
  Out dbranch;         // (batch, tokens, dim)
  Out dattended;       // (batch, tokens, dim)
  Out dattended_kept;  // (batch, kept, dim) of the last block
  Out dqkv;            // (batch, tokens, 3·dim)
  Out dnorm;           // (batch, tokens, dim)
};

AttentionHalf plan_attention_half(Arena& arena, const VitConfig& config, std::int64_t batch,
                                  std::int64_t kept, bool training);
AttentionScratch plan_attention_scratch(Arena& arena, const VitConfig& config, std::int64_t batch,
                                        std::int64_t kept);

void attention_half_forward(Backend& backend, const VitConfig& config, const BlockParams& params,
                            const AttentionHalf& half, In x, std::int64_t block, const Draws& draws);

// When all tokens go on, dx_acc and dy are the same memory: the residual's share of the gradient is there
// already.
void attention_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                             const BlockParams& grads, const AttentionHalf& half,
                             const AttentionScratch& scratch, Out dx_acc, In dy, In x, std::int64_t block,
                             const Draws& draws);

}  // namespace vitrail
