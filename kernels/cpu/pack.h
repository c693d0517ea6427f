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

#ifdef __AVX512BW__
// The words of a whole panel, by one instruction for sixteen of them.
inline void interleave_panel(const Bf16* low, const Bf16* high, std::uint32_t* to) {
  typedef std::uint16_t Numbers __attribute__((vector_size(kVectorBytes)));
  static_assert(kPanelCols == kVectorBytes / sizeof(Bf16));
  Numbers lower, upper;
  std::memcpy(&lower, low, sizeof lower);
  std::memcpy(&upper, high, sizeof upper);
  const auto words = [&]<int... kAt>(std::integer_sequence<int, kAt...>, auto first) {
    return __builtin_shufflevector(lower, upper, (first + kAt / 2 + kAt % 2 * int{kPanelCols})...);
  };
  using All = std::make_integer_sequence<int, int{kPanelCols}>;
  const Numbers left = words(All{}, std::integral_constant<int, 0>{}),
                right = words(All{}, std::integral_constant<int, kPanelCols / 2>{});
  std::memcpy(to, &left, sizeof left);
  std::memcpy(to + kHalfPanel, &right, sizeof right);
}
#endif

// to[i] = (low[i], high[i]); high may be null, for zeros.
inline void interleave(const Bf16* low, const Bf16* high, std::int64_t count, std::uint32_t* to) {
#ifdef __AVX512BW__
  if (count == kPanelCols && high) return interleave_panel(low, high, to);
#endif
  each_vector<float>(count, [&](std::int64_t i, const auto& access) {
    const HalfBitsVec upper = high ? bits_of(access, high + i) : HalfBitsVec{};
    const BitsVec words = combined(bits_of(access, low + i), upper);
    access.store(reinterpret_cast<float*>(to + i), reinterpret_cast<Vec<float>>(words));
  });
}

// Rows lie a stride apart, further than a processor looks ahead by itself.
inline void ask_ahead(const Bf16* row, std::int64_t stride) {
  constexpr std::int64_t kAhead = 16;
  __builtin_prefetch(row + kAhead * stride);
  __builtin_prefetch(row + (kAhead + 1) * stride);
}

// One panel of b (depth, cols ≤ kPanelCols) from its rows.
inline void pack_rows(const Bf16* from, std::int64_t stride, std::int64_t depth, std::int64_t cols,
                      std::uint32_t* to) {
  const std::int64_t width = padded_cols(cols);
  for (std::int64_t row = 0; row < depth; row += 2, to += width) {
    const Bf16* low = from + row * stride;
    ask_ahead(low, stride);
    interleave(low, row + 1 < depth ? low + stride : nullptr, cols, to);
    for (std::int64_t i = cols; i < width; ++i)
      to[i] = 0;
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

// Words that pack_left may write behind the rows it is called for.
inline constexpr std::int64_t kLeftSpill = kHalfPanel - kBlockRows;

// A block of a (rows ≤ kBlockRows, depth) from its columns, stored as rows of `from` (depth, room ≥ rows):
// pair p of row i at to + p·kBlockRows + i. With room for whole vectors it packs those, and writes over what
// is too much.
inline void pack_left(const Bf16* from, std::int64_t stride, std::int64_t depth, std::int64_t rows,
                      std::int64_t room, std::uint32_t* to) {
  const bool whole = room >= kHalfPanel;
  for (std::int64_t row = 0; row < depth; row += 2, to += kBlockRows) {
    const Bf16* low = from + row * stride;
    ask_ahead(low, stride);
    interleave(low, row + 1 < depth ? low + stride : nullptr, whole ? kHalfPanel : rows, to);
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
