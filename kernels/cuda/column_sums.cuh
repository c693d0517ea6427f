#pragma once
// to[column] += Σ over rows of value(row, column): biases, LayerScale, tokens. In two stages whose order is
// given by the shape alone, so the sums have the same bits every time; no atomics.
// Stage 1: a block takes 32 columns of a chunk of rows; a warp reads 128 bytes of a row at a time, eight rows
// are in flight, each thread adds its rows in their order. Stage 2 adds the chunks.

#include <cuda_launch.h>

#include <algorithm>

#include "kernels/cuda/context.h"

namespace vitrail::cuda {

inline constexpr int kSumColumns = 32, kSumRows = 8;
inline constexpr std::int64_t kMostSumChunks = 128;

struct ColumnSumTile {
  float of[kSumRows][kSumColumns];
};

template <class Value>
__global__ void __launch_bounds__(kSumColumns* kSumRows)
    sum_chunk(float* partials, std::int64_t rows, std::int64_t columns, std::int64_t chunk_rows,
              Value value) {
  ColumnSumTile& tile = static_shared<ColumnSumTile>();
  const int x = static_cast<int>(threadIdx.x) % kSumColumns, y = static_cast<int>(threadIdx.x) / kSumColumns;
  const std::int64_t column = std::int64_t{blockIdx.x} * kSumColumns + x;
  const std::int64_t begin = std::int64_t{blockIdx.y} * chunk_rows;
  const std::int64_t end = begin + chunk_rows < rows ? begin + chunk_rows : rows;
  float sum = 0;
  if (column < columns) {
    for (std::int64_t row = begin + y; row < end; row += kSumRows)
      sum += value(row, column);
  }
  tile.of[y][x] = sum;
  __syncthreads();
  if (y > 0 || column >= columns) return;
  for (int i = 1; i < kSumRows; ++i)
    sum += tile.of[i][x];
  partials[blockIdx.y * columns + column] = sum;
}

// Stage 2: 32 columns a block, eight threads a column that each add every eighth chunk, then each other.
// A template only so that many files may have it.
template <int Columns>
__global__ void __launch_bounds__(Columns* kSumRows)
    add_chunks(float* to, const float* partials, std::int64_t columns, std::int64_t stride, int chunks) {
  ColumnSumTile& tile = static_shared<ColumnSumTile>();
  const int x = static_cast<int>(threadIdx.x) % Columns, y = static_cast<int>(threadIdx.x) / Columns;
  const std::int64_t column = std::int64_t{blockIdx.x} * Columns + x;
  float sum = 0;
  if (column < columns) {
    for (int chunk = y; chunk < chunks; chunk += kSumRows)
      sum += partials[chunk * stride + column];
  }
  tile.of[y][x] = sum;
  __syncthreads();
  if (y > 0 || column >= columns) return;
  for (int i = 1; i < kSumRows; ++i)
    sum += tile.of[i][x];
  to[column] += sum;
}

// to[column] += Σ over chunks of partials[chunk][column], rows of `stride`.
inline void add_partial_sums(const Context& context, float* to, const float* partials, std::int64_t columns,
                             std::int64_t stride, std::int64_t chunks) {
  launch<add_chunks<kSumColumns>>({.grid = static_cast<unsigned>((columns + kSumColumns - 1) / kSumColumns),
                                   .block = kSumColumns * kSumRows,
                                   .stream = context.stream()},
                                  to, partials, columns, stride, static_cast<int>(chunks));
}

// How rows are cut: by their number alone.
struct SumChunks {
  std::int64_t rows, count;
  explicit SumChunks(std::int64_t all_rows) {
    constexpr std::int64_t kLeastRows = 64;
    rows = std::max(kLeastRows, (all_rows + kMostSumChunks - 1) / kMostSumChunks);
    count = (all_rows + rows - 1) / rows;
  }
  std::size_t bytes(std::int64_t columns) const {
    return static_cast<std::size_t>(count * columns) * sizeof(float);
  }
};

// Uses the context's sum_scratch.
template <class Value>
void add_column_sums(Context& context, float* to, std::int64_t rows, std::int64_t columns,
                     const Value& value) {
  const SumChunks chunks(rows);
  float* partials = context.sum_scratch(chunks.bytes(columns));
  const auto across = static_cast<unsigned>((columns + kSumColumns - 1) / kSumColumns);
  launch<sum_chunk<Value>>({.grid = dim3(across, static_cast<unsigned>(chunks.count)),
                            .block = kSumColumns * kSumRows,
                            .stream = context.stream()},
                           partials, rows, columns, chunks.rows, value);
  add_partial_sums(context, to, partials, columns, columns, chunks.count);
}

}  // namespace vitrail::cuda
