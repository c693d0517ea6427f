#pragma once
// The Vision Transformer: stem, blocks, head, forward and backward in order. It owns the activations, planned
// once for the largest batch; weights and gradients come from outside.

#include "engine/activations.h"

namespace vitrail {

class Vit {
 public:
  // dtype: in which products are computed. With bf16 everything else is f32 (attention_half.h), images and
  // logits too, and the weights that products read are bf16 (engine/compute_weights.h).
  Vit(Backend& backend, const VitConfig& config, DType dtype, std::int64_t largest_batch, VitMode mode,
      Recompute recompute = Recompute::none);

  // images: (batch, in_chans, img_size, img_size), normalised, batch at most largest_batch.
  // Returns logits (batch, num_classes), valid until the next call. In training alone.
  In forward(const VitParams& params, In images, const Draws& draws = {});

  // Adds to grads. dlogits: (batch, num_classes), after forward() with the same params, images and draws.
  void backward(const VitParams& params, const VitParams& grads, In dlogits, const Draws& draws);

  // The same logits as forward() without draws, in any mode; nothing is kept, and what forward() kept is
  // lost.
  In infer(const VitParams& params, In images);

  const VitConfig& config() const { return memory_.config; }
  std::size_t bytes() const { return memory_.capacity(); }

 private:
  In pass(const VitParams& params, In images, const Draws& draws);
  void make_again(const VitParams& params, std::int64_t block, const Draws& draws);
  In block_input(std::int64_t block) const;

  Backend& backend_;
  Activations memory_;
};

}  // namespace vitrail
