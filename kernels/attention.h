#pragma once
// Multi-head self-attention (Vaswani et al., arXiv 1706.03762) as one op. No tokens × tokens matrix is kept:
// the forward saves the log-sum-exp of each row of scores and the backward computes the probabilities again
// (Dao et al., FlashAttention, arXiv 2205.14135).

#include "kernels/dropout.h"
#include "kernels/view.h"

namespace vitrail {

// Per sample and head, with q, k, v (tokens, head_dim) cut out of qkv and scale = 1/√head_dim:
// s = scale · q·kᵀ,   lse = log Σ exp(s),   p = exp(s − lse),   y = dropout(p) · v
// All is of one dtype, but lse f32 beside bf16; in bf16 p and ds are rounded to bf16 before they are
// multiplied. Dropout's element number of (head, query, key) is (head·tokens + query)·tokens + key.
struct AttentionForward {
  static constexpr const char* kName = "attention_forward";
  Out y;    // (batch, tokens, heads·head_dim)
  Out lse;  // (batch, heads, tokens), kept for the backward
  In qkv;   // (batch, tokens, 3·heads·head_dim): all q, all k, all v; inside each, head-major
  std::int64_t heads = 1;
  Dropout dropout;
  void check() const;
};

// dv = dropout(p)ᵀ · dy,   dp = mask ∘ (dy · vᵀ),   ds = p ∘ (dp − Σ dy ∘ y),
// dq = scale · ds · k,   dk = scale · dsᵀ · q
struct AttentionBackward {
  static constexpr const char* kName = "attention_backward";
  Out dqkv;  // (batch, tokens, 3·heads·head_dim)
  In dy, y;  // (batch, tokens, heads·head_dim)
  In qkv;    // (batch, tokens, 3·heads·head_dim)
  In lse;    // (batch, heads, tokens)
  std::int64_t heads = 1;
  Dropout dropout;
  void check() const;
};

}  // namespace vitrail
