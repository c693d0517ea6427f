#include "engine/mlp_half.h"

#include "engine/drop_path.h"

namespace vitrail {
namespace {

Dropout act_drop(const VitConfig& config, std::int64_t block, const Draws& draws) {
  return draws.dropout(config.proj_drop_rate, Purpose::mlp_drop, block);
}

Dropout out_drop(const VitConfig& config, std::int64_t block, const Draws& draws) {
  return draws.dropout(config.proj_drop_rate, Purpose::mlp_out_drop, block);
}

}  // namespace

MlpHalf plan_mlp_half(Arena& arena, const VitConfig& config, std::int64_t batch, std::int64_t tokens,
                      bool training) {
  MlpHalf half;
  half.norm = arena.take({batch, tokens, config.embed_dim});
  half.mean = arena.take({batch, tokens});
  half.rstd = arena.take({batch, tokens});
  if (training) half.pre = arena.take({batch, tokens, config.mlp_dim});
  half.act = arena.take({batch, tokens, config.mlp_dim});
  if (training && config.layer_scale) half.branch = arena.take({batch, tokens, config.embed_dim});
  half.y = arena.take({batch, tokens, config.embed_dim});
  return half;
}

MlpScratch plan_mlp_scratch(Arena& arena, const VitConfig& config, std::int64_t batch) {
  const std::int64_t tokens = config.tokens();
  MlpScratch scratch;
  scratch.dbranch = arena.take({batch, tokens, config.embed_dim});
  scratch.dpre = arena.take({batch, tokens, config.mlp_dim});
  scratch.dnorm = arena.take({batch, tokens, config.embed_dim});
  return scratch;
}

void mlp_half_forward(Backend& backend, const VitConfig& config, const BlockParams& params,
                      const MlpHalf& half, In x, std::int64_t block, const Draws& draws) {
  backend.run(LayerNormForward{.y = half.norm,
                               .mean = half.mean,
                               .rstd = half.rstd,
                               .x = x,
                               .weight = params.norm2.weight,
                               .bias = params.norm2.bias,
                               .eps = config.norm_eps});
  backend.run(LinearGeluForward{.y = half.act,
                                .pre = half.pre,
                                .x = half.norm,
                                .weight = params.fc1.weight,
                                .bias = params.fc1.bias,
                                .gelu = config.gelu,
                                .dropout = act_drop(config, block, draws)});
  backend.run(LinearResidualForward{.y = half.y,
                                    .branch = half.branch,
                                    .residual = x,
                                    .x = half.act,
                                    .weight = params.fc2.weight,
                                    .bias = params.fc2.bias,
                                    .gamma = params.ls2,
                                    .dropout = out_drop(config, block, draws),
                                    .drop_path = drop_path(config, block, BlockHalf::mlp, draws)});
}

void mlp_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                       const BlockParams& grads, const MlpHalf& half, const MlpScratch& scratch, Out dx_acc,
                       In x, std::int64_t block, const Draws& draws) {
  const Out dpre = leading(scratch.dpre, half.pre.shape);
  const Out dnorm = leading(scratch.dnorm, half.norm.shape);
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
