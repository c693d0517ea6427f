#pragma once
// The small matrix product inside attention, for operands that lie in a core's caches: c (+)= a · b, where b
// and c have rows padded to whole vectors and a is read one number at a time, so that it may lie transposed.

#include "kernels/cpu/vec.h"

namespace vitrail::cpu::VITRAIL_ISA {

// An operand with any two strides (elements).
template <class T>
struct Strided {
  T* data;
  std::int64_t row, col;
};

// c (kRows, kVectors vectors) (+)= Σ_k a(i, k) · b(k, ·), held in registers.
template <int kRows, int kVectors, class T>
inline void multiply_tile(std::int64_t depth, Strided<const T> a, const T* b, std::int64_t b_stride, T* c,
                          std::int64_t c_stride, bool accumulate) {
  Vec<T> sum[kRows][kVectors];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      sum[i][v] = Vec<T>{};
  }
#pragma GCC unroll 4
  for (std::int64_t k = 0; k < depth; ++k) {
    Vec<T> line[kVectors];
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v)
      line[v] = load(b + k * b_stride + v * kLanes<T>);
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec<T> factor = splat(a.data[i * a.row + k * a.col]);
#pragma GCC unroll 16
      for (int v = 0; v < kVectors; ++v)
        sum[i][v] += factor * line[v];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 16
    for (int v = 0; v < kVectors; ++v) {
      T* to = c + i * c_stride + v * kLanes<T>;
      store<T>(to, accumulate ? load(to) + sum[i][v] : sum[i][v]);
    }
  }
}

// The last rows: as many as are left, below kRows.
template <int kRows, int kVectors, class T>
inline void multiply_last_rows(std::int64_t rows, std::int64_t depth, Strided<const T> a, const T* b,
                               std::int64_t b_stride, T* c, std::int64_t c_stride, bool accumulate) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_tile<kRows, kVectors>(depth, a, b, b_stride, c, c_stride, accumulate);
    multiply_last_rows<kRows - 1, kVectors>(rows, depth, a, b, b_stride, c, c_stride, accumulate);
  }
}

// Rows of a tile: as many as leave registers for a line of b and one number of a.
template <int kVectors>
inline constexpr int kTileRows = kVectors == 1 ? 8
                                 : (kVectorRegisters - 2) / kVectors - 1 > 8
                                     ? 8
                                     : (kVectorRegisters - 2) / kVectors - 1;

template <int kVectors, class T>
inline void multiply_panel(std::int64_t rows, std::int64_t depth, Strided<const T> a, const T* b,
                           std::int64_t b_stride, T* c, std::int64_t c_stride, bool accumulate) {
  constexpr int kRows = kTileRows<kVectors>;
  std::int64_t row = 0;
  for (; row + kRows <= rows; row += kRows) {
    const Strided<const T> part{a.data + row * a.row, a.row, a.col};
    multiply_tile<kRows, kVectors>(depth, part, b, b_stride, c + row * c_stride, c_stride, accumulate);
  }
  const Strided<const T> part{a.data + row * a.row, a.row, a.col};
  multiply_last_rows<kRows - 1, kVectors>(rows - row, depth, part, b, b_stride, c + row * c_stride, c_stride,
                                          accumulate);
}

// c (rows, cols) (+)= a (rows, depth) · b (depth, cols); cols is a whole number of vectors.
template <class T>
inline void multiply_small(std::int64_t rows, std::int64_t cols, std::int64_t depth, Strided<const T> a,
                           const T* b, std::int64_t b_stride, T* c, std::int64_t c_stride, bool accumulate) {
  constexpr int kWidest = kVectorRegisters == 32 ? 4 : 2;
  std::int64_t col = 0;
  while (col < cols) {
    const std::int64_t vectors = (cols - col) / kLanes<T>;
    // Four and one would leave the one slow: three and two instead.
    const std::int64_t take = vectors == kWidest + 1 && kWidest > 2 ? 3
                              : vectors < kWidest                   ? vectors
                                                                    : kWidest;
    const T* b_panel = b + col;
    T* c_panel = c + col;
    if constexpr (kWidest == 4) {
      if (take == 4) multiply_panel<4>(rows, depth, a, b_panel, b_stride, c_panel, c_stride, accumulate);
      if (take == 3) multiply_panel<3>(rows, depth, a, b_panel, b_stride, c_panel, c_stride, accumulate);
    }
    if (take == 2) multiply_panel<2>(rows, depth, a, b_panel, b_stride, c_panel, c_stride, accumulate);
    if (take == 1) multiply_panel<1>(rows, depth, a, b_panel, b_stride, c_panel, c_stride, accumulate);
    col += take * kLanes<T>;
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
