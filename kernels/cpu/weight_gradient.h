#pragma once
// dweight = dyᵀ · x, a sum over rows: one tile of it and one slice of the rows, as a task of a backward.

#include "kernels/cpu/linear_parts.h"

namespace vitrail::cpu::VITRAIL_ISA {

// bf16: both factors of a tile, packed, lie in a second cache.
inline constexpr std::int64_t kMostRowsOfSum = 640;
inline constexpr std::int64_t kPackedBytes = 600'000;
inline constexpr std::int64_t kRowsAhead = 16;  // rows asked for before they are packed

template <class C>
struct WeightGradient {
  std::int64_t rows, out, in;
  std::int64_t room;      // columns from here to the end of dy's rows
  Rows<const C> dy;       // (rows, out)
  Rows<const C> x;        // (rows, in)
  Rows<Wide<C>> dweight;  // (out, in)
  bool accumulate;
  std::int64_t rows_after = 0;  // bf16: behind these rows, those that will be packed next
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

// What product `number` of a block and a panel asks for of the rows after these: a line of each of as many as
// it has pairs, half of them.
inline Ahead next_rows(const WeightGradient<Bf16>& gradient, std::int64_t number) {
  const std::int64_t pairs = pairs_of(gradient.rows), half = number % 2 * pairs, line = number / 2;
  const std::int64_t lines_of_x = divided_up(gradient.in, kLine<Bf16>),
                     lines_of_dy = divided_up(gradient.out, kLine<Bf16>);
  const bool of_x = line < lines_of_x;
  if (line >= lines_of_x + lines_of_dy) return {};
  const Rows<const Bf16>& from = of_x ? gradient.x : gradient.dy;
  return {from.at(gradient.rows + half) + (of_x ? line : line - lines_of_x) * kLine<Bf16>, from.stride,
          smaller(pairs, gradient.rows_after - half)};
}

// A panel of dweight, from dy packed in blocks of kBlockRows columns, `block_words` each, and a packed panel
// of x.
inline void multiply_panel(const WeightGradient<Bf16>& gradient, std::int64_t col, const std::uint32_t* dy,
                           std::int64_t block_words, const std::uint32_t* x) {
  std::int64_t number = col / kPanelCols * divided_up(gradient.out, kBlockRows);  // of the product
  const std::int64_t cols = smaller(kPanelCols, gradient.in - col), pairs = pairs_of(gradient.rows);
  const bool whole = cols == padded_cols(cols);
  float beside[kBlockRows * kPanelCols];  // where the panel is wider than the matrix
  for (std::int64_t row = 0; row < gradient.out; row += kBlockRows, dy += block_words) {
    const std::int64_t rows = smaller(kBlockRows, gradient.out - row);
    float* to = gradient.dweight.at(row) + col;
    multiply_pairs(PairProduct{.m = rows,
                               .n = cols,
                               .pairs = pairs,
                               .a = reinterpret_cast<const Bf16*>(dy),
                               .a_row = 2,
                               .a_pair = 2 * kBlockRows,
                               .b = x,
                               .c = whole ? to : beside,
                               .c_stride = whole ? gradient.dweight.stride : kPanelCols,
                               .accumulate = whole && gradient.accumulate,
                               .ahead = next_rows(gradient, number++)});
    for (std::int64_t i = 0; i < rows && !whole; ++i) {
      float* line = to + i * gradient.dweight.stride;
      for (std::int64_t j = 0; j < cols; ++j)
        line[j] = beside[i * kPanelCols + j] + (gradient.accumulate ? line[j] : 0);
    }
  }
}

// Words of a packed block of dy.
inline std::int64_t block_words(std::int64_t rows) {
  return pairs_of(rows) * kBlockRows + kLeftSpill;
}
// Words of all of them, with what begins the next memory on a vector.
inline std::int64_t left_words(std::int64_t rows, std::int64_t out) {
  return rounded_up(divided_up(out, kBlockRows) * block_words(rows), kHalfPanel);
}

// Rows that fit in the caches when packed. Rows are packed one after the other for all blocks and panels: so
// memory is read in its order.
inline void multiply_some_rows(const WeightGradient<Bf16>& gradient, bool first, std::uint32_t* memory) {
  const std::int64_t pairs = pairs_of(gradient.rows), block = block_words(gradient.rows);
  std::uint32_t *dy = memory, *x = memory + left_words(gradient.rows, gradient.out);
  for (std::int64_t row = 0; row < gradient.rows; row += 2) {
    const Bf16 *low_dy = gradient.dy.at(row), *low_x = gradient.x.at(row);
    const bool both = row + 1 < gradient.rows;
    for (std::int64_t next = row + kRowsAhead; first && next < row + kRowsAhead + 2; ++next) {
      fetch_ahead(gradient.dy.at(next), gradient.out);
      fetch_ahead(gradient.x.at(next), gradient.in);
    }
    pack_left_pair(low_dy, both ? low_dy + gradient.dy.stride : nullptr, gradient.out, gradient.room, block,
                   dy + row / 2 * kBlockRows);
    pack_pair(low_x, both ? low_x + gradient.x.stride : nullptr, gradient.in, pairs, row / 2, x);
  }
  for (std::int64_t col = 0; col < gradient.in; col += kPanelCols)
    multiply_panel(gradient, col, dy, block, x + col * pairs);
}

inline void multiply_gradients(Context& context, int worker, const WeightGradient<Bf16>& gradient) {
  if (context.products().onednn_bf16) return multiply_onednn(product_of(gradient));
  const std::int64_t most = kPackedBytes / (2 * (gradient.out + gradient.in));
  const std::int64_t rows = piece(gradient.rows, smaller(kMostRowsOfSum, most), 2);
  const std::int64_t words = left_words(rows, gradient.out) + packed_words(rows, gradient.in);
  auto* memory = scratch_of<std::uint32_t>(context, worker, words);
  for (std::int64_t row = 0; row < gradient.rows; row += rows) {
    WeightGradient<Bf16> part = gradient;
    part.rows = smaller(rows, gradient.rows - row);
    part.dy.data += row * gradient.dy.stride;
    part.x.data += row * gradient.x.stride;
    part.accumulate = gradient.accumulate || row > 0;
    part.rows_after = smaller(rows, gradient.rows - row - part.rows);
    multiply_some_rows(part, row == 0, memory);
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
