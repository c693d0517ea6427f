#pragma once
// y = x·Wᵀ + b and its fused forms. Weights are (out, in) as in PyTorch. Operands of rank 3 are
// (samples, tokens, features); rows = samples · tokens.
//
// Dtypes: C is the dtype of x, in which the products read (f32, f64 or bf16), A = statistics_dtype(C), in
// which they sum. Operands are C, but for biases, gammas and the gradients of weights, biases and gammas,
// which are A, and for what the comments name. Where C is bf16, cuda rounds three more numbers to it, because
// cuBLASLt takes or gives them so: a bias whose sum is C, a branch between which and the residual something
// stands, and what goes through a GELU's slope.
//
// In inference a forward's weight may be int8 beside f32: it is multiplied with x in 8 bits too, each row of
// x cut into 256 steps between its smallest and its largest number; the products add up exactly.

#include "kernels/dropout.h"
#include "kernels/gelu.h"
#include "kernels/quantize.h"
#include "kernels/view.h"

namespace vitrail {

// y = x · weightᵀ + bias
struct LinearForward {
  static constexpr const char* kName = "linear_forward";
  Out y;      // (samples, tokens, out)
  In x;       // (samples, tokens, in)
  In weight;  // (out, in)
  In bias;    // (out), may be absent
  QuantizedRows quantized = {};
  void check() const;
};

// dx = dy · weight,   dweight += dyᵀ · x,   dbias += Σ dy
struct LinearBackward {
  static constexpr const char* kName = "linear_backward";
  Out dx;           // (samples, tokens, in), may be absent
  Out dweight_acc;  // (out, in)
  Out dbias_acc;    // (out), may be absent
  In dy;            // (samples, tokens, out)
  In x;             // (samples, tokens, in)
  In weight;        // (out, in)
  void check() const;
};

// pre = x · weightᵀ + bias,   y = dropout(gelu(pre))
// Its backward: LinearResidualBackward of the layer after it gives the gradient at `pre`, then
// LinearBackward.
struct LinearGeluForward {
  static constexpr const char* kName = "linear_gelu_forward";
  Out y;      // (samples, tokens, out)
  Out pre;    // (samples, tokens, out), kept for the backward, and then y is of pre as it is kept; absent in
              // inference
  In x;       // (samples, tokens, in)
  In weight;  // (out, in)
  In bias;    // (out), may be absent
  GeluKind gelu = GeluKind::erf;
  Dropout dropout;
  QuantizedRows quantized = {};
  void check() const;
};

// branch = dropout(x · weightᵀ + bias),   y = residual + path · gamma ∘ branch
// path is 1, or with stochastic depth (Huang et al., arXiv 1603.09382) 0 or 1/(1 − rate), one draw a sample:
// element 0 of drop_path.
struct LinearResidualForward {
  static constexpr const char* kName = "linear_residual_forward";
  Out y;        // (samples, tokens, out) A, may be residual itself
  Out branch;   // (samples, tokens, out), kept for dgamma; absent without gamma and in inference
  In residual;  // (samples, tokens, out) A
  In x;         // (samples, tokens, in)
  In weight;    // (out, in)
  In bias;      // (out), may be absent
  In gamma;     // (out), LayerScale (Touvron et al., arXiv 2103.17239); may be absent
  Dropout dropout;
  Dropout drop_path;
  QuantizedRows quantized = {};
  void check() const;
};

// dbranch = path · mask · gamma ∘ dy,   dgamma += Σ path · branch ∘ dy
// dweight += dbranchᵀ · x,   dbias += Σ dbranch,   dx = dbranch · weight
// With gelu_pre present, x = gelu_dropout(gelu(gelu_pre)) and dx is the gradient at gelu_pre:
// dx = (dbranch · weight) ∘ mask ∘ gelu'(gelu_pre).   The residual's gradient is dy itself.
struct LinearResidualBackward {
  static constexpr const char* kName = "linear_residual_backward";
  Out dx;           // (samples, tokens, in)
  Out dbranch;      // (samples, tokens, out) C: what the products read; undefined where that is dy itself
  Out dweight_acc;  // (out, in)
  Out dbias_acc;    // (out), may be absent
  Out dgamma_acc;   // (out), absent without gamma
  In dy;            // (samples, tokens, out) A
  In branch;        // (samples, tokens, out), absent without gamma
  In x;             // (samples, tokens, in)
  In weight;        // (out, in)
  In gamma;         // (out), may be absent
  Dropout dropout;
  Dropout drop_path;
  In gelu_pre;  // (samples, tokens, in), may be absent
  GeluKind gelu = GeluKind::erf;
  Dropout gelu_dropout;
  void check() const;
};

}  // namespace vitrail
