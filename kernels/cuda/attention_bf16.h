#pragma once
// Attention in bf16 on tensor cores, reached through execute() of attention_forward.cu and
// attention_backward.cu.

#include "kernels/attention.h"
#include "kernels/cuda/context.h"

namespace vitrail::cuda {

void attention_bf16(Context& context, const AttentionForward& op);
void attention_bf16(Context& context, const AttentionBackward& op);

}  // namespace vitrail::cuda
