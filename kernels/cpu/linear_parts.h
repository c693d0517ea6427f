#pragma once
// What the linear ops' forward and backward share: sizes, tiles, and the product of a tile's rows with a
// weight. C is the dtype of the products' factors, Wide<C> that of their sums.

#include <type_traits>

#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/pack.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr std::int64_t kWantedTasks = 32;  // so that sixteen threads find work of equal size
inline constexpr std::int64_t kTileRows = 192;    // a tile of x and one of y lie in a core's second cache
inline constexpr std::int64_t kTileCols = 768;
inline constexpr std::int64_t kLeastTileCols = 128;
// bf16: rows whose f32 sums lie in the caches until they are finished and rounded.
inline constexpr std::int64_t kStripRows = 4 * kBlockRows;

template <class C>
inline constexpr bool kIsBf16 = std::is_same_v<C, Bf16>;

struct Sizes {
  std::int64_t samples, tokens, in, out;
  std::int64_t rows() const { return samples * tokens; }
};

inline std::int64_t last_extent(const Shape& shape) {
  return shape.dims[static_cast<std::size_t>(shape.rank - 1)];
}

inline std::int64_t elements(const Shape& shape) {
  std::int64_t product = 1;
  for (int axis = 0; axis < shape.rank; ++axis)
    product *= shape.dims[static_cast<std::size_t>(axis)];
  return product;
}

// x (samples, …, in), y (samples, …, out)
inline Sizes sizes_of(const Shape& x, const Shape& y) {
  const std::int64_t in = last_extent(x);
  const std::int64_t samples = x.dims[0];
  return {samples, samples == 0 ? 0 : elements(x) / in / samples, in, last_extent(y)};
}

// The tiles of a (rows, cols) output of a product.
inline Tiles output_tiles(std::int64_t rows, std::int64_t cols) {
  Tiles tiles{rows, cols, piece(rows, kTileRows, 8), piece(cols, kTileCols, kPanelCols)};
  while (tiles.count() < kWantedTasks && tiles.tile_cols >= 2 * kLeastTileCols) {
    tiles.tile_cols = rounded_up(tiles.tile_cols / 2, kPanelCols);
  }
  return tiles;
}

// Operands of a row's epilogue that may be absent are read through this.
template <class T, class Access>
inline Vec<T> load_or(const T* from, std::int64_t offset, T otherwise, const Access& access) {
  return from ? access.load(from + offset) : splat(otherwise);
}

// The mask of one row's columns [col, col + cols), or null when dropout is off.
template <class T>
inline const T* mask_of_row(const DropoutMask<T>& dropout, T* memory, const Sizes& sizes, std::int64_t width,
                            std::int64_t row, std::int64_t col, std::int64_t cols) {
  if (!dropout.on()) return nullptr;
  dropout.fill(memory, row / sizes.tokens, row % sizes.tokens * width + col, cols);
  return memory;
}

template <class T>
inline T* scratch_of(Context& context, int worker, std::int64_t count) {
  return reinterpret_cast<T*>(context.scratch(worker, static_cast<std::size_t>(count) * sizeof(T)));
}

// Rows of numbers.
template <class T>
struct Rows {
  T* data;
  std::int64_t stride;
  T* at(std::int64_t row) const { return data + row * stride; }
};

// The second factor of products, (depth, cols): stored so, or as its transpose; or bf16 packed in panels.
template <class C>
struct Weight {
  Rows<const C> stored;
  bool transposed;
  std::int64_t depth;
  const std::uint32_t* packed = nullptr;

  const C* column(std::int64_t col) const { return transposed ? stored.at(col) : stored.data + col; }
};

// Words of memory for a packed weight; 0 where products read it as it is.
template <class C>
inline std::int64_t weight_words(const Context& context, std::int64_t depth, std::int64_t cols) {
  return kIsBf16<C> && !context.products().onednn_bf16 ? packed_words(depth, cols) : 0;
}

template <class C>
inline void pack(Context& context, Weight<C>& weight, std::int64_t cols, std::uint32_t* memory) {
  if constexpr (kIsBf16<C>) {
    if (context.products().onednn_bf16) return;
    context.pool().parallel_for(divided_up(cols, kPanelCols), [&](std::int64_t index, int) {
      const std::int64_t col = index * kPanelCols, count = smaller(kPanelCols, cols - col);
      std::uint32_t* to = memory + col * pairs_of(weight.depth);
      const auto pack_panel = weight.transposed ? pack_columns : pack_rows;
      pack_panel(weight.column(col), weight.stored.stride, weight.depth, count, to);
    });
    weight.packed = memory;
  }
}

// Scratch memory of one task.
template <class C>
struct TileMemory {
  Wide<C>*sums, *mask;  // sums (tile rows, tile cols) unless they go in place; bf16: of a strip
  Bf16* left;           // bf16 of odd depth: a strip of x with a 0 behind each row

  TileMemory(Context& context, int worker, const Tile& tile, std::int64_t depth, bool in_place) {
    const bool strips = kIsBf16<C> && !context.products().onednn_bf16;
    const std::int64_t rows = strips ? smaller(kStripRows, tile.rows) : tile.rows;
    const std::int64_t sums_count = in_place ? 0 : rows * stride(tile);
    const std::int64_t mask_count = rounded_up(tile.cols, kHalfPanel);
    const std::int64_t left_words = strips && depth % 2 != 0 ? rows * pairs_of(depth) : 0;
    sums = scratch_of<Wide<C>>(context, worker, sums_count + mask_count + left_words);
    mask = sums + sums_count;
    left = reinterpret_cast<Bf16*>(mask + mask_count);
  }

  // A vector more than the columns, so that rows do not compete for the same lines of a cache.
  static std::int64_t stride(const Tile& tile) { return padded_cols(tile.cols) + kHalfPanel; }
};

// `count` rows of x, each with one number more: 0.
inline Rows<const Bf16> with_even_depth(const Rows<const Bf16>& x, std::int64_t count, std::int64_t depth,
                                        Bf16* memory) {
  if (depth % 2 == 0) return x;
  for (std::int64_t row = 0; row < count; ++row) {
    Bf16* to = memory + row * (depth + 1);
    std::memcpy(to, x.at(row), static_cast<std::size_t>(depth) * sizeof(Bf16));
    to[depth] = {0};
  }
  return {memory, depth + 1};
}

// sums (strip) = x · weight
inline void multiply_strip(const Context& context, const Tile& strip, Rows<const Bf16> x,
                           const Weight<Bf16>& weight, const TileMemory<Bf16>& memory) {
  const std::int64_t stride = TileMemory<Bf16>::stride(strip);
  if (context.products().onednn_bf16) {
    return multiply_onednn(Bf16Product{.m = strip.rows,
                                       .n = strip.cols,
                                       .k = weight.depth,
                                       .a = x.data,
                                       .a_stride = x.stride,
                                       .a_transposed = false,
                                       .b = weight.column(strip.col),
                                       .b_stride = weight.stored.stride,
                                       .b_transposed = weight.transposed,
                                       .c = memory.sums,
                                       .c_stride = stride});
  }
  x = with_even_depth(x, strip.rows, weight.depth, memory.left);
  multiply_pairs(context, PairProduct{.m = strip.rows,
                                      .n = strip.cols,
                                      .pairs = pairs_of(weight.depth),
                                      .a = x.data,
                                      .a_row = x.stride,
                                      .a_pair = 2,
                                      .b = weight.packed + strip.col * pairs_of(weight.depth),
                                      .c = memory.sums,
                                      .c_stride = stride,
                                      .accumulate = false});
}

// The tile of x · weight, by strips of rows: finish(strip, sums) gets each while it lies in the caches. x is
// the tile's first row. Sums go to `in_place` (the tile's place) unless that is null.
template <class C, class Finish>
inline void multiply_rows(const Context& context, const Tile& tile, const Rows<const C>& x,
                          const Weight<C>& weight, const Rows<Wide<C>>& in_place, const TileMemory<C>& memory,
                          const Finish& finish) {
  if constexpr (kIsBf16<C>) {
    const std::int64_t rows = context.products().onednn_bf16 ? tile.rows : kStripRows;
    for (std::int64_t row = 0; row < tile.rows; row += rows) {
      const Tile strip{tile.row + row, tile.col, smaller(rows, tile.rows - row), tile.cols};
      multiply_strip(context, strip, {x.at(row), x.stride}, weight, memory);
      finish(strip, Rows<float>{memory.sums, memory.stride(tile)});
    }
  } else {
    const Rows<C> sums = in_place.data ? in_place : Rows<C>{memory.sums, memory.stride(tile)};
    multiply(context, Product<C>{.m = tile.rows,
                                 .n = tile.cols,
                                 .k = weight.depth,
                                 .a = x.data,
                                 .a_stride = x.stride,
                                 .a_transposed = false,
                                 .b = weight.column(tile.col),
                                 .b_stride = weight.stored.stride,
                                 .b_transposed = weight.transposed,
                                 .c = sums.data,
                                 .c_stride = sums.stride});
    finish(tile, sums);
  }
}

// The tile's place in an operand of rows of `width`, when the sums may go there: not in bf16.
template <class C>
inline Rows<Wide<C>> place_of(const Out& view, std::int64_t width, const Tile& tile) {
  if (kIsBf16<C> || !view.data) return {nullptr, 0};
  return {static_cast<Wide<C>*>(view.data) + tile.row * width + tile.col, width};
}

}  // namespace vitrail::cpu::VITRAIL_ISA
