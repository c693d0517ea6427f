#pragma once
// A weighted sum of two tensors: the mean of a distilled model's two heads, and its backward.

#include "kernels/view.h"

namespace vitrail {

// y = alpha·a + beta·b
struct Combine {
  static constexpr const char* kName = "combine";
  Out y;  // any shape; may be a or b
  In a;   // as y
  In b;   // as y, may be absent
  double alpha = 1;
  double beta = 0;
  void check() const;
};

}  // namespace vitrail
