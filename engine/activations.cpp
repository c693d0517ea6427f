#include "engine/activations.h"

#include "kernels/check.h"

namespace vitrail {

Activations::Activations(const VitConfig& config_in, DType dtype, VitMode mode, Recompute recompute_in)
    : config(config_in), recompute(recompute_in), dtype_(dtype), wide_(statistics_dtype(dtype)), mode_(mode) {
  config.check();
  blocks.resize(static_cast<std::size_t>(config.depth));
}

std::size_t Activations::bytes_for(std::int64_t largest_batch) {
  lay_out(VitMode::inference, largest_batch);
  if (mode_ == VitMode::training) lay_out(VitMode::training, largest_batch);
  return arena_.most();
}

void Activations::allocate(Backend& backend, std::int64_t largest_batch) {
  bytes_for(largest_batch);
  arena_.allocate(backend);
  batch_ = 0;
  lay_out(mode_, largest_batch);
}

void Activations::lay_out(VitMode pass, std::int64_t batch) {
  if (pass == pass_ && batch == batch_) return;
  pass_ = pass;
  batch_ = batch;
  arena_.restart();
  pass == VitMode::training ? lay_out_training() : lay_out_inference();
  assert(arena_.capacity() == 0 || arena_.most() <= arena_.capacity());
}

void Activations::lay_out_training() {
  stem = plan_stem(arena_, config, dtype_, batch_);
  stem.patches = plan_patches(arena_, config, dtype_, batch_);
  head = plan_head(arena_, config, wide_, batch_, true);
  lay_out_scratch();
  stem.embedded = scratch.stem.dembedded;
  lay_out_blocks();
}

void Activations::lay_out_scratch() {
  const std::int64_t tokens = config.tokens(), kept = head_tokens(config);
  scratch.dx = scratch.dx_kept = take(tokens);
  if (kept < tokens) scratch.dx_kept = take(kept);
  Alternatives parts(arena_);
  scratch.stem = plan_stem_scratch(arena_, config, dtype_, batch_);
  parts.next();
  scratch.attention = plan_attention_scratch(arena_, config, dtype_, batch_, kept);
  parts.next();
  scratch.mlp = plan_mlp_scratch(arena_, config, dtype_, batch_, recompute == Recompute::gelu);
  parts.next();
  scratch.head = plan_head_scratch(arena_, config, wide_, batch_);
}

// All but the block's y, which the next one reads.
BlockActivations Activations::plan_block(std::int64_t kept) {
  const bool again = recompute == Recompute::gelu;
  BlockActivations block;
  block.attention =
      plan_attention_half(arena_, config, dtype_, batch_, kept, again ? &scratch.attention : nullptr);
  block.attention.y = take(kept);
  block.mlp = plan_mlp_half(arena_, config, dtype_, batch_, kept, again ? &scratch.mlp : nullptr);
  return block;
}

void Activations::lay_out_blocks() {
  const std::int64_t tokens = config.tokens(), kept = head_tokens(config);
  if (recompute == Recompute::block) {
    // The last block's are whole when its backward begins; then each block before it makes its own there.
    Alternatives turns(arena_);
    const BlockActivations shared = plan_block(tokens);
    turns.next();
    const BlockActivations last = plan_block(kept);
    std::fill(blocks.begin(), blocks.end() - 1, shared);
    blocks.back() = last;
  } else {
    for (std::size_t i = 0; i < blocks.size(); ++i)
      blocks[i] = plan_block(i + 1 < blocks.size() ? tokens : kept);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i)
    blocks[i].mlp.y = take(i + 1 < blocks.size() ? tokens : kept);
}

// The residual stream stays in one place, and everything else lasts no longer than it is read.
void Activations::lay_out_inference() {
  const std::int64_t tokens = config.tokens(), kept = head_tokens(config);
  stem = plan_stem(arena_, config, dtype_, batch_);
  const Out last_y = kept < tokens ? take(kept) : stem.y();
  Alternatives parts(arena_);
  stem.patches = plan_patches(arena_, config, dtype_, batch_);
  stem.embedded = plan_embedded(arena_, config, dtype_, batch_);
  parts.next();
  const AttentionHalf attention_all = plan_attention_inference(arena_, config, dtype_, batch_, tokens);
  parts.next();
  const AttentionHalf attention_last = plan_attention_inference(arena_, config, dtype_, batch_, kept);
  parts.next();
  const MlpHalf mlp_all = plan_mlp_inference(arena_, config, dtype_, batch_, tokens);
  parts.next();
  const MlpHalf mlp_last = plan_mlp_inference(arena_, config, dtype_, batch_, kept);
  parts.next();
  head = plan_head(arena_, config, wide_, batch_, false);

  std::fill(blocks.begin(), blocks.end(), BlockActivations{attention_all, mlp_all});
  for (BlockActivations& block : blocks)
    block.attention.y = block.mlp.y = stem.y();
  BlockActivations& last = blocks.back();
  last = {attention_last, mlp_last};
  last.attention.y = last.mlp.y = last_y;
  if (kept < tokens) last.attention.residual_kept = last_y;
}

}  // namespace vitrail
