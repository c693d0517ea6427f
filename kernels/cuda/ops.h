#pragma once
// The CUDA ops: each puts its kernels into the context's stream and returns. In f32; statistics and sums too,
// but for the gradients' norm (f64).

#include "kernels/backend.h"
#include "kernels/cuda/context.h"

namespace vitrail::cuda {

void execute(Context& context, const PatchEmbedForward& op);
void execute(Context& context, const PatchEmbedBackward& op);
void execute(Context& context, const EmbedTokensForward& op);
void execute(Context& context, const EmbedTokensBackward& op);
void execute(Context& context, const SliceTokensForward& op);
void execute(Context& context, const SliceTokensBackward& op);
void execute(Context& context, const MeanTokensForward& op);
void execute(Context& context, const MeanTokensBackward& op);
void execute(Context& context, const LinearForward& op);
void execute(Context& context, const LinearBackward& op);
void execute(Context& context, const LinearGeluForward& op);
void execute(Context& context, const GeluForward& op);
void execute(Context& context, const LinearResidualForward& op);
void execute(Context& context, const LinearResidualBackward& op);
void execute(Context& context, const LayerNormForward& op);
void execute(Context& context, const LayerNormBackward& op);
void execute(Context& context, const AttentionForward& op);
void execute(Context& context, const AttentionBackward& op);
void execute(Context& context, const CrossEntropy& op);
void execute(Context& context, const ApplyDropout& op);
void execute(Context& context, const Combine& op);
void execute(Context& context, const Cast& op);
void execute(Context& context, const AdamStep& op);
void execute(Context& context, const GradNorm& op);

}  // namespace vitrail::cuda
