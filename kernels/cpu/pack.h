#pragma once
// The factors of a PairProduct brought into its order: two numbers that follow each other along the sum
// become one word. What is missing (an odd last number, columns of a panel) is 0.

#include "kernels/cpu/bf16.h"
#include "kernels/cpu/pair_product.h"
#include "kernels/cpu/tiles.h"
#include "kernels/cpu/transpose.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline std::int64_t pairs_of(std::int64_t depth) {
  return divided_up(depth, 2);
}
// Columns with those that fill the last panel.
inline std::int64_t padded_cols(std::int64_t cols) {
  return rounded_up(cols, kHalfPanel);
}
inline std::int64_t packed_words(std::int64_t depth, std::int64_t cols) {
  return pairs_of(depth) * padded_cols(cols);
}

inline BitsVec combined(const HalfBitsVec& low, const HalfBitsVec& high) {
  return zero_extended(low) | zero_extended(high) << 16;
}

// to[i] = (low[i], high[i]); high may be null, for zeros. With AVX512-BW whole half panels are written, with
// zeros behind the last.
inline void interleave(const Bf16* low, const Bf16* high, std::int64_t count, std::uint32_t* to) {
#ifdef __AVX512BW__
  const __m512i order = _mm512_set_epi16(47, 15, 46, 14, 45, 13, 44, 12, 43, 11, 42, 10, 41, 9, 40, 8, 39, 7,
                                         38, 6, 37, 5, 36, 4, 35, 3, 34, 2, 33, 1, 32, 0);
  if (count == kPanelCols && high) {  // a whole vector of each
    const __m512i lower = _mm512_loadu_si512(low), upper = _mm512_loadu_si512(high);
    const __m512i right = _mm512_add_epi16(order, _mm512_set1_epi16(kHalfPanel));
    _mm512_storeu_si512(to, _mm512_permutex2var_epi16(lower, order, upper));
    _mm512_storeu_si512(to + kHalfPanel, _mm512_permutex2var_epi16(lower, right, upper));
    return;
  }
  for (std::int64_t i = 0; i < count; i += kHalfPanel) {
    const auto some = static_cast<__mmask16>((1 << smaller(kHalfPanel, count - i)) - 1);
    const __m256i lower = _mm256_maskz_loadu_epi16(some, low + i),
                  upper = high ? _mm256_maskz_loadu_epi16(some, high + i) : _mm256_setzero_si256();
    const __m512i words =
        _mm512_permutex2var_epi16(_mm512_castsi256_si512(lower), order, _mm512_castsi256_si512(upper));
    _mm512_storeu_si512(to + i, words);
  }
#else
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    const HalfBitsVec upper = high ? bits_of(access, high + i) : HalfBitsVec{};
    const BitsVec words = combined(bits_of(access, low + i), upper);
    access.store(reinterpret_cast<float*>(to + i), reinterpret_cast<Vec<float> >(words));
  });
#endif
}

// Pair `pair` of b (2·pairs, cols), all its panels, from two rows, the second of which may be null.
inline void pack_pair(const Bf16* low, const Bf16* high, std::int64_t cols, std::int64_t pairs,
                      std::int64_t pair, std::uint32_t* b) {
  for (std::int64_t col = 0; col < cols; col += kPanelCols) {
    const std::int64_t count = smaller(kPanelCols, cols - col), width = padded_cols(count);
    std::uint32_t* to = b + col * pairs + pair * width;
    interleave(low + col, high ? high + col : nullptr, count, to);
    for (std::int64_t i = count; i < width; ++i)
      to[i] = 0;
  }
}

// One panel of b (depth, cols ≤ kPanelCols) from its rows.
inline void pack_rows(const Bf16* from, std::int64_t stride, std::int64_t depth, std::int64_t cols,
                      std::uint32_t* to) {
  constexpr std::int64_t kAhead = 16;  // rows lie further apart than a processor looks ahead by itself
  for (std::int64_t row = 0; row < depth; row += 2) {
    const Bf16* low = from + row * stride;
    __builtin_prefetch(low + kAhead * stride);
    __builtin_prefetch(low + (kAhead + 1) * stride);
    pack_pair(low, row + 1 < depth ? low + stride : nullptr, cols, 0, row / 2, to);
  }
}

// One panel of b (depth, cols ≤ kPanelCols) from its columns, stored as rows of `from` (cols, depth).
inline void pack_columns(const Bf16* from, std::int64_t stride, std::int64_t depth, std::int64_t cols,
                         std::uint32_t* to) {
  const std::int64_t width = padded_cols(cols), pairs = pairs_of(depth);
  if (cols < width || depth % 2 != 0) {
    std::memset(to, 0, static_cast<std::size_t>(pairs * width) * sizeof *to);
  }
  if (depth % 2 == 0 && stride % 2 == 0) {
    // Words are moved, not looked at: as floats, for which there is a transposition.
    transpose_rows(reinterpret_cast<const float*>(from), stride / 2, cols, pairs,
                   reinterpret_cast<float*>(to), width);
    return;
  }
  for (std::int64_t col = 0; col < cols; ++col) {
    for (std::int64_t row = 0; row < depth; ++row) {
      const auto bits = static_cast<std::uint32_t>(from[col * stride + row].bits);
      to[row / 2 * width + col] |= row % 2 == 0 ? bits : bits << 16;
    }
  }
}

// Words that pack_left_pair may write behind a block.
inline constexpr std::int64_t kLeftSpill = kHalfPanel - kBlockRows;

// A pair of a (rows, 2·pairs), all its blocks of kBlockRows rows, from two rows of aᵀ, the second of which
// may be null. The blocks' places are `block_words` apart. Rows of aᵀ have `room` numbers to read: where
// there are kHalfPanel, so many are packed, and what is too much is to be written over.
inline void pack_left_pair(const Bf16* low, const Bf16* high, std::int64_t rows, std::int64_t room,
                           std::int64_t block_words, std::uint32_t* to) {
  for (std::int64_t row = 0; row < rows; row += kBlockRows, to += block_words) {
    const std::int64_t count = smaller(kBlockRows, rows - row);
    interleave(low + row, high ? high + row : nullptr, room - row >= kHalfPanel ? kHalfPanel : count, to);
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
