#pragma once
// Between f32 and bf16: the upper half of an f32, with its range and 8 significant bits.

#include "kernels/view.h"

namespace vitrail {

// y = x. To bf16: rounded to nearest, ties to even; a NaN stays a NaN, and what rounds beyond the largest
// number becomes infinite. To f32: exact.
struct Cast {
  static constexpr const char* kName = "cast";
  Out y;  // any shape, f32 or bf16
  In x;   // as y, the other of the two dtypes
  void check() const;
};

}  // namespace vitrail
