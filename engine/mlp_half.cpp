#include "engine/mlp_half.h"

#include "engine/drop_path.h"
#include "engine/normalise.h"
#include "kernels/check.h"

namespace vitrail {
namespace {

Dropout act_drop(const VitConfig& config, std::int64_t block, const Draws& draws) {
  return draws.dropout(config.proj_drop_rate, Purpose::mlp_drop, block);
}

Dropout out_drop(const VitConfig& config, std::int64_t block, const Draws& draws) {
  return draws.dropout(config.proj_drop_rate, Purpose::mlp_out_drop, block);
}

}  // namespace

MlpHalf plan_mlp_half(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                      std::int64_t tokens, const MlpScratch* scratch) {
  const Shape narrow = {batch, tokens, config.embed_dim}, broad = {batch, tokens, config.mlp_dim};
  const DType wide = statistics_dtype(dtype);
  MlpHalf half;
  half.again = scratch != nullptr;
  half.norm = scratch ? leading(scratch->norm, narrow) : arena.take(dtype, narrow);
  half.mean = arena.take(wide, {batch, tokens});
  half.rstd = arena.take(wide, {batch, tokens});
  half.pre = arena.take(dtype, broad);
  half.act = scratch ? leading(scratch->act, broad) : arena.take(dtype, broad);
  if (config.layer_scale) half.branch = arena.take(dtype, narrow);
  return half;
}

MlpScratch plan_mlp_scratch(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                            bool again) {
  const Shape narrow = {batch, config.tokens(), config.embed_dim};
  const Shape broad = {batch, config.tokens(), config.mlp_dim};
  MlpScratch scratch;
  scratch.dbranch = scratch.norm = scratch.dnorm = arena.take(dtype, narrow);
  if (again) {
    Alternatives one_after_the_other(arena);
    scratch.act = arena.take(dtype, broad);
    one_after_the_other.next();
    scratch.dnorm = arena.take(dtype, narrow);
  }
  scratch.dpre = arena.take(dtype, broad);
  return scratch;
}

MlpHalf plan_mlp_inference(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                           std::int64_t tokens) {
  const DType wide = statistics_dtype(dtype);
  MlpHalf half;
  half.norm = arena.take(dtype, {batch, tokens, config.embed_dim});
  half.mean = arena.take(wide, {batch, tokens});
  half.rstd = arena.take(wide, {batch, tokens});
  half.act = arena.take(dtype, {batch, tokens, config.mlp_dim});
  return half;
}

void mlp_half_hidden(Backend& backend, const VitConfig& config, const BlockParams& params,
                     const MlpHalf& half, In x, std::int64_t block, const Draws& draws) {
  normalise(backend, config, params.norm2, half, x);
  backend.run(LinearGeluForward{.y = half.act,
                                .pre = half.pre,
                                .x = half.norm,
                                .weight = params.fc1.weight,
                                .bias = params.fc1.bias,
                                .gelu = config.gelu,
                                .dropout = act_drop(config, block, draws),
                                .quantized = params.fc1.quantized});
}

void mlp_half_output(Backend& backend, const VitConfig& config, const BlockParams& params,
                     const MlpHalf& half, In x, std::int64_t block, const Draws& draws) {
  backend.run(LinearResidualForward{.y = half.y,
                                    .branch = half.branch,
                                    .residual = x,
                                    .x = half.act,
                                    .weight = params.fc2.weight,
                                    .bias = params.fc2.bias,
                                    .gamma = params.ls2,
                                    .dropout = out_drop(config, block, draws),
                                    .drop_path = drop_path(config, block, BlockHalf::mlp, draws),
                                    .quantized = params.fc2.quantized});
}

void mlp_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                       const BlockParams& grads, const MlpHalf& half, const MlpScratch& scratch, Out dx_acc,
                       In x, std::int64_t block, const Draws& draws) {
  const Out dpre = leading(scratch.dpre, half.pre.shape);
  const Out dnorm = leading(scratch.dnorm, half.norm.shape);
  if (half.again) {
    backend.run(GeluForward{
        .y = half.act, .pre = half.pre, .gelu = config.gelu, .dropout = act_drop(config, block, draws)});
  }
  backend.run(LinearResidualBackward{.dx = dpre,
                                     .dbranch = leading(scratch.dbranch, half.y.shape),
                                     .dweight_acc = grads.fc2.weight,
                                     .dbias_acc = grads.fc2.bias,
                                     .dgamma_acc = grads.ls2,
                                     .dy = dx_acc,
                                     .branch = half.branch,
                                     .x = half.act,
                                     .weight = params.fc2.weight,
                                     .gamma = params.ls2,
                                     .dropout = out_drop(config, block, draws),
                                     .drop_path = drop_path(config, block, BlockHalf::mlp, draws),
                                     .gelu_pre = half.pre,
                                     .gelu = config.gelu,
                                     .gelu_dropout = act_drop(config, block, draws)});
  if (half.again) normalise(backend, config, params.norm2, half, x);
  backend.run(LinearBackward{.dx = dnorm,
                             .dweight_acc = grads.fc1.weight,
                             .dbias_acc = grads.fc1.bias,
                             .dy = dpre,
                             .x = half.norm,
                             .weight = params.fc1.weight});
  backend.run(LayerNormBackward{.dx_acc = dx_acc,
                                .dweight_acc = grads.norm2.weight,
                                .dbias_acc = grads.norm2.bias,
                                .dy = dnorm,
                                .x = x,
                                .weight = params.norm2.weight,
                                .mean = half.mean,
                                .rstd = half.rstd});
}

}  // namespace vitrail
