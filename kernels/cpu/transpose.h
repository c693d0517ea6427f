#pragma once
// Transposition by blocks of a whole number of vectors, held in registers.

#include <utility>

#include "kernels/cpu/vec.h"

namespace vitrail::cpu::VITRAIL_ISA {

// The stride (elements) of a matrix laid out for a product: an odd number of cache lines. Rows that lie a
// multiple of a page apart would all fall into the same few sets of the cache, which costs oneDNN's products
// of ViT-B's fc1 a tenth of their speed.
template <class T>
inline std::int64_t spread_stride(std::int64_t cols) {
  constexpr std::int64_t kLine = 64 / static_cast<std::int64_t>(sizeof(T));
  return ((cols + kLine - 1) / kLine | 1) * kLine;
}

// Two vectors as rows of 2 × 2 blocks, each block kWidth lanes wide, in every group of 2·kWidth lanes:
// exchanges the upper right block with the lower left one.
template <int kWidth, class T, int... kLane>
inline void exchange_blocks(Vec<T>& upper, Vec<T>& lower, std::integer_sequence<int, kLane...>) {
  constexpr int kCount = sizeof...(kLane);
  const Vec<T> a = upper;
  const Vec<T> b = lower;
  upper = __builtin_shufflevector(a, b, ((kLane & kWidth) ? kCount + kLane - kWidth : kLane)...);
  lower = __builtin_shufflevector(a, b, ((kLane & kWidth) ? kCount + kLane : kLane + kWidth)...);
}

// One vector for each lane: a square, transposed in place by halves, quarters, and so on.
template <int kWidth, class T>
inline void transpose_square(Vec<T> (&square)[kLanes<T>]) {
  if constexpr (kWidth > 0) {
#pragma GCC unroll 16
    for (int row = 0; row < kLanes<T>; ++row) {
      if (row & kWidth) continue;
      exchange_blocks<kWidth, T>(square[row], square[row + kWidth],
                                 std::make_integer_sequence<int, static_cast<int>(kLanes<T>)>{});
    }
    transpose_square<kWidth / 2, T>(square);
  }
}

// to (cols, rows rounded up to whole vectors) = from (rows, cols) transposed, with zeros behind the last
// row's number.
template <class T>
inline void transpose_rows(const T* from, std::int64_t from_stride, std::int64_t rows, std::int64_t cols,
                           T* to, std::int64_t to_stride) {
  constexpr int kSide = static_cast<int>(kLanes<T>);
  for (std::int64_t row = 0; row < rows; row += kSide) {
    const std::int64_t rows_left = rows - row < kSide ? rows - row : kSide;
    each_vector<T>(cols, [&](std::int64_t col, const auto& access) {
      Vec<T> square[kSide];
#pragma GCC unroll 16
      for (int i = 0; i < kSide; ++i) {
        square[i] = i < rows_left ? access.load(from + (row + i) * from_stride + col) : Vec<T>{};
      }
      transpose_square<kSide / 2, T>(square);
#pragma GCC unroll 16
      for (int i = 0; i < kSide; ++i) {
        if (i < cols - col) store<T>(to + (col + i) * to_stride + row, square[i]);
      }
    });
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
