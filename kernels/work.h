#pragma once
// What an op must do at least, counted from the shapes of its operands: the floor that `vitrail bench` and
// docs/performance.md measure time against.

#include "kernels/adam.h"
#include "kernels/attention.h"
#include "kernels/cast.h"
#include "kernels/combine.h"
#include "kernels/dropout.h"
#include "kernels/gelu.h"
#include "kernels/layernorm.h"
#include "kernels/linear.h"
#include "kernels/loss.h"
#include "kernels/patch_embed.h"
#include "kernels/quantize.h"
#include "kernels/tokens.h"

namespace vitrail {

// The products of a linear layer with its weight: forward y = x·Wᵀ, backward dx = dy·W and dW = dyᵀ·x.
// Each is 2·rows·in·out FLOPs.
struct WeightProducts {
  std::int64_t rows = 0, in = 0, out = 0;
  bool y = false, dx = false, dweight = false;

  int count() const { return int(y) + int(dx) + int(dweight); }
};

// flops: matrix products alone, a multiplication and an addition being 2; exp, erf, sums and scales are not
// counted. bytes: every operand that is present once, those that are read and written twice; what an op
// writes for itself alone (packed weights, dbranch) is not counted.
struct Work {
  double flops = 0;
  double bytes = 0;
  WeightProducts products;  // empty where there is no weight
};

Work work_of(const PatchEmbedForward& op);
Work work_of(const PatchEmbedBackward& op);
Work work_of(const EmbedTokensForward& op);
Work work_of(const EmbedTokensBackward& op);
Work work_of(const SliceTokensForward& op);
Work work_of(const SliceTokensBackward& op);
Work work_of(const MeanTokensForward& op);
Work work_of(const MeanTokensBackward& op);
Work work_of(const LinearForward& op);
Work work_of(const LinearBackward& op);
Work work_of(const LinearGeluForward& op);
Work work_of(const GeluForward& op);
Work work_of(const LinearResidualForward& op);
Work work_of(const LinearResidualBackward& op);
Work work_of(const LayerNormForward& op);
Work work_of(const LayerNormBackward& op);
Work work_of(const AttentionForward& op);   // 2 products of tokens × tokens × head_dim per sample and head
Work work_of(const AttentionBackward& op);  // 5 of them
Work work_of(const CrossEntropy& op);
Work work_of(const ApplyDropout& op);
Work work_of(const Combine& op);
Work work_of(const Cast& op);
Work work_of(const QuantizeRows& op);
Work work_of(const AdamStep& op);
Work work_of(const GradNorm& op);

}  // namespace vitrail
