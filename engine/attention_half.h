#pragma once
// The first half of a block: y = x + path · ls1 ∘ proj(attention(qkv(norm1(x)))).
//
// Dtypes here and in the other parts of the network: C is the dtype in which products are computed, A =
// statistics_dtype(C) that of the residual stream, the statistics and the weights that no product reads.

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

// What the forward keeps. `kept` is the number of leading tokens that go on: all of them, or in the last
// block of a token-pooled network only those with a head, since nothing looks at the others.
struct AttentionHalf {
  Out norm;                 // (batch, tokens, dim) C
  bool norm_again = false;  // norm lies in scratch: the backward makes it again
  Out mean, rstd;           // (batch, tokens) A
  Out qkv;                  // (batch, tokens, 3·dim) C
  Out attended;             // (batch, tokens, dim) C
  Out lse;                  // (batch, heads, tokens) A
  Out attended_kept;        // (batch, kept, dim) C: attended itself when all tokens go on
  Out residual_kept;        // (batch, kept, dim) A, absent when all tokens go on
  Out branch;               // (batch, kept, dim) C, absent without LayerScale and in inference
  Out y;                    // (batch, kept, dim) A
};

// Scratch shared by all blocks, C.
struct AttentionScratch {
  Out dbranch;         // (batch, tokens, dim)
  Out norm;            // (batch, tokens, dim): in the forward, and once dbranch is used up
  Out dattended;       // (batch, tokens, dim)
  Out dattended_kept;  // (batch, kept, dim) of the last block, absent when all tokens go on
  Out dqkv;            // (batch, tokens, 3·dim)
  Out dnorm;           // (batch, tokens, dim), once dattended is used up
};

// With `scratch` the norm lies there. All but y.
AttentionHalf plan_attention_half(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                                  std::int64_t kept, const AttentionScratch* scratch);
AttentionScratch plan_attention_scratch(Arena& arena, const VitConfig& config, DType dtype,
                                        std::int64_t batch, std::int64_t kept);
// For a forward without a backward: what is used up is written over. All but y and residual_kept.
AttentionHalf plan_attention_inference(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                                       std::int64_t kept);

// half.y may be x itself when all tokens go on.
void attention_half_forward(Backend& backend, const VitConfig& config, const BlockParams& params,
                            const AttentionHalf& half, In x, std::int64_t block, const Draws& draws);

// When all tokens go on, dx_acc and dy are the same memory: the residual's share of the gradient is there
// already.
void attention_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                             const BlockParams& grads, const AttentionHalf& half,
                             const AttentionScratch& scratch, Out dx_acc, In dy, In x, std::int64_t block,
                             const Draws& draws);

}  // namespace vitrail
