#include "engine/attention_half.h"

#include "engine/drop_path.h"

namespace vitrail {
namespace {

bool all_go_on(const AttentionHalf& half) {
  return !half.residual_kept;
}

Dropout attn_drop(const VitConfig& config, std::int64_t block, const Draws& draws) {
  return draws.dropout(config.attn_drop_rate, Purpose::attn_drop, block);
}

Dropout proj_drop(const VitConfig& config, std::int64_t block, const Draws& draws) {
  return draws.dropout(config.proj_drop_rate, Purpose::proj_drop, block);
}

}  // namespace

AttentionHalf plan_attention_half(Arena& arena, const VitConfig& config, std::int64_t batch,
                                  std::int64_t kept, bool training) {
  const std::int64_t tokens = config.tokens(), dim = config.embed_dim;
  AttentionHalf half;
  half.norm = arena.take({batch, tokens, dim});
  half.mean = arena.take({batch, tokens});
  half.rstd = arena.take({batch, tokens});
  half.qkv = arena.take({batch, tokens, 3 * dim});
  half.attended = half.attended_kept = arena.take({batch, tokens, dim});
  half.lse = arena.take({batch, config.num_heads, tokens});
  if (kept < tokens) {
    half.attended_kept = arena.take({batch, kept, dim});
    half.residual_kept = arena.take({batch, kept, dim});
  }
  if (training && config.layer_scale) half.branch = arena.take({batch, kept, dim});
  half.y = arena.take({batch, kept, dim});
  return half;
}

AttentionScratch plan_attention_scratch(Arena& arena, const VitConfig& config, std::int64_t batch,
                                        std::int64_t kept) {
  const std::int64_t tokens = config.tokens(), dim = config.embed_dim;
  AttentionScratch scratch;
  scratch.dbranch = arena.take({batch, tokens, dim});
  scratch.dattended = arena.take({batch, tokens, dim});
  scratch.dattended_kept = arena.take({batch, kept, dim});
  scratch.dqkv = arena.take({batch, tokens, 3 * dim});
  scratch.dnorm = arena.take({batch, tokens, dim});
  return scratch;
}

void attention_half_forward(Backend& backend, const VitConfig& config, const BlockParams& params,
                            const AttentionHalf& half, In x, std::int64_t block, const Draws& draws) {
  backend.run(LayerNormForward{.y = half.norm,
                               .mean = half.mean,
                               .rstd = half.rstd,
                               .x = x,
                               .weight = params.norm1.weight,
                               .bias = params.norm1.bias,
                               .eps = config.norm_eps});
  backend.run(
      LinearForward{.y = half.qkv, .x = half.norm, .weight = params.qkv.weight, .bias = params.qkv.bias});
  backend.run(AttentionForward{.y = half.attended,
                               .lse = half.lse,
                               .qkv = half.qkv,
                               .heads = config.num_heads,
                               .dropout = attn_drop(config, block, draws)});
  In residual = x;
  if (!all_go_on(half)) {
    backend.run(SliceTokensForward{.y = half.attended_kept, .x = half.attended});
    backend.run(SliceTokensForward{.y = half.residual_kept, .x = x});
    residual = half.residual_kept;
  }
  backend.run(LinearResidualForward{.y = half.y,
                                    .branch = half.branch,
                                    .residual = residual,
                                    .x = half.attended_kept,
                                    .weight = params.proj.weight,
                                    .bias = params.proj.bias,
                                    .gamma = params.ls1,
                                    .dropout = proj_drop(config, block, draws),
                                    .drop_path = drop_path(config, block, BlockHalf::attention, draws)});
}

void attention_half_backward(Backend& backend, const VitConfig& config, const BlockParams& params,
                             const BlockParams& grads, const AttentionHalf& half,
                             const AttentionScratch& scratch, Out dx_acc, In dy, In x, std::int64_t block,
                             const Draws& draws) {
  const Out dkept = all_go_on(half) ? scratch.dattended : scratch.dattended_kept;
  backend.run(LinearResidualBackward{.dx = dkept,
                                     .dbranch = leading(scratch.dbranch, dy.shape),
                                     .dweight_acc = grads.proj.weight,
                                     .dbias_acc = grads.proj.bias,
                                     .dgamma_acc = grads.ls1,
                                     .dy = dy,
                                     .branch = half.branch,
                                     .x = half.attended_kept,
                                     .weight = params.proj.weight,
                                     .gamma = params.ls1,
                                     .dropout = proj_drop(config, block, draws),
                                     .drop_path = drop_path(config, block, BlockHalf::attention, draws),
                                     .gelu_pre = {},
                                     .gelu_dropout = {}});
  if (!all_go_on(half)) {
    backend.zero(scratch.dattended);
    backend.run(SliceTokensBackward{.dx_acc = scratch.dattended, .dy = dkept});
    backend.zero(dx_acc);
    backend.run(SliceTokensBackward{.dx_acc = dx_acc, .dy = dy});
  }
  backend.run(AttentionBackward{.dqkv = scratch.dqkv,
                                .dy = scratch.dattended,
                                .y = half.attended,
                                .qkv = half.qkv,
                                .lse = half.lse,
                                .heads = config.num_heads,
                                .dropout = attn_drop(config, block, draws)});
  backend.run(LinearBackward{.dx = scratch.dnorm,
                             .dweight_acc = grads.qkv.weight,
                             .dbias_acc = grads.qkv.bias,
                             .dy = scratch.dqkv,
                             .x = half.norm,
                             .weight = params.qkv.weight});
  backend.run(LayerNormBackward{.dx_acc = dx_acc,
                                .dweight_acc = grads.norm1.weight,
                                .dbias_acc = grads.norm1.bias,
                                .dy = scratch.dnorm,
                                .x = x,
                                .weight = params.norm1.weight,
                                .mean = half.mean,
                                .rstd = half.rstd});
}

}  // namespace vitrail
