// Patches are cut out once (each pixel read and written once: 8 bytes, 6 in bf16), then they are rows of a
// linear layer.

#include "kernels/cuda/elementwise.cuh"
#include "kernels/cuda/ops.h"

namespace vitrail::cuda {
namespace {

// Written in the patches' order, read in runs of `patch` pixels.
template <class T>
struct Cut {
  T* patches;
  const float* images;
  std::int64_t channels, height, width;
  int patch;

  template <int Width>
  __device__ void at(std::int64_t row, std::int64_t element) const {
    const int across = static_cast<int>(width) / patch, count = across * (static_cast<int>(height) / patch);
    const std::int64_t image = row / count;
    const int place = static_cast<int>(row % count), feature = static_cast<int>(element);
    const int x = place % across * patch + feature % patch;
    const int y = place / across * patch + feature / patch % patch;
    const std::int64_t channel = feature / (patch * patch);
    const float* from = images + ((image * channels + channel) * height + y) * width + x;
    store_floats(patches + row * (channels * patch * patch) + element, load<Width>(from));
  }
};

Shape as_matrix(const Shape& weight) {
  return {weight[0], weight[1] * weight[2] * weight[3]};
}

}  // namespace

void execute(Context& context, const PatchEmbedForward& op) {
  const std::int64_t patch = op.weight.shape[3], features = op.patches.shape[2];
  with_dtype(op.patches.dtype, [&](auto number) {
    using T = decltype(number);
    constexpr int kWidth = kWidest<T>;
    const Cut<T> cut{op.patches.as<T>(), op.images.as<float>(), op.images.shape[1],
                     op.images.shape[2], op.images.shape[3],    static_cast<int>(patch)};
    // When no pack leaves its run of pixels.
    const bool packed =
        all_in_packs<kWidth>(patch, cut.patches, cut.images) && op.images.shape[3] % kWidth == 0;
    for_elements<kWidth>(context.stream(), op.patches.shape[0] * op.patches.shape[1], features, packed, cut);
  });
  execute(context, LinearForward{.y = op.y,
                                 .x = op.patches,
                                 .weight = reshaped(op.weight, as_matrix(op.weight.shape)),
                                 .bias = op.bias});
}

void execute(Context& context, const PatchEmbedBackward& op) {
  const Out dweight = reshaped(op.dweight_acc, as_matrix(op.dweight_acc.shape));
  In dy = op.dy;
  if (op.patches.dtype == DType::bf16) {  // as the product reads it
    const auto bytes = static_cast<std::size_t>(dy.shape.elements()) * size_of(DType::bf16);
    const Out rounded{context.scratch(bytes), DType::bf16, dy.shape};
    execute(context, Cast{.y = rounded, .x = dy});
    dy = rounded;
  }
  execute(context, LinearBackward{.dx = {},
                                  .dweight_acc = dweight,
                                  .dbias_acc = op.dbias_acc,
                                  .dy = dy,
                                  .x = op.patches,
                                  .weight = {}});
}

}  // namespace vitrail::cuda
