#pragma once
// The Gaussian error linear unit (Hendrycks and Gimpel, arXiv 1606.08415) and its two approximations in use.
// It is fused into the linear ops (kernels/linear.h).

#include <cstdint>

namespace vitrail {

enum class GeluKind : std::uint8_t {
  erf,    // x · Φ(x) = x/2 · (1 + erf(x/√2))
  tanh,   // x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))
  quick,  // x · σ(1.702·x), CLIP's
};

}  // namespace vitrail
