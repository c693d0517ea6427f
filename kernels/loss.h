#pragma once
// Softmax and cross-entropy in one pass, with soft targets and label smoothing
// (Szegedy et al., arXiv 1512.00567; as torch.nn.functional.cross_entropy with class probabilities).
// f32 or f64.

#include "kernels/view.h"

namespace vitrail {

// t = (1 − label_smoothing)·targets + label_smoothing/classes
// losses = −Σ t · log softmax(logits),   dlogits = scale · (softmax(logits)·Σt − t)
struct CrossEntropy {
  static constexpr const char* kName = "cross_entropy";
  Out losses;                  // (rows)
  Out dlogits;                 // (rows, classes), absent in evaluation
  In logits;                   // (rows, classes)
  In targets;                  // (rows, classes): probabilities; one-hot for a hard label
  double label_smoothing = 0;  // [0, 1)
  double scale = 1;            // 1 / samples of the whole step, for a mean over them
  void check() const;
};

}  // namespace vitrail
