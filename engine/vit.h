#pragma once
// The Vision Transformer: stem, blocks, head, forward and backward in order. It owns the activations, planned
// once for the largest batch; weights and gradients come from outside.

#include <vector>

#include "engine/attention_half.h"
#include "engine/head.h"
#include "engine/mlp_half.h"
#include "engine/stem.h"

namespace vitrail {

enum class VitMode : std::uint8_t { training, inference };

class Vit {
 public:
  // In inference all blocks share their activations, and backward() must not be called.
  Vit(Backend& backend, const VitConfig& config, DType dtype, std::int64_t largest_batch, VitMode mode);

  // images: (batch, in_chans, img_size, img_size), normalised, batch at most largest_batch.
  // Returns logits (batch, num_classes), valid until the next call.
  In forward(const VitParams& params, In images, const Draws& draws = {});

  // Adds to grads. dlogits: (batch, num_classes), after forward() with the same params, images and draws.
  void backward(const VitParams& params, const VitParams& grads, In dlogits, const Draws& draws);

  const VitConfig& config() const { return config_; }
  std::size_t bytes() const { return arena_.capacity(); }

 private:
  struct Block {
    AttentionHalf attention;
    MlpHalf mlp;
  };
  struct Scratch {
    Out dx;       // (batch, tokens, dim): the residual stream's gradient
    Out dx_kept;  // (batch, head_tokens, dim): the same after the last block's attention; dx itself with avg
                  // pooling
    StemScratch stem;
    AttentionScratch attention;
    MlpScratch mlp;
    HeadScratch head;
  };

  void layout(std::int64_t batch);
  Block plan_block(std::int64_t batch, std::int64_t kept);
  In block_input(std::int64_t block) const;

  Backend& backend_;
  VitConfig config_;
  VitMode mode_;
  Arena arena_;
  std::int64_t batch_ = 0;
  Stem stem_;
  std::vector<Block> blocks_;
  Head head_;
  Scratch scratch_;
};

}  // namespace vitrail
