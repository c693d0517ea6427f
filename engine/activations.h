#pragma once
// The memory of a pass through the network: which tensors there are, what is kept, and what lies where
// something else has been used up.

#include <vector>

#include "engine/attention_half.h"
#include "engine/head.h"
#include "engine/mlp_half.h"
#include "engine/recompute.h"
#include "engine/stem.h"

namespace vitrail {

enum class VitMode : std::uint8_t { training, inference };

struct BlockActivations {
  AttentionHalf attention;
  MlpHalf mlp;
};

struct BackwardScratch {
  Out dx;       // (batch, tokens, dim) A: the residual stream's gradient
  Out dx_kept;  // (batch, head_tokens, dim) A: the same after the last block's attention; dx itself with avg
                // pooling
  StemScratch stem;
  AttentionScratch attention;
  MlpScratch mlp;
  HeadScratch head;
};

class Activations {
 public:
  // dtype: C of attention_half.h. For training there is room for inference too.
  Activations(const VitConfig& config, DType dtype, VitMode mode, Recompute recompute);

  // Bytes for batches of up to so many samples.
  std::size_t bytes_for(std::int64_t largest_batch);
  void allocate(Backend& backend, std::int64_t largest_batch);
  std::size_t capacity() const { return arena_.capacity(); }

  // Hands the memory out for a pass over `batch` samples. What it held is lost when the one before was
  // another.
  void lay_out(VitMode pass, std::int64_t batch);
  std::int64_t batch() const { return batch_; }

  const VitConfig config;
  const Recompute recompute;
  Stem stem;
  std::vector<BlockActivations> blocks;
  Head head;
  BackwardScratch scratch;  // of a training pass

 private:
  void lay_out_training();
  void lay_out_scratch();
  void lay_out_blocks();
  void lay_out_inference();
  BlockActivations plan_block(std::int64_t kept);
  Out take(std::int64_t tokens) { return arena_.take(wide_, {batch_, tokens, config.embed_dim}); }

  DType dtype_, wide_;
  VitMode mode_;
  Arena arena_;
  VitMode pass_ = VitMode::training;
  std::int64_t batch_ = 0;
};

}  // namespace vitrail
