#pragma once
// Adam (Kingma and Ba, arXiv 1412.6980) and AdamW (Loshchilov and Hutter, arXiv 1711.05101) with their own
// moment buffers, in one pass over all parameters. Epsilon stands outside the bias correction, as in
// torch.optim.

#include <span>

#include "kernels/view.h"

namespace vitrail {

enum class AdamKind : std::uint8_t {
  adam,   // weight decay is added to the gradient (L2)
  adamw,  // weight decay is decoupled: w −= lr·decay·w
};

// A range of elements that share their hyper-parameters.
struct AdamSegment {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  double lr_scale = 1;
  double weight_decay = 0;
};

// g = grad · min(1, max_norm / (grad_norm + 1e-6))      (torch.nn.utils.clip_grad_norm_)
// m = β1·m + (1 − β1)·g,   v = β2·v + (1 − β2)·g²
// w −= lr · (m / (1 − β1^t)) / (√(v / (1 − β2^t)) + eps)
// ema = ema_decay·ema + (1 − ema_decay)·w
struct AdamStep {
  static constexpr const char* kName = "adam_step";
  Out weight;            // (n)
  Out first_moment;      // (n)
  Out second_moment;     // (n)
  Out weight_bf16 = {};  // (n) bf16, may be absent: the new f32 weights, rounded in the same pass
  Out ema;               // (n), may be absent
  In grad;               // (n)
  In grad_norm;          // (1) f64, absent without clipping
  std::span<const AdamSegment>
      segments;  // ascending, disjoint; elements outside all segments are not touched
  AdamKind kind = AdamKind::adamw;
  std::int64_t step = 1;  // t, counts from 1
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double max_norm = 0;
  double ema_decay = 0;
  void check() const;
};

// norm = √Σ grad², summed in f64 in a fixed order
struct GradNorm {
  static constexpr const char* kName = "grad_norm";
  Out norm;  // (1) f64
  In grad;   // (n)
  void check() const;
};

}  // namespace vitrail
