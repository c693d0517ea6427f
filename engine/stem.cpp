#include "engine/stem.h"

#include "engine/normalise.h"

#include "kernels/check.h"

namespace vitrail {
namespace {

Dropout pos_drop(const VitConfig& config, const Draws& draws) {
  return draws.dropout(config.pos_drop_rate, Purpose::pos_drop, 0);
}

}  // namespace

Stem plan_stem(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch) {
  const std::int64_t tokens = config.tokens(), dim = config.embed_dim;
  const DType wide = statistics_dtype(dtype);
  Stem stem;
  stem.tokens = arena.take(wide, {batch, tokens, dim});
  if (config.pre_norm) {
    stem.norm = arena.take(wide, {batch, tokens, dim});
    stem.mean = arena.take(wide, {batch, tokens});
    stem.rstd = arena.take(wide, {batch, tokens});
  }
  return stem;
}

Out plan_patches(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch) {
  return arena.take(dtype, {batch, config.patches(), config.patch_elements()});
}

Out plan_embedded(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch) {
  return arena.take(statistics_dtype(dtype), {batch, config.patches(), config.embed_dim});
}

StemScratch plan_stem_scratch(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch) {
  StemScratch scratch;
  if (config.pre_norm) {
    scratch.dtokens = arena.take(statistics_dtype(dtype), {batch, config.tokens(), config.embed_dim});
  }
  scratch.dembedded = plan_embedded(arena, config, dtype, batch);
  return scratch;
}

void stem_forward(Backend& backend, const VitConfig& config, const VitParams& params, const Stem& stem,
                  In images, const Draws& draws) {
  backend.run(PatchEmbedForward{.y = stem.embedded,
                                .patches = stem.patches,
                                .images = images,
                                .weight = params.patch_embed.weight,
                                .bias = params.patch_embed.bias});
  backend.run(EmbedTokensForward{.x = stem.tokens,
                                 .patches = stem.embedded,
                                 .cls_token = params.cls_token,
                                 .dist_token = params.dist_token,
                                 .reg_token = params.reg_token,
                                 .pos_embed = params.pos_embed});
  const Dropout dropout = pos_drop(config, draws);
  if (dropout.rate > 0) backend.run(ApplyDropout{.y = stem.tokens, .x = stem.tokens, .dropout = dropout});
  if (config.pre_norm) normalise(backend, config, params.norm_pre, stem, stem.tokens);
}

void stem_backward(Backend& backend, const VitConfig& config, const VitParams& params, const VitParams& grads,
                   const Stem& stem, const StemScratch& scratch, Out dy, const Draws& draws) {
  Out dtokens = dy;
  if (config.pre_norm) {
    dtokens = scratch.dtokens;
    backend.zero(dtokens);
    backend.run(LayerNormBackward{.dx_acc = dtokens,
                                  .dweight_acc = grads.norm_pre.weight,
                                  .dbias_acc = grads.norm_pre.bias,
                                  .dy = dy,
                                  .x = stem.tokens,
                                  .weight = params.norm_pre.weight,
                                  .mean = stem.mean,
                                  .rstd = stem.rstd});
  }
  const Dropout dropout = pos_drop(config, draws);
  if (dropout.rate > 0) backend.run(ApplyDropout{.y = dtokens, .x = dtokens, .dropout = dropout});
  backend.run(EmbedTokensBackward{.dpatches = scratch.dembedded,
                                  .dcls_token_acc = grads.cls_token,
                                  .ddist_token_acc = grads.dist_token,
                                  .dreg_token_acc = grads.reg_token,
                                  .dpos_embed_acc = grads.pos_embed,
                                  .dx = dtokens});
  backend.run(PatchEmbedBackward{.dweight_acc = grads.patch_embed.weight,
                                 .dbias_acc = grads.patch_embed.bias,
                                 .dy = scratch.dembedded,
                                 .patches = stem.patches});
}

}  // namespace vitrail
