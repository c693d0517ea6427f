#pragma once
// The second half of a block: y = x + path · ls2 ∘ fc2(gelu(fc1(norm2(x)))). Dtypes as in attention_half.h.

#include "engine/arena.h"
#include "engine/draws.h"
#include "engine/vit_params.h"

namespace vitrail {

// What the forward keeps. `tokens` is all of them, or in the last block those that go on.
struct MlpHalf {
  Out norm;            // (batch, tokens, dim) C
  Out mean, rstd;      // (batch, tokens) A
  Out pre;             // (batch, tokens, mlp_dim) C, absent in inference
  Out act;             // (batch, tokens, mlp_dim) C
  bool again = false;  // norm and act lie in scratch: the backward makes them again
  Out branch;          // (batch, tokens, dim) C, absent without LayerScale and in inference
  Out y;               // (batch, tokens, dim) A
};

// Scratch shared by all blocks, C.
struct MlpScratch {
  Out dbranch;  // (batch, tokens, dim)
  Out norm;     // (batch, tokens, dim): in the forward, and once dbranch is used up
  Out act;      // (batch, tokens, mlp_dim), absent where blocks keep their own
  Out dpre;     // (batch, tokens, mlp_dim)
  Out dnorm;    // (batch, tokens, dim), once act (or dbranch) is used up
};

// With `scratch` norm and act lie there. All but y.
MlpHalf plan_mlp_half(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                      std::int64_t tokens, const MlpScratch* scratch);
// `again`: blocks do not keep norm and act.
MlpScratch plan_mlp_scratch(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                            bool again);
// For a forward without a backward. All but y.
MlpHalf plan_mlp_inference(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                           std::int64_t tokens);

// The hidden layer: all that the backward reads but branch.
void mlp_half_hidden(Backend& backend, const VitConfig& config, const BlockParams& params,
                     const MlpHalf& half, In x, std::int64_t block, const Draws& draws);
// From there to y, which may be x itself.
void mlp_half_output(Backend& backend, const VitConfig& config, const BlockParams& params,
                     const MlpHalf& half, In x, std::int64_t block, const Draws& draws);

// dx_acc: on entry the gradient at y, which is the residual's share; on return the gradient at x.
void mlp_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                       const BlockParams& grads, const MlpHalf& half, const MlpScratch& scratch, Out dx_acc,
                       In x, std::int64_t block, const Draws& draws);

}  // namespace vitrail
