#include "engine/attention_half.h"

#include "engine/drop_path.h"
#include "engine/normalise.h"
#include "kernels/check.h"

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

AttentionHalf plan_attention_half(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                                  std::int64_t kept, const AttentionScratch* scratch) {
  const std::int64_t tokens = config.tokens(), dim = config.embed_dim;
  const DType wide = statistics_dtype(dtype);
  AttentionHalf half;
  half.norm_again = scratch != nullptr;
  half.norm = scratch ? scratch->norm : arena.take(dtype, {batch, tokens, dim});
  half.mean = arena.take(wide, {batch, tokens});
  half.rstd = arena.take(wide, {batch, tokens});
  half.qkv = arena.take(dtype, {batch, tokens, 3 * dim});
  half.attended = half.attended_kept = arena.take(dtype, {batch, tokens, dim});
  half.lse = arena.take(wide, {batch, config.num_heads, tokens});
  if (kept < tokens) {
    half.attended_kept = arena.take(dtype, {batch, kept, dim});
    half.residual_kept = arena.take(wide, {batch, kept, dim});
  }
  if (config.layer_scale) half.branch = arena.take(dtype, {batch, kept, dim});
  return half;
}

AttentionScratch plan_attention_scratch(Arena& arena, const VitConfig& config, DType dtype,
                                        std::int64_t batch, std::int64_t kept) {
  const std::int64_t tokens = config.tokens(), dim = config.embed_dim;
  AttentionScratch scratch;
  scratch.dbranch = scratch.norm = arena.take(dtype, {batch, tokens, dim});
  scratch.dattended = scratch.dnorm = arena.take(dtype, {batch, tokens, dim});
  if (kept < tokens) scratch.dattended_kept = arena.take(dtype, {batch, kept, dim});
  scratch.dqkv = arena.take(dtype, {batch, tokens, 3 * dim});
  return scratch;
}

AttentionHalf plan_attention_inference(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch,
                                       std::int64_t kept) {
  const std::int64_t tokens = config.tokens(), dim = config.embed_dim;
  const DType wide = statistics_dtype(dtype);
  AttentionHalf half;
  half.norm = half.attended = half.attended_kept = arena.take(dtype, {batch, tokens, dim});
  half.mean = arena.take(wide, {batch, tokens});
  half.rstd = arena.take(wide, {batch, tokens});
  half.qkv = arena.take(dtype, {batch, tokens, 3 * dim});
  half.lse = arena.take(wide, {batch, config.num_heads, tokens});
  if (kept < tokens) half.attended_kept = arena.take(dtype, {batch, kept, dim});
  return half;
}

void attention_half_forward(Backend& backend, const VitConfig& config, const BlockParams& params,
                            const AttentionHalf& half, In x, std::int64_t block, const Draws& draws) {
  normalise(backend, config, params.norm1, half, x);
  backend.run(LinearForward{.y = half.qkv,
                            .x = half.norm,
                            .weight = params.qkv.weight,
                            .bias = params.qkv.bias,
                            .quantized = params.qkv.quantized});
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
                                    .drop_path = drop_path(config, block, BlockHalf::attention, draws),
                                    .quantized = params.proj.quantized});
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
  if (half.norm_again) normalise(backend, config, params.norm1, half, x);
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
