#include "engine/vit.h"

namespace vitrail {

Vit::Vit(Backend& backend, const VitConfig& config, DType dtype, std::int64_t largest_batch, VitMode mode)
    : backend_(backend), config_(config), mode_(mode), arena_(dtype) {
  config.check();
  blocks_.resize(static_cast<std::size_t>(config.depth));
  layout(largest_batch);
  arena_.allocate(backend);
  layout(largest_batch);
}

Vit::Block Vit::plan_block(std::int64_t batch, std::int64_t kept) {
  const bool training = mode_ == VitMode::training;
  return {plan_attention_half(arena_, config_, batch, kept, training),
          plan_mlp_half(arena_, config_, batch, kept, training)};
}

// Hands out the arena for a batch of this size: counts, when the arena has no memory yet.
void Vit::layout(std::int64_t batch) {
  arena_.restart();
  batch_ = batch;
  const bool training = mode_ == VitMode::training;
  const std::int64_t kept = head_tokens(config_);
  stem_ = plan_stem(arena_, config_, batch);
  for (std::size_t i = 0; i + 1 < blocks_.size(); ++i) {
    blocks_[i] = training || i == 0 ? plan_block(batch, config_.tokens()) : blocks_[0];
  }
  blocks_.back() = plan_block(batch, kept);
  head_ = plan_head(arena_, config_, batch, training);
  if (!training) return;
  scratch_.dx = scratch_.dx_kept = arena_.take({batch, config_.tokens(), config_.embed_dim});
  if (kept < config_.tokens()) scratch_.dx_kept = arena_.take({batch, kept, config_.embed_dim});
  scratch_.stem = plan_stem_scratch(arena_, config_, batch);
  scratch_.attention = plan_attention_scratch(arena_, config_, batch, kept);
  scratch_.mlp = plan_mlp_scratch(arena_, config_, batch);
  scratch_.head = plan_head_scratch(arena_, config_, batch);
}

In Vit::block_input(std::int64_t block) const {
  return block == 0 ? stem_.y() : blocks_[static_cast<std::size_t>(block - 1)].mlp.y;
}

In Vit::forward(const VitParams& params, In images, const Draws& draws) {
  if (images.shape[0] != batch_) layout(images.shape[0]);
  assert(arena_.used() <= arena_.capacity());
  stem_forward(backend_, config_, params, stem_, images, draws);
  for (std::int64_t i = 0; i < config_.depth; ++i) {
    const Block& block = blocks_[static_cast<std::size_t>(i)];
    const BlockParams& weights = params.blocks[static_cast<std::size_t>(i)];
    attention_half_forward(backend_, config_, weights, block.attention, block_input(i), i, draws);
    mlp_half_forward(backend_, config_, weights, block.mlp, block.attention.y, i, draws);
  }
  head_forward(backend_, config_, params, head_, blocks_.back().mlp.y, draws);
  return reshaped(In(head_.logits), {batch_, config_.num_classes});
}

void Vit::backward(const VitParams& params, const VitParams& grads, In dlogits, const Draws& draws) {
  assert(mode_ == VitMode::training);
  head_backward(backend_, config_, params, grads, head_, scratch_.head, scratch_.dx_kept,
                reshaped(dlogits, {batch_, 1, config_.num_classes}), blocks_.back().mlp.y, draws);
  for (std::int64_t i = config_.depth - 1; i >= 0; --i) {
    const std::size_t b = static_cast<std::size_t>(i);
    const Block& block = blocks_[b];
    const Out dy = i + 1 == config_.depth ? scratch_.dx_kept : scratch_.dx;
    mlp_half_backward(backend_, config_, params.blocks[b], grads.blocks[b], block.mlp, scratch_.mlp, dy,
                      block.attention.y, i, draws);
    attention_half_backward(backend_, config_, params.blocks[b], grads.blocks[b], block.attention,
                            scratch_.attention, scratch_.dx, dy, block_input(i), i, draws);
  }
  stem_backward(backend_, config_, params, grads, stem_, scratch_.stem, scratch_.dx, draws);
}

}  // namespace vitrail
