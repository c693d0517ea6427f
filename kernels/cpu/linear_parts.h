#pragma once
// What the linear ops' forward and backward share: sizes, tiles, and the product of a tile's rows with a
// weight. C is the dtype of the products' factors, Wide<C> that of their sums.

#include <type_traits>

#include "kernels/cpu/dropout_mask.h"
#include "kernels/cpu/gemm.h"
#include "kernels/cpu/ops.h"
#include "kernels/cpu/pack.h"
#include "kernels/cpu/rows.h"

namespace vitrail::cpu::VITRAIL_ISA {

inline constexpr std::int64_t kTileRows = 192;  // a tile of x and one of y lie in a core's second cache
inline constexpr std::int64_t kTileCols = 768;
inline constexpr std::int64_t kLeastTileCols = 128;
inline constexpr std::int64_t kTallRows = 768;
inline constexpr std::int64_t kTallCols = 128;
// bf16: a strip's f32 sums lie in the first cache until they are finished and rounded.
inline constexpr std::int64_t kStripRows = 2 * kBlockRows;
inline constexpr std::int64_t kStripCols = 6 * kPanelCols;

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

// For products that pack a tile's part of the weight, which pays the more rows it is for.
inline Tiles tall_tiles(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kEnough = kWantedTasks * 3 / 4;
  Tiles tiles{rows, cols, piece(rows, kTallRows, 12), piece(cols, kTallCols, kPanelCols)};
  while (tiles.count() < kEnough && tiles.tile_cols >= kTallCols)
    tiles.tile_cols = rounded_up(tiles.tile_cols / 2, kPanelCols);
  while (tiles.count() < kEnough && tiles.tile_rows >= kTallRows)
    tiles.tile_rows = rounded_up(tiles.tile_rows / 2, 12);
  if (tiles.count() < kEnough) tiles.tile_cols = smaller(tiles.tile_cols, kPanelCols);
  return tiles;
}

// Whether products of C are multiply_panels()'s.
template <class C>
inline bool by_panels(const Context& context) {
  return std::is_same_v<C, float> && context.products().f32 == Gemm::vitrail;
}

// The tiles of a (rows, cols) output of a product of C.
template <class C>
inline Tiles output_tiles(const Context& context, std::int64_t rows, std::int64_t cols) {
  if (by_panels<C>(context)) return tall_tiles(rows, cols);
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

// Whether a product of C finishes its sums in memory of its own.
template <class C>
inline bool kept_sums(const Context& context, std::int64_t depth) {
  return by_panels<C>(context) && keeps_sums(depth);
}

// Scratch memory of one task.
template <class C>
struct TileMemory {
  Rows<Wide<C>> sums;  // of the tile; bf16: of a strip; null where they go in place or the product keeps them
  Wide<C>* mask;
  Bf16* left;  // bf16 of odd depth: a strip of x with a 0 behind each row

  TileMemory(Context& context, int worker, const Tile& tile, std::int64_t depth, bool sums_elsewhere) {
    const bool strips = kIsBf16<C> && !context.products().onednn_bf16;
    const std::int64_t rows = strips ? smaller(kStripRows, tile.rows) : tile.rows;
    const std::int64_t cols = strips ? smaller(kStripCols, tile.cols) : tile.cols;
    // A line of the cache more than the columns, so that rows do not compete for the same ones.
    sums.stride = padded_cols(cols) + kHalfPanel;
    const std::int64_t sums_count = sums_elsewhere ? 0 : rows * sums.stride;
    const std::int64_t mask_count = rounded_up(tile.cols, kHalfPanel);
    const std::int64_t left_words = strips && depth % 2 != 0 ? rows * pairs_of(depth) : 0;
    Wide<C>* memory = scratch_of<Wide<C>>(context, worker, sums_count + mask_count + left_words);
    sums.data = sums_count > 0 ? memory : nullptr;
    mask = memory + sums_count;
    left = reinterpret_cast<Bf16*>(mask + mask_count);
  }
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

// The tile of x · weight; x is the tile's first row.
template <class C>
inline Product<C, Wide<C>> product_of(const Tile& tile, const Rows<const C>& x, const Weight<C>& weight,
                                      const Rows<Wide<C>>& sums) {
  return {.m = tile.rows,
          .n = tile.cols,
          .k = weight.depth,
          .a = x.data,
          .a_stride = x.stride,
          .a_transposed = false,
          .b = weight.column(tile.col),
          .b_stride = weight.stored.stride,
          .b_transposed = weight.transposed,
          .c = sums.data,
          .c_stride = sums.stride};
}

// The rows of a tile in strips of columns; x has an even depth.
template <class Finish>
inline void multiply_strips(const Tile& rows, const Rows<const Bf16>& x, const Weight<Bf16>& weight,
                            const Rows<float>& sums, Ahead ahead, const Finish& finish) {
  for (std::int64_t col = 0; col < rows.cols; col += kStripCols) {
    const Tile strip{rows.row, rows.col + col, rows.rows, smaller(kStripCols, rows.cols - col)};
    multiply_pairs(PairProduct{.m = strip.rows,
                               .n = strip.cols,
                               .pairs = pairs_of(weight.depth),
                               .a = x.data,
                               .a_row = x.stride,
                               .a_pair = 2,
                               .b = weight.packed + strip.col * pairs_of(weight.depth),
                               .c = sums.data,
                               .c_stride = sums.stride,
                               .accumulate = false,
                               .ahead = ahead});
    ahead = {};
    finish(strip, sums);
  }
}

// The tile of x · weight: finish(strip, sums) gets each part of it while it lies in the caches. x is the
// tile's first row. Sums go to `in_place` (the tile's place) unless that is null.
template <class C, class Finish>
inline void multiply_rows(Context& context, int worker, const Tile& tile, const Rows<const C>& x,
                          const Weight<C>& weight, const Rows<Wide<C>>& in_place, const TileMemory<C>& memory,
                          const Finish& finish) {
  if constexpr (kIsBf16<C>) {
    if (context.products().onednn_bf16) {
      multiply_onednn(product_of(tile, x, weight, memory.sums));
      return finish(tile, memory.sums);
    }
    for (std::int64_t row = 0; row < tile.rows; row += kStripRows) {
      const Tile rows{tile.row + row, tile.col, smaller(kStripRows, tile.rows - row), tile.cols};
      const Rows<const Bf16> even =
          with_even_depth({x.at(row), x.stride}, rows.rows, weight.depth, memory.left);
      // The rows below, which follow each other in memory.
      const std::int64_t below = smaller(kStripRows, tile.rows - row - rows.rows);
      const Ahead ahead{x.at(row + rows.rows), kLine<Bf16>, divided_up(below * x.stride, kLine<Bf16>)};
      multiply_strips(rows, even, weight, memory.sums, ahead, finish);
    }
  } else {
    const Rows<C> sums = in_place.data ? in_place : memory.sums;
    multiply(context, worker, product_of(tile, x, weight, sums),
             [&](const Tile& part, const Rows<C>& part_sums) {
               finish(Tile{tile.row + part.row, tile.col + part.col, part.rows, part.cols}, part_sums);
             });
  }
}

// The tile's place in an operand of rows of `width`, when the sums may go there: not in bf16.
template <class C>
inline Rows<Wide<C>> place_of(const Out& view, std::int64_t width, const Tile& tile) {
  if (kIsBf16<C> || !view.data) return {nullptr, 0};
  return {static_cast<Wide<C>*>(view.data) + tile.row * width + tile.col, width};
}

}  // namespace vitrail::cpu::VITRAIL_ISA
