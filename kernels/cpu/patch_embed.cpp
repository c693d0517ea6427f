#include "kernels/cpu/bf16.h"
#include "kernels/cpu/chunks.h"
#include "kernels/cpu/ops.h"

namespace vitrail::cpu::VITRAIL_ISA {
namespace {

struct Grid {
  std::int64_t batch, channels, height, width, patch;
  std::int64_t down() const { return height / patch; }
  std::int64_t across() const { return width / patch; }
  std::int64_t features() const { return channels * patch * patch; }
};

Grid grid_of(const Shape& images, const Shape& weight) {
  return {images.dims[0], images.dims[1], images.dims[2], images.dims[3], weight.dims[3]};
}

template <class T>
void copy_numbers(T* to, const T* from, std::int64_t count) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
}
void copy_numbers(Bf16* to, const float* from, std::int64_t count) {
  convert_row(to, from, count);
}

// One row of patches: patches (across, channels·P·P) from image rows [top, top + P).
template <class T, class C>
void cut_row(const Grid& grid, const T* image, std::int64_t top, C* patches) {
  for (std::int64_t channel = 0; channel < grid.channels; ++channel) {
    for (std::int64_t y = 0; y < grid.patch; ++y) {
      const T* from = image + (channel * grid.height + top + y) * grid.width;
      C* to = patches + (channel * grid.patch + y) * grid.patch;
      for (std::int64_t x = 0; x < grid.across(); ++x) {
        copy_numbers(to + x * grid.features(), from + x * grid.patch, grid.patch);
      }
    }
  }
}

template <class T, class C>
void cut(Context& context, const PatchEmbedForward& op) {
  const Grid grid = grid_of(op.images.shape, op.weight.shape);
  context.pool().parallel_for(grid.batch * grid.down(), [&](std::int64_t index, int) {
    const std::int64_t image = index / grid.down();
    const T* from = op.images.as<T>() + image * grid.channels * grid.height * grid.width;
    C* to = op.patches.as<C>() + index * grid.across() * grid.features();
    cut_row(grid, from, index % grid.down() * grid.patch, to);
  });
}

// (dim, channels, P, P) seen as a linear layer's weight.
Shape as_matrix(const Shape& weight) {
  return {weight.dims[0], weight.dims[1] * weight.dims[2] * weight.dims[3]};
}

}  // namespace

void execute(Context& context, const PatchEmbedForward& op) {
  if (op.images.dtype == DType::f64) {
    cut<double, double>(context, op);
  } else if (op.patches.dtype == DType::f32) {
    cut<float, float>(context, op);
  } else {
    cut<float, Bf16>(context, op);
  }
  execute(context, LinearForward{.y = op.y,
                                 .x = op.patches,
                                 .weight = {op.weight.data, op.weight.dtype, as_matrix(op.weight.shape)},
                                 .bias = op.bias});
}

void execute(Context& context, const PatchEmbedBackward& op) {
  const Shape matrix = as_matrix(op.dweight_acc.shape);
  execute(context, LinearBackward{.dx = {},
                                  .dweight_acc = {op.dweight_acc.data, op.dweight_acc.dtype, matrix},
                                  .dbias_acc = op.dbias_acc,
                                  .dy = op.dy,
                                  .x = op.patches,
                                  .weight = {}});
}

}  // namespace vitrail::cpu::VITRAIL_ISA
