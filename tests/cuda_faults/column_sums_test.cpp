// Broken copies of column_sums.cuh.

#include "kernels/cuda/column_sums.cuh"

#include <doctest/doctest.h>

#include "tests/cuda_emulation/expect_fault.h"
#include "tests/cuda_faults/broken.h"

namespace vitrail::cuda {
namespace {

using cuda_emulation::DeviceArray;

enum class Flaw {
  none,
  no_barrier,
  part_of_tile,  // rows that the block does not have leave their shared memory unset
  row_too_many,  // of the tile, read
  no_column_mask,
  grid_too_small,
  block_races,   // threads add to shared memory without atomics
  grid_races,    // blocks add to the output without atomics
  lost_updates,  // read, wait, write
  fresh_output,  // += where nothing was written before
};

constexpr int kRowCount = 132, kColumns = 36, kChunk = 64;

template <Flaw F>
__global__ void sum_chunk_copy(float* partials, const float* x) {
  ColumnSumTile& tile = static_shared<ColumnSumTile>();
  const int thread_x = static_cast<int>(threadIdx.x) % kSumColumns;
  const int thread_y = static_cast<int>(threadIdx.x) / kSumColumns;
  const int column = static_cast<int>(blockIdx.x) * kSumColumns + thread_x;
  const int begin = static_cast<int>(blockIdx.y) * kChunk;
  const int end = begin + kChunk < kRowCount ? begin + kChunk : kRowCount;
  float sum = 0;
  if (column < kColumns) {
    for (int row = begin + thread_y; row < end; row += kSumRows)
      sum += x[row * kColumns + column];
  }
  if constexpr (F == Flaw::block_races || F == Flaw::lost_updates) {
    if (thread_y == 0) tile.of[0][thread_x] = 0;
    __syncthreads();
    if constexpr (F == Flaw::lost_updates) {
      const float before = tile.of[0][thread_x];
      __syncwarp();
      tile.of[0][thread_x] = before + sum;
    } else {
      tile.of[0][thread_x] += sum;
    }
    __syncthreads();
    sum = tile.of[0][thread_x];
    if (thread_y > 0 || column >= kColumns) return;
  } else {
    if (F != Flaw::part_of_tile || begin + thread_y < end) tile.of[thread_y][thread_x] = sum;
    if constexpr (F != Flaw::no_barrier) __syncthreads();
    if (thread_y > 0 || (column >= kColumns && F != Flaw::no_column_mask)) return;
    for (int i = 1; i < kSumRows + (F == Flaw::row_too_many ? 1 : 0); ++i)
      sum += tile.of[i][thread_x];
  }
  if constexpr (F == Flaw::grid_races) {
    partials[column] += sum;
  } else if constexpr (F == Flaw::fresh_output) {
    partials[static_cast<int>(blockIdx.y) * kColumns + column] += sum;
  } else {
    partials[static_cast<int>(blockIdx.y) * kColumns + column] = sum;
  }
}

template <Flaw F>
Numbers sums() {
  constexpr unsigned kChunks = (kRowCount + kChunk - 1) / kChunk;
  DeviceArray<float> x(kRowCount * kColumns), y(kColumns, 0), partials(kChunks * kColumns);
  x.host = some_numbers(x.host.size(), 1);
  x.upload();
  const unsigned rows_of_blocks = F == Flaw::grid_too_small ? kRowCount / kChunk : kChunks;
  float* const to = F == Flaw::grid_races ? y.device() : partials.device();
  launch<sum_chunk_copy<F>>({.grid = dim3(2, rows_of_blocks), .block = kSumColumns * kSumRows}, to,
                            x.device());
  if (F != Flaw::grid_races) {
    launch<add_chunks<kSumColumns>>({.grid = 2, .block = kSumColumns * kSumRows}, y.device(),
                                    partials.device(), kColumns, kColumns, static_cast<int>(kChunks));
  }
  y.download();
  return y.host;
}

Numbers expected_sums() {
  const Numbers x = some_numbers(kRowCount * kColumns, 1);
  Numbers result;
  for (std::size_t column = 0; column < kColumns; ++column) {
    double sum = 0;
    for (std::size_t row = 0; row < kRowCount; ++row)
      sum += static_cast<double>(x[row * kColumns + column]);
    result.push_back(static_cast<float>(sum));
  }
  return result;
}

template <Flaw F>
Broken broken(const char* fault, const std::vector<std::string>& report) {
  return {fault, report, sums<F>, sums<Flaw::none>, expected_sums()};
}

TEST_CASE("cuda faults: column sums") {
  check_all({
      broken<Flaw::no_barrier>("no barrier between writing and reading shared memory", {kWrongNumbers}),
      broken<Flaw::part_of_tile>("shared memory that no thread set", {kWrongNumbers}),
      broken<Flaw::row_too_many>("one row of the tile too many",
                                 {"kernel sum_chunk_copy", "index 8 lies outside", "column_sums_test.cpp:"}),
      broken<Flaw::no_column_mask>("columns beyond the last are written",
                                   {"kernel sum_chunk_copy", "block (1, 2, 0)", "access out of bounds"}),
      broken<Flaw::grid_too_small>("no block for the last rows", {kWrongNumbers}),
      broken<Flaw::block_races>("threads of a block add without atomics", {kOrderShows}),
      broken<Flaw::grid_races>("blocks add without atomics", {kOrderShows}),
      broken<Flaw::lost_updates>("a sum is read, and written after others have read it", {kWrongNumbers}),
      broken<Flaw::fresh_output>("an output that was never written is added to", {kWrongNumbers}),
  });
}

}  // namespace
}  // namespace vitrail::cuda
