#pragma once
// Layer normalisation over the last axis (Ba, Kiros and Hinton, arXiv 1607.06450), biased variance as in
// PyTorch. All is f32 or f64, but y and dy may be bf16 beside f32: what a bf16 product reads and gives back.

#include "kernels/view.h"

namespace vitrail {

// mean = mean(x),   rstd = 1/√(var(x) + eps),   y = (x − mean)·rstd ∘ weight + bias
struct LayerNormForward {
  static constexpr const char* kName = "layernorm_forward";
  Out y;           // (samples, tokens, dim), may be bf16
  Out mean, rstd;  // (samples, tokens), kept for the backward
  In x;            // (samples, tokens, dim)
  In weight;       // (dim)
  In bias;         // (dim)
  double eps = 1e-6;
  void check() const;
};

// dx += rstd · (g − mean(g) − x̂ · mean(g·x̂)),   g = dy·weight,   x̂ = (x − mean)·rstd
// dweight += Σ dy·x̂,   dbias += Σ dy
struct LayerNormBackward {
  static constexpr const char* kName = "layernorm_backward";
  Out dx_acc;                  // (samples, tokens, dim)  +=  x is the residual stream
  Out dweight_acc, dbias_acc;  // (dim)
  In dy, x;                    // (samples, tokens, dim), dy may be bf16
  In weight;                   // (dim)
  In mean, rstd;               // (samples, tokens)
  void check() const;
};

}  // namespace vitrail
