#pragma once
// The Gaussian error linear unit (Hendrycks and Gimpel, arXiv 1606.08415) and its two approximations in use.
// It is fused into the linear ops (kernels/linear.h); alone it makes again what was not kept.

#include <cstdint>

#include "kernels/dropout.h"
#include "kernels/view.h"

namespace vitrail {

enum class GeluKind : std::uint8_t {
  erf,    // x · Φ(x) = x/2 · (1 + erf(x/√2))
  tanh,   // x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))
  quick,  // x · σ(1.702·x), CLIP's
};

// y = dropout(gelu(pre)): y of a LinearGeluForward from its pre as that is stored, bit for bit; so a bf16
// LinearGeluForward takes the GELU of the rounded pre. (A GPU whose library computed a tanh GELU in its
// product gives that up: there they agree within rounding.)
struct GeluForward {
  static constexpr const char* kName = "gelu_forward";
  Out y;   // (samples, tokens, features), may be pre itself
  In pre;  // (samples, tokens, features)
  GeluKind gelu = GeluKind::erf;
  Dropout dropout;
  void check() const;
};

}  // namespace vitrail
