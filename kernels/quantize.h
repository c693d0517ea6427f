#pragma once
// Matrices of 8 bits for products in inference: a weight once, each of its rows by a scale of its own; what
// it is multiplied with anew each time (dynamic quantization; Jacob et al., arXiv 1712.05877).

#include "kernels/view.h"

namespace vitrail {

// scale = max |x| / limit of a row,   y = x / scale rounded to nearest,   sum = Σ y
// limit is 127, or 64 on a device that adds the products of pairs in 16 bits. A row of 0 has the scale 0.
struct QuantizeRows {
  static constexpr const char* kName = "quantize_rows";
  Out y;      // (rows, cols) int8
  Out scale;  // (rows) f32
  Out sum;    // (rows) f32
  In x;       // (rows, cols) f32, cols at most kMostQuantized
  void check() const;
};

// So many products of a row add up in 32 bits, and so many numbers in an f32's 24 without an error.
inline constexpr std::int64_t kMostQuantized = 65536;

// What goes with an int8 weight; absent beside any other.
struct QuantizedRows {
  In scale, sum;  // (rows) f32, of QuantizeRows
};

}  // namespace vitrail
