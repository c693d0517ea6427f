#pragma once
// Rows of f32 cut into 256 steps for a product of 8 bits, and the product's sums made f32 again.

#include "kernels/cpu/chunks.h"
#include "kernels/cpu/linear_parts.h"

namespace vitrail::cpu::VITRAIL_ISA {

// x is about low + step · steps, row by row.
struct StepRows {
  std::uint8_t* steps;
  std::int64_t stride;
  float* low;
  float* step;
};

// One row. A row with a NaN or an infinity in it gets NaN for low and step.
void cut_into_steps(const float* x, std::int64_t count, std::uint8_t* steps, float& low, float& step);

// x (rows, cols) in the context's shared scratch.
inline StepRows cut_into_steps(Context& context, const float* x, std::int64_t rows, std::int64_t cols) {
  const std::int64_t stride = rounded_up(cols, 64);
  std::byte* memory = context.shared_scratch(static_cast<std::size_t>(rows) *
                                             (static_cast<std::size_t>(stride) + 2 * sizeof(float)));
  float* low = reinterpret_cast<float*>(memory + rows * stride);
  const StepRows result{reinterpret_cast<std::uint8_t*>(memory), stride, low, low + rows};
  for_chunks(context, rows, rows_per_chunk(cols), [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      cut_into_steps(x + row * cols, cols, result.steps + row * stride, result.low[row], result.step[row]);
    }
  });
  return result;
}

// Σ (low + step · steps) · scale · q = scale · (step · Σ steps · q + low · Σ q): what lies in `sums` as whole
// numbers of 32 bits becomes that. scale and sum are those of the tile's columns.
inline void finish_steps(const Tile& tile, const StepRows& x, const float* scale, const float* sum,
                         const Rows<float>& sums) {
  for (std::int64_t row = 0; row < tile.rows; ++row) {
    const float low = x.low[tile.row + row], step = x.step[tile.row + row];
    float* to = sums.at(row);
    each_vector<float>(tile.cols, [&](std::int64_t i, const auto& access) {
      const IntVec whole = reinterpret_cast<IntVec>(access.load(to + i));
      const Vec<float> product = __builtin_convertvector(whole, Vec<float>);
      access.store(to + i, access.load(scale + i) * (step * product + low * access.load(sum + i)));
    });
  }
}

}  // namespace vitrail::cpu::VITRAIL_ISA
