#include "engine/head.h"

#include "engine/normalise.h"

namespace vitrail {
namespace {

bool mean_before_norm(const VitConfig& config) {
  return config.global_pool == PoolKind::avg && config.fc_norm;
}
bool mean_after_norm(const VitConfig& config) {
  return config.global_pool == PoolKind::avg && !config.fc_norm;
}

const NormParams& norm_params(const VitConfig& config, const VitParams& params) {
  return config.fc_norm ? params.fc_norm : params.norm;
}

Dropout head_drop(const VitConfig& config, const Draws& draws) {
  return draws.dropout(config.drop_rate, Purpose::head_drop, 0);
}

// What the (first) linear head reads, before dropout.
Out features(const VitConfig& config, const Head& head) {
  if (config.dist_token) return head.cls;
  return mean_after_norm(config) ? head.mean_tokens : head.norm;
}

}  // namespace

std::int64_t head_tokens(const VitConfig& config) {
  if (config.global_pool == PoolKind::avg) return config.tokens();
  return config.dist_token ? 2 : 1;
}

Head plan_head(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch, bool training) {
  const std::int64_t dim = config.embed_dim, classes = config.num_classes;
  const std::int64_t normed = mean_before_norm(config) ? 1 : head_tokens(config);
  Head head;
  if (config.global_pool == PoolKind::avg) head.mean_tokens = arena.take(dtype, {batch, 1, dim});
  head.norm = arena.take(dtype, {batch, normed, dim});
  head.mean = arena.take(dtype, {batch, normed});
  head.rstd = arena.take(dtype, {batch, normed});
  if (training && config.drop_rate > 0) head.dropped = arena.take(dtype, {batch, 1, dim});
  head.logits = arena.take(dtype, {batch, 1, classes});
  if (config.dist_token) {
    head.cls = arena.take(dtype, {batch, 1, dim});
    head.dist = arena.take(dtype, {batch, 1, dim});
    head.logits_dist = arena.take(dtype, {batch, 1, classes});
  }
  return head;
}

HeadScratch plan_head_scratch(Arena& arena, const VitConfig& config, DType dtype, std::int64_t batch) {
  const std::int64_t dim = config.embed_dim;
  HeadScratch scratch;
  if (config.dist_token) scratch.dlogits_half = arena.take(dtype, {batch, 1, config.num_classes});
  scratch.dfeatures = arena.take(dtype, {batch, 1, dim});
  scratch.dnorm = arena.take(dtype, {batch, mean_before_norm(config) ? 1 : head_tokens(config), dim});
  if (mean_before_norm(config)) scratch.dpooled = arena.take(dtype, {batch, 1, dim});
  return scratch;
}

void head_forward(Backend& backend, const VitConfig& config, const VitParams& params, const Head& head, In x,
                  const Draws& draws) {
  if (mean_before_norm(config)) {
    backend.run(MeanTokensForward{.y = head.mean_tokens, .x = x, .first = config.prefix()});
    x = head.mean_tokens;
  }
  normalise(backend, config, norm_params(config, params), head, x);
  if (mean_after_norm(config)) {
    backend.run(MeanTokensForward{.y = head.mean_tokens, .x = head.norm, .first = config.prefix()});
  }
  if (config.dist_token) {
    backend.run(SliceTokensForward{.y = head.cls, .x = head.norm, .first = 0});
    backend.run(SliceTokensForward{.y = head.dist, .x = head.norm, .first = 1});
  }

  In read = features(config, head);
  const Dropout dropout = head_drop(config, draws);
  if (dropout.rate > 0) {
    backend.run(ApplyDropout{.y = head.dropped, .x = read, .dropout = dropout});
    read = head.dropped;
  }
  backend.run(
      LinearForward{.y = head.logits, .x = read, .weight = params.head.weight, .bias = params.head.bias});
  if (!config.dist_token) return;
  backend.run(LinearForward{.y = head.logits_dist,
                            .x = head.dist,
                            .weight = params.head_dist.weight,
                            .bias = params.head_dist.bias});
  backend.run(Combine{.y = head.logits, .a = head.logits, .b = head.logits_dist, .alpha = 0.5, .beta = 0.5});
}

namespace {

// One linear head: its weights' gradients, and its input's into the normed token it read.
void linear_head_backward(Backend& backend, const LinearParams& params, const LinearParams& grads,
                          Out dfeatures, In dlogits, In read) {
  backend.run(LinearBackward{.dx = dfeatures,
                             .dweight_acc = grads.weight,
                             .dbias_acc = grads.bias,
                             .dy = dlogits,
                             .x = read,
                             .weight = params.weight});
}

// Sets dnorm, the gradient at the normed tokens.
void heads_backward(Backend& backend, const VitConfig& config, const VitParams& params,
                    const VitParams& grads, const Head& head, const HeadScratch& scratch, In dlogits,
                    const Draws& draws) {
  const Out dfeatures = scratch.dfeatures;
  const Dropout dropout = head_drop(config, draws);
  if (config.dist_token) {
    backend.run(Combine{.y = scratch.dlogits_half, .a = dlogits, .b = {}, .alpha = 0.5});
    dlogits = scratch.dlogits_half;
  }
  linear_head_backward(backend, params.head, grads.head, dfeatures, dlogits,
                       dropout.rate > 0 ? head.dropped : features(config, head));
  if (dropout.rate > 0) backend.run(ApplyDropout{.y = dfeatures, .x = dfeatures, .dropout = dropout});

  backend.zero(scratch.dnorm);
  if (mean_after_norm(config)) {
    backend.run(MeanTokensBackward{.dx_acc = scratch.dnorm, .dy = dfeatures, .first = config.prefix()});
  } else {
    backend.run(SliceTokensBackward{.dx_acc = scratch.dnorm, .dy = dfeatures, .first = 0});
  }
  if (config.dist_token) {
    linear_head_backward(backend, params.head_dist, grads.head_dist, dfeatures, dlogits, head.dist);
    backend.run(SliceTokensBackward{.dx_acc = scratch.dnorm, .dy = dfeatures, .first = 1});
  }
}

}  // namespace

void head_backward(Backend& backend, const VitConfig& config, const VitParams& params, const VitParams& grads,
                   const Head& head, const HeadScratch& scratch, Out dx, In dlogits, In x,
                   const Draws& draws) {
  heads_backward(backend, config, params, grads, head, scratch, dlogits, draws);
  const bool pooled = mean_before_norm(config);
  const Out dinput = pooled ? scratch.dpooled : dx;
  backend.zero(dinput);
  backend.run(LayerNormBackward{.dx_acc = dinput,
                                .dweight_acc = norm_params(config, grads).weight,
                                .dbias_acc = norm_params(config, grads).bias,
                                .dy = scratch.dnorm,
                                .x = pooled ? In(head.mean_tokens) : x,
                                .weight = norm_params(config, params).weight,
                                .mean = head.mean,
                                .rstd = head.rstd});
  if (!pooled) return;
  backend.zero(dx);
  backend.run(MeanTokensBackward{.dx_acc = dx, .dy = dinput, .first = config.prefix()});
}

}  // namespace vitrail
