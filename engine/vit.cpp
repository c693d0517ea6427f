#include "engine/vit.h"

namespace vitrail {

Vit::Vit(Backend& backend, const VitConfig& config, DType dtype, std::int64_t largest_batch, VitMode mode,
         Recompute recompute)
    : backend_(backend), memory_(config, dtype, mode, recompute) {
  memory_.allocate(backend, largest_batch);
}

In Vit::block_input(std::int64_t block) const {
  return block == 0 ? memory_.stem.y() : memory_.blocks[static_cast<std::size_t>(block - 1)].mlp.y;
}

In Vit::pass(const VitParams& params, In images, const Draws& draws) {
  const VitConfig& config = memory_.config;
  stem_forward(backend_, config, params, memory_.stem, images, draws);
  for (std::int64_t i = 0; i < config.depth; ++i) {
    const BlockActivations& block = memory_.blocks[static_cast<std::size_t>(i)];
    const BlockParams& weights = params.blocks[static_cast<std::size_t>(i)];
    attention_half_forward(backend_, config, weights, block.attention, block_input(i), i, draws);
    mlp_half_hidden(backend_, config, weights, block.mlp, block.attention.y, i, draws);
    mlp_half_output(backend_, config, weights, block.mlp, block.attention.y, i, draws);
  }
  head_forward(backend_, config, params, memory_.head, memory_.blocks.back().mlp.y, draws);
  return reshaped(In(memory_.head.logits), {memory_.batch(), config.num_classes});
}

In Vit::forward(const VitParams& params, In images, const Draws& draws) {
  memory_.lay_out(VitMode::training, images.shape[0]);
  return pass(params, images, draws);
}

In Vit::infer(const VitParams& params, In images) {
  memory_.lay_out(VitMode::inference, images.shape[0]);
  return pass(params, images, {});
}

// What the backward of a block reads, from the block's input. Its y is there already; with LayerScale the
// branch before it is read, and then y is written again, with the same bits.
void Vit::make_again(const VitParams& params, std::int64_t block, const Draws& draws) {
  const VitConfig& config = memory_.config;
  const BlockActivations& kept = memory_.blocks[static_cast<std::size_t>(block)];
  const BlockParams& weights = params.blocks[static_cast<std::size_t>(block)];
  attention_half_forward(backend_, config, weights, kept.attention, block_input(block), block, draws);
  mlp_half_hidden(backend_, config, weights, kept.mlp, kept.attention.y, block, draws);
  if (config.layer_scale)
    mlp_half_output(backend_, config, weights, kept.mlp, kept.attention.y, block, draws);
}

void Vit::backward(const VitParams& params, const VitParams& grads, In dlogits, const Draws& draws) {
  const VitConfig& config = memory_.config;
  const BackwardScratch& scratch = memory_.scratch;
  head_backward(backend_, config, params, grads, memory_.head, scratch.head, scratch.dx_kept,
                reshaped(dlogits, {memory_.batch(), 1, config.num_classes}), memory_.blocks.back().mlp.y,
                draws);
  for (std::int64_t i = config.depth - 1; i >= 0; --i) {
    const std::size_t b = static_cast<std::size_t>(i);
    const BlockActivations& block = memory_.blocks[b];
    const bool last = i + 1 == config.depth;
    if (memory_.recompute == Recompute::block && !last) make_again(params, i, draws);
    const Out dy = last ? scratch.dx_kept : scratch.dx;
    mlp_half_backward(backend_, config, params.blocks[b], grads.blocks[b], block.mlp, scratch.mlp, dy,
                      block.attention.y, i, draws);
    attention_half_backward(backend_, config, params.blocks[b], grads.blocks[b], block.attention,
                            scratch.attention, scratch.dx, dy, block_input(i), i, draws);
  }
  stem_backward(backend_, config, params, grads, memory_.stem, scratch.stem, scratch.dx, draws);
}

}  // namespace vitrail
