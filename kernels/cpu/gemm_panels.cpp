// A product in f32, or of bytes, by panels: both factors are brought, block by block, into the order in which
// the innermost loop reads them (Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication",
// ACM Transactions on Mathematical Software 34, 2008).
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/transpose.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

// Sums of so many rows and two vectors fill the registers, those of bytes beside what their products need.
constexpr int kTileRows = kVectorRegisters == 32 ? 12 : 6;
constexpr int kByteTileRows = 4;
constexpr std::int64_t kPanel = 2 * kLanes<float>;
constexpr std::int64_t kDepth = 6144 / kPanel;       // a panel so deep, 24 KiB, lies in the first cache
constexpr std::int64_t kMostDepth = kDepth * 3 / 2;  // what piece() may make of it
constexpr std::int64_t kBlockRows = 96;              // rows so deep, beside the panels, in the second
constexpr std::int64_t kMostBlockRows = kBlockRows * 3 / 2;
constexpr std::int64_t kBlockCols = 384;
constexpr std::int64_t kSumsStride = kBlockCols + 16;  // so that rows do not compete for the same lines

// The factors are words of 32 bits: a float, or four bytes that follow each other along the sum. How a word
// of the first is multiplied with a vector of the second's, and added to a vector of sums:
struct Floats {
  using Sum = float;
  static constexpr int kRows = kTileRows;
  static Vec<float> add(const Vec<float>& sum, const Vec<float>& left, const Vec<float>& right) {
    return sum + left * right;
  }
};
#if defined(__AVX2__) && !defined(__AVX512F__)
// Unsigned bytes times signed ones, by pairs in 16 bits: exact up to 2 · 255 · 64.
struct Bytes {
  using Sum = std::int32_t;
  static constexpr int kRows = kByteTileRows;
  static IntVec add(const IntVec& sum, const Vec<float>& left, const Vec<float>& right) {
    const __m256i pairs =
        _mm256_maddubs_epi16(reinterpret_cast<__m256i>(left), reinterpret_cast<__m256i>(right));
    return sum + reinterpret_cast<IntVec>(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
  }
};
#endif

// Where word (row, k) of the first factor lies, in tiles of so many rows: at data + row / rows · block_step +
// row % rows · row_step + k · depth_step.
struct Left {
  const float* data;
  std::int64_t block_step, row_step, depth_step;

  Left tile(std::int64_t number) const {
    return {data + number * block_step, block_step, row_step, depth_step};
  }
};

// c (kRows, kPanel) (+)= a (kRows, depth) · panel (depth, kPanel). kFetch asks for the rows of the tile
// below, line by line: a product's first panel meets them first, and no row is long enough for the processor
// to guess the next.
template <class Words, int kRows, bool kFetch>
void multiply_tile(std::int64_t depth, const Left& a, const float* panel, typename Words::Sum* c,
                   std::int64_t c_stride, bool accumulate) {
  using Sum = typename Words::Sum;
  Vec<Sum> sum[kRows][2];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    sum[i][0] = sum[i][1] = Vec<Sum>{};
    __builtin_prefetch(c + i * c_stride, 1);
    __builtin_prefetch(c + i * c_stride + kPanel - 1, 1);
  }
  // Three rows a pointer: their distances are then multiples of one register.
  constexpr int kGroups = (kRows + 2) / 3;
  const float* group[kGroups];
#pragma GCC unroll 4
  for (int g = 0; g < kGroups; ++g)
    group[g] = a.data + 3 * g * a.row_step;
  const std::int64_t row_step = a.row_step, depth_step = a.depth_step;
  const std::int64_t step = kFetch ? kLine<float> : depth;
  const float* below = a.tile(1).data;
  for (std::int64_t line = 0; line < depth; line += step, below += step) {
#pragma GCC unroll 16
    for (int i = 0; kFetch && i < kRows; ++i)
      __builtin_prefetch(below + i * row_step);
    const std::int64_t end = smaller(depth, line + step);
#pragma GCC unroll 4
    for (std::int64_t k = line; k < end; ++k, panel += kPanel) {
      const Vec<float> first = load(panel), second = load(panel + kLanes<float>);
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        const Vec<float> left = splat(group[i / 3][(i % 3) * row_step]);
        sum[i][0] = Words::add(sum[i][0], left, first);
        sum[i][1] = Words::add(sum[i][1], left, second);
      }
#pragma GCC unroll 4
      for (int g = 0; g < kGroups; ++g)
        group[g] += depth_step;
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
    Sum* to = c + i * c_stride;
    store<Sum>(to, accumulate ? load(to) + sum[i][0] : sum[i][0]);
    store<Sum>(to + kLanes<Sum>, accumulate ? load(to + kLanes<Sum>) + sum[i][1] : sum[i][1]);
  }
}

template <class Words, int kRows>
void multiply_last_rows(std::int64_t rows, std::int64_t depth, const Left& a, const float* panel,
                        typename Words::Sum* c, std::int64_t c_stride, bool accumulate) {
  if constexpr (kRows > 0) {
    if (rows == kRows) return multiply_tile<Words, kRows, false>(depth, a, panel, c, c_stride, accumulate);
    multiply_last_rows<Words, kRows - 1>(rows, depth, a, panel, c, c_stride, accumulate);
  }
}

// c (rows, cols ≤ kPanel); a narrower panel's sums go through memory beside it.
template <class Words>
void multiply_rows_of(std::int64_t rows, std::int64_t cols, std::int64_t depth, const Left& a,
                      const float* panel, typename Words::Sum* c, std::int64_t c_stride, bool accumulate,
                      bool first) {
  using Sum = typename Words::Sum;
  constexpr int kRows = Words::kRows;
  Sum beside[kRows * kPanel];
  const bool whole = cols == kPanel;
  const bool fetch = first && a.depth_step == 1;
  for (std::int64_t row = 0; row < rows; row += kRows) {
    const std::int64_t count = smaller(kRows, rows - row);
    const Left part = a.tile(row / kRows);
    Sum* line = c + row * c_stride;
    Sum* to = whole ? line : beside;
    const std::int64_t stride = whole ? c_stride : kPanel;
    if (count < kRows) {
      multiply_last_rows<Words, kRows - 1>(count, depth, part, panel, to, stride, whole && accumulate);
    } else if (fetch) {
      multiply_tile<Words, kRows, true>(depth, part, panel, to, stride, whole && accumulate);
    } else {
      multiply_tile<Words, kRows, false>(depth, part, panel, to, stride, whole && accumulate);
    }
    for (std::int64_t i = 0; i < count && !whole; ++i) {
      for (std::int64_t j = 0; j < cols; ++j)
        line[i * c_stride + j] = beside[i * kPanel + j] + (accumulate ? line[i * c_stride + j] : 0);
    }
  }
}

// Part of a matrix, (rows, cols), stored so or as its transpose.
struct Part {
  const float* data;
  std::int64_t stride;
  bool transposed;

  const float* at(std::int64_t row, std::int64_t col) const {
    return data + (transposed ? col * stride + row : row * stride + col);
  }
  Part part(std::int64_t row, std::int64_t col) const { return {at(row, col), stride, transposed}; }
};

// Rows of one panel: whole vectors, whose last lanes the next row's first ones are written over.
template <std::int64_t kWidth>
void pack_vectors(const float* from, std::int64_t stride, std::int64_t rows, float* to) {
#pragma GCC unroll 8
  for (std::int64_t row = 0; row < rows; ++row, from += stride, to += kWidth) {
#pragma GCC unroll 2
    for (std::int64_t i = 0; i < kWidth; i += kLanes<float>)
      store<float>(to + i, load(from + i));
  }
}

// (rows, cols ≤ kWidth) of one panel, with zeros behind each row.
template <std::int64_t kWidth>
void pack_numbers(const Part& from, std::int64_t rows, std::int64_t cols, float* to) {
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = 0; i < kWidth; ++i)
      *to++ = i < cols ? *from.at(row, i) : 0;
  }
}

// A few rows for all panels, then the next ones: a single panel would take one line of the cache from each of
// many rows, which lie a multiple of a page apart, and lose it before the next panel wants the rest of it.
template <std::int64_t kWidth>
void pack_rows(const Part& from, std::int64_t depth, std::int64_t cols, float* to) {
  constexpr std::int64_t kRows = 8, kRead = rounded_up(kWidth, kLanes<float>);
  for (std::int64_t row = 0; row < depth; row += kRows) {
    const std::int64_t rows = smaller(kRows, depth - row);
    // Behind a panel's last row lies the next panel.
    const std::int64_t whole = kRead > kWidth && row + rows == depth ? rows - 1 : rows;
    for (std::int64_t col = 0; col < cols; col += kWidth) {
      const std::int64_t vectors = cols - col < kRead ? 0 : whole;
      float* panel = to + col * depth + row * kWidth;
      if (vectors == kRows) {
        pack_vectors<kWidth>(from.at(row, col), from.stride, kRows, panel);
        continue;
      }
      pack_vectors<kWidth>(from.at(row, col), from.stride, vectors, panel);
      pack_numbers<kWidth>(from.part(row + vectors, col), rows - vectors, smaller(kWidth, cols - col),
                           panel + vectors * kWidth);
    }
  }
}

template <std::int64_t kWidth>
void pack_columns(const Part& from, std::int64_t depth, std::int64_t cols, float* to) {
  for (std::int64_t col = 0; col < cols; col += kWidth, to += depth * kWidth) {
    const std::int64_t count = smaller(kWidth, cols - col);
    if (kWidth % kLanes<float> == 0 && count > kWidth - kLanes<float>) {
      transpose_rows(from.at(0, col), from.stride, count, depth, to, kWidth);
    } else {
      pack_numbers<kWidth>(from.part(0, col), depth, count, to);
    }
  }
}

// Panels of kWidth columns, one behind the other: number (row, col) of a (depth, cols) matrix at
// to + (col / kWidth · depth + row) · kWidth + col % kWidth. What is missing of the last panel is 0.
template <std::int64_t kWidth>
void pack(const Part& from, std::int64_t depth, std::int64_t cols, float* to) {
  from.transposed ? pack_columns<kWidth>(from, depth, cols, to) : pack_rows<kWidth>(from, depth, cols, to);
}

// The first factor's rows as the innermost loop reads them, kRows a tile: where they lie, or packed.
template <int kRows>
Left left_rows(const Part& from, std::int64_t rows, std::int64_t depth, float* memory) {
  if (!from.transposed) return {from.data, kRows * from.stride, from.stride, 1};
  pack<kRows>({from.data, from.stride, false}, depth, rows, memory);
  return {memory, kRows * depth, 1, kRows};
}

// c (rows, cols) (+)= a (rows, depth) · the panels
template <class Words>
void multiply_block(std::int64_t rows, std::int64_t cols, std::int64_t depth, const Left& a,
                    const float* panels, typename Words::Sum* c, std::int64_t c_stride, bool accumulate) {
  for (std::int64_t col = 0; col < cols; col += kPanel) {
    multiply_rows_of<Words>(rows, smaller(kPanel, cols - col), depth, a, panels + col * depth, c + col,
                            c_stride, accumulate, col == 0);
  }
}

template <class Words>
void multiply_words(const Product<float, typename Words::Sum>& product, float* memory, const Finish& finish) {
  using Sum = typename Words::Sum;
  const std::int64_t depth_piece = piece(product.k, kDepth, 1),
                     row_piece = piece(product.m, kBlockRows, Words::kRows);
  const Part left{product.a, product.a_stride, product.a_transposed};
  const Part right{product.b, product.b_stride, product.b_transposed};
  float* sums_memory = memory + kMostDepth * kBlockCols;
  float* left_memory = sums_memory + (kMostBlockRows + kTileRows) * kSumsStride;
  for (std::int64_t col = 0; col < product.n; col += kBlockCols) {
    const std::int64_t cols = smaller(kBlockCols, product.n - col);
    for (std::int64_t k = 0; k < product.k; k += depth_piece) {
      const std::int64_t depth = smaller(depth_piece, product.k - k);
      pack<kPanel>(right.part(k, col), depth, cols, memory);
      for (std::int64_t row = 0; row < product.m; row += row_piece) {
        const std::int64_t rows = smaller(row_piece, product.m - row);
        const Left a = left_rows<Words::kRows>(left.part(row, k), rows, depth, left_memory);
        const Rows<Sum> sums = product.c
                                   ? Rows<Sum>{product.c + row * product.c_stride + col, product.c_stride}
                                   : Rows<Sum>{reinterpret_cast<Sum*>(sums_memory), kSumsStride};
        multiply_block<Words>(rows, cols, depth, a, memory, sums.data, sums.stride,
                              k > 0 || product.accumulate);
        if (k + depth == product.k)
          finish({row, col, rows, cols}, Rows<float>{reinterpret_cast<float*>(sums.data), sums.stride});
      }
    }
  }
}

}  // namespace

std::size_t panels_bytes() {
  return static_cast<std::size_t>(kMostDepth * (kBlockCols + kMostBlockRows + kTileRows) +
                                  (kMostBlockRows + kTileRows) * kSumsStride) *
         sizeof(float);
}

bool keeps_sums(std::int64_t k) {
  return piece(k, kDepth, 1) >= k;
}

void multiply_panels(const Product<float>& product, float* memory, const Finish& finish) {
  multiply_words<Floats>(product, memory, finish);
}

bool multiplies_bytes([[maybe_unused]] std::int64_t k) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  return k % 4 == 0;
#else
  return false;
#endif
}

void multiply_panels([[maybe_unused]] const Int8Product& product, [[maybe_unused]] float* memory,
                     [[maybe_unused]] const Finish& finish) {
#if defined(__AVX2__) && !defined(__AVX512F__)
  multiply_words<Bytes>({.m = product.m,
                         .n = product.n,
                         .k = product.k / 4,
                         .a = reinterpret_cast<const float*>(product.a),
                         .a_stride = product.a_stride / 4,
                         .a_transposed = false,
                         .b = reinterpret_cast<const float*>(product.b),
                         .b_stride = product.b_stride / 4,
                         .b_transposed = true,
                         .c = product.c,
                         .c_stride = product.c_stride},
                        memory, finish);
#endif
}

}  // namespace vitrail::cpu::VITRAIL_ISA
