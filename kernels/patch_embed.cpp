#include "kernels/patch_embed.h"

#include "kernels/check.h"

namespace vitrail {

void PatchEmbedForward::check() const {
  const Contract contract(kName);
  contract.present("images", images, 4);
  contract.present("weight", weight, 4);
  const std::int64_t batch = images.shape[0], channels = images.shape[1];
  const std::int64_t height = images.shape[2], width = images.shape[3];
  const std::int64_t dim = weight.shape[0], size = weight.shape[3];
  contract.operand("images", images, statistics_dtype(weight.dtype), images.shape);
  contract.operand("weight", weight, weight.dtype, {dim, channels, size, size});
  contract.require(height % size == 0, "images", "a height that is a multiple of the patch size",
                   static_cast<double>(height));
  contract.require(width % size == 0, "images", "a width that is a multiple of the patch size",
                   static_cast<double>(width));
  const std::int64_t count = (height / size) * (width / size);
  contract.operand("y", y, images.dtype, {batch, count, dim});
  contract.operand("patches", patches, weight.dtype, {batch, count, channels * size * size});
  contract.optional("bias", bias, images.dtype, {dim});
}

void PatchEmbedBackward::check() const {
  const Contract contract(kName);
  contract.present("dy", dy, 3);
  contract.present("dweight_acc", dweight_acc, 4);
  contract.wide("dy", dy);
  const std::int64_t batch = dy.shape[0], count = dy.shape[1], dim = dy.shape[2];
  const std::int64_t channels = dweight_acc.shape[1], size = dweight_acc.shape[3];
  contract.operand("dweight_acc", dweight_acc, dy.dtype, {dim, channels, size, size});
  const bool mixed = dy.dtype == DType::f32 && patches.dtype == DType::bf16;
  contract.operand("patches", patches, mixed ? DType::bf16 : dy.dtype,
                   {batch, count, channels * size * size});
  contract.optional("dbias_acc", dbias_acc, dy.dtype, {dim});
}

}  // namespace vitrail
