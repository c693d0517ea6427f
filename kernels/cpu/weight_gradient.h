#pragma once
// dweight = dyᵀ · x, a sum over rows: one tile of it and one slice of the rows, as a task of a backward.

#include "kernels/cpu/linear_parts.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr std::int64_t kRowsOfSum =
    640;  // bf16: a packed tile of dy of so many rows fits in a second cache

template <class C>
struct WeightGradient {
  std::int64_t rows, out, in;
  std::int64_t room;      // columns from here to the end of dy's rows
  Rows<const C> dy;       // (rows, out)
  Rows<const C> x;        // (rows, in)
  Rows<Wide<C>> dweight;  // (out, in)
  bool accumulate;
};

template <class C>
inline Product<C, Wide<C>> product_of(const WeightGradient<C>& gradient) {
  return {.m = gradient.out,
          .n = gradient.in,
          .k = gradient.rows,
          .a = gradient.dy.data,
          .a_stride = gradient.dy.stride,
          .a_transposed = true,
          .b = gradient.x.data,
          .b_stride = gradient.x.stride,
          .b_transposed = false,
          .c = gradient.dweight.data,
          .c_stride = gradient.dweight.stride,
          .accumulate = gradient.accumulate};
}

template <class C>
inline void multiply_gradients(Context& context, int worker, const WeightGradient<C>& gradient) {
  multiply(context, worker, product_of(gradient), [](const Tile&, const Rows<Wide<C>>&) {});
}

// A panel of dweight, from dy packed in blocks of kBlockRows columns and a packed panel of x.
inline void multiply_panel(const WeightGradient<Bf16>& gradient, std::int64_t col, const std::uint32_t* dy,
                           const std::uint32_t* x) {
  const std::int64_t cols = smaller(kPanelCols, gradient.in - col), pairs = pairs_of(gradient.rows);
  const bool whole = cols == padded_cols(cols);
  float beside[kBlockRows * kPanelCols];  // where the panel is wider than the matrix
  for (std::int64_t row = 0; row < gradient.out; row += kBlockRows) {
    const std::int64_t rows = smaller(kBlockRows, gradient.out - row);
    float* to = gradient.dweight.at(row) + col;
    multiply_pairs(PairProduct{.m = rows,
                               .n = cols,
                               .pairs = pairs,
                               .a = reinterpret_cast<const Bf16*>(dy + row * pairs),
                               .a_row = 2,
                               .a_pair = 2 * kBlockRows,
                               .b = x,
                               .c = whole ? to : beside,
                               .c_stride = whole ? gradient.dweight.stride : kPanelCols,
                               .accumulate = whole && gradient.accumulate});
    for (std::int64_t i = 0; i < rows && !whole; ++i) {
      float* line = to + i * gradient.dweight.stride;
      for (std::int64_t j = 0; j < cols; ++j)
        line[j] = beside[i * kPanelCols + j] + (gradient.accumulate ? line[j] : 0);
    }
  }
}

// Rows that fit in the caches when packed.
inline void multiply_some_rows(const WeightGradient<Bf16>& gradient, std::uint32_t* memory) {
  const std::int64_t pairs = pairs_of(gradient.rows);
  std::uint32_t* dy = memory;
  std::uint32_t* x = dy + rounded_up(gradient.out, kBlockRows) * pairs;
  for (std::int64_t col = 0; col < gradient.out; col += kBlockRows) {
    pack_left(gradient.dy.data + col, gradient.dy.stride, gradient.rows,
              smaller(kBlockRows, gradient.out - col), gradient.room - col, dy + col * pairs);
  }
  for (std::int64_t col = 0; col < gradient.in; col += kPanelCols) {
    pack_rows(gradient.x.data + col, gradient.x.stride, gradient.rows, smaller(kPanelCols, gradient.in - col),
              x);
    multiply_panel(gradient, col, dy, x);
  }
}

inline void multiply_gradients(Context& context, int worker, const WeightGradient<Bf16>& gradient) {
  if (context.products().onednn_bf16) return multiply_onednn(product_of(gradient));
  const std::int64_t rows = piece(gradient.rows, kRowsOfSum, 2), pairs = rows / 2;
  auto* memory =
      scratch_of<std::uint32_t>(context, worker, (rounded_up(gradient.out, kBlockRows) + kPanelCols) * pairs);
  for (std::int64_t row = 0; row < gradient.rows; row += rows) {
    WeightGradient<Bf16> part = gradient;
    part.rows = smaller(rows, gradient.rows - row);
    part.dy.data += row * gradient.dy.stride;
    part.x.data += row * gradient.x.stride;
    part.accumulate = gradient.accumulate || row > 0;
    multiply_some_rows(part, memory);
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
